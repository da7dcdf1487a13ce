"""The smallest recipe that has everything, its networks, and the order that data are usually shown in."""

import torch

from ssgan_core.config import Config, config_from_json
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.data import Examples, StoredPortraits
from ssgan_core.training.order import ShuffledOrder
from ssgan_core.training.state import TrainingState

MODEL = {
    "resolution": 16, "render_resolution": 8, "part_resolution": 8, "latent": 16, "part_width": 8, "features": 4,
    "depth_width": 8, "frequencies": 4, "highest_frequency": 4.0, "upsampler_width": 16, "base_layers": 1,
    "shape_layers": 1, "texture_layers": 1, "uniform_boundaries": 8, "importance_boundaries": 4,
}  # fmt: skip


def recipe(augmentation: dict | None = None, model: dict | None = None, **training: object) -> Config:
    """Four steps of four images, with the given settings instead."""
    settings = {
        "kimg": 0.016, "batch": 4, "tick_kimg": 0.008, "snapshot_kimg": 0.008, "shell_kimg": 0.02, "blur_kimg": 0.02,
        "r1_interval": 2, "ema_kimg": 0.01, "precision": "fp32", **training,
    }  # fmt: skip
    tree = {
        "seed": 3, "model": {**MODEL, **(model or {})}, "discriminator": {"width": 8, "most_width": 16},
        "training": settings, "augmentation": augmentation or {},
    }  # fmt: skip
    return config_from_json(tree, "test")


def shuffled(portraits: StoredPortraits, seed: int, mirror: bool) -> Examples:
    return Examples(portraits, ShuffledOrder(portraits.shown, seed, mirror))


def networks(config):
    state = TrainingState.create(config, PORTRAIT, torch.device("cpu"))
    return state.generator, state.discriminator
