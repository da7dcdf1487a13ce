"""What a recipe will take, found before it starts: parameters, steps and memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ssgan_core import cameras
from ssgan_core.config import Config
from ssgan_core.parts import PartSchema
from ssgan_core.training.phases import Phases
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState

_ADAM_BYTES = 16  # weight, gradient and two moments, four bytes each


@dataclass(frozen=True)
class Estimate:
    """Figures of a recipe.

    Attributes:
        memory_bytes: weights, gradients, moments, average and the activations kept for the larger phase. The
            activations are counted in one real forward pass of a single sample on the CPU, then multiplied by
            a process's share of the batch; buffers inside operators come on top, so expect up to half as much again.
    """

    generator_parameters: int
    discriminator_parameters: int
    images: int
    steps: int
    batch: int
    memory_bytes: int


def estimate(config: Config, schema: PartSchema, device: torch.device, ranks: Ranks = ALONE) -> Estimate:
    """What training on `device` takes: builds the networks on the CPU, runs one sample through them, and counts.

    Memory is that of each of the processes that train together.
    """
    if device.type != "cpu" and config.model.backend == "auto":
        # What `auto` means there; the CPU's compiled kernel keeps far less for the backward pass.
        config = replace(config, model=replace(config.model, backend="reference"))
    here = torch.device("cpu")
    state = TrainingState.create(config, schema, here)
    phases = Phases(config, state.generator, state.discriminator, has_depth=False, device=here)
    labels = torch.from_numpy(cameras.label(0.1, 0.05))[None]
    kept = _SavedBytes()
    with kept.counting():
        output = state.generator(phases.draw_codes(1, torch.Generator().manual_seed(0)), labels)
        state.discriminator(*phases.judged(output, labels, 0))
    # The generator phase keeps all of it; the discriminator phase keeps the discriminator's part twice, which is less.
    activations = kept.bytes * len(ranks.share(config.training.batch))
    if config.training.precision == "bf16" and device.type == "cuda":
        activations //= 2
    generator, discriminator = _parameters(state.generator), _parameters(state.discriminator)
    total = Schedule(config).total_images
    return Estimate(
        generator_parameters=generator,
        discriminator_parameters=discriminator,
        images=total,
        steps=total // config.training.batch,
        batch=config.training.batch,
        memory_bytes=(generator + discriminator) * _ADAM_BYTES + 4 * generator + activations,
    )


class _SavedBytes:
    """Counts the bytes that autograd keeps for the backward pass, every storage once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._alive: dict[int, Tensor] = {}

    def counting(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in self._alive and not isinstance(tensor, nn.Parameter):
            self._alive[address] = tensor  # kept alive so that no address is used twice
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
