"""Which tests need a GPU; and a tiny generator, saved as a run, that tests of synthesis, editing, video and the command
line share."""

import os
from pathlib import Path

import pytest

# As the command line does (see ssgan_cli.app.main); it must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from ssgan_core.checkpoints import save_model
from ssgan_core.config import model_config_from_json
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.runs import create_run, model_path

TINY_MODEL = {
    "resolution": 32, "render_resolution": 16, "part_resolution": 16, "latent": 16, "part_width": 8,
    "features": 8, "depth_width": 8, "frequencies": 4, "highest_frequency": 4.0,
    "upsampler_width": 16, "base_layers": 1, "shape_layers": 1, "texture_layers": 2, "uniform_boundaries": 8,
    "importance_boundaries": 8,
}  # fmt: skip


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` need one: without, they are skipped, or fail where a GPU was promised."""
    if item.get_closest_marker("gpu") is None or torch.cuda.is_available():
        return
    if os.environ.get("SSGAN_REQUIRE_GPU") == "1":
        pytest.fail("SSGAN_REQUIRE_GPU=1, but PyTorch finds no usable NVIDIA GPU", pytrace=False)
    pytest.skip("needs an NVIDIA GPU")


def make_generator(seed: int, resolution: int = 32) -> Generator:
    """Random weights, but every part covers some of the picture and codes have visible effects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = {**TINY_MODEL, "resolution": resolution}
        generator = Generator(model_config_from_json(sizes, "test"), PORTRAIT)
        rows = torch.linspace(-1, 1, 16)
        for k in range(len(PORTRAIT.foreground)):
            bump = -8 * ((rows[:, None] - 0.6 * torch.randn(())) ** 2 + (rows - 0.6 * torch.randn(())) ** 2)
            generator.parts.layout_prior[k] = 2 + bump
        for name, parameter in generator.named_parameters():
            if name.endswith("weight"):
                parameter.data += 0.3 * torch.randn_like(parameter) * parameter.abs().mean()
    return generator.eval().requires_grad_(False)


def save_run(folder: Path, seed: int, resolution: int = 32) -> Path:
    """A run folder with a model; returns the model's path."""
    generator = make_generator(seed, resolution)
    path = model_path(create_run(folder, "tiny"), 64)
    save_model(path, generator.state_dict(), generator.describe())
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a run folder."""
    return save_run(tmp_path_factory.mktemp("runs"), seed=0)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same sizes with other weights."""
    return save_run(tmp_path_factory.mktemp("runs"), seed=1)


@pytest.fixture(scope="session")
def tiny_model_64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose pictures are large enough for the face parser: 64 pixels."""
    return save_run(tmp_path_factory.mktemp("runs"), seed=0, resolution=64)
