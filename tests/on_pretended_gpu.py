"""Runs on a pretended GPU what would run on a real one: `on_pretended_gpu.py FOLDER`, to compile in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.pretended_gpu import GPU, move, moved, pretend
from benchmarks.traffic import Traffic, count
from ssgan_core import synthesis
from ssgan_core.config import Config, load_config
from ssgan_core.model.critic import Critic
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import exchange, phases
from ssgan_core.training.data import Batch
from ssgan_core.training.phases import Phases
from ssgan_core.training.warmup import Warmup

_HEADS = 2
_PARAMETERS = 178


def main() -> None:
    _pretend(sys.argv[1])
    _expect_complaints()
    _expect_counts()
    generate()
    reconstruct()
    reconstruct("training.crop=0.375")  # squares around parts
    game()
    print("nothing waits")


class OnlyThere(TorchDispatchMode):
    """Nothing comes from the CPU: a CUDA graph cannot record a copy from memory that is not pinned."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        assert "cpu" not in given, func
        return func(*args, **(kwargs or {}))


def generate() -> None:
    """What is recorded as CUDA graphs: codes, maps, picture."""
    generator = Generator(load_config("default").model, PORTRAIT).eval()
    with FakeTensorMode() as mode:
        move(mode, generator)
        z = torch.randn(_HEADS, generator.config.latent, device=GPU)
        cameras = torch.zeros(_HEADS, 25, device=GPU)
        with synthesis._inference(GPU), OnlyThere():
            maps = generator.part_maps(generator.map(z))
            output = generator.render(maps, cameras)
        _expect_on_gpu(output.image, output.mask, output.depth)


def reconstruct(*settings: str) -> None:
    """A step of the warm-up, up to its loss, with everything that recipe `default` was taught by."""
    taught = ("training.texture_weight=12.0", "training.critic_weight=0.1")
    config, steps, critic = *_steps(*taught, *settings), Critic(torch.device("cpu"))
    areas = torch.full((len(PORTRAIT.parts),), 1 / len(PORTRAIT.parts))
    warmup = Warmup(steps, _PARAMETERS, areas, torch.zeros(4, 25), critic)
    with FakeTensorMode() as mode:
        steps.device = GPU
        for name, value in vars(warmup).items():
            if isinstance(value, Tensor):
                setattr(warmup, name, moved(mode, value))
        move(mode, steps.generator, critic, critic._parser.network)
        batch = _batch(mode, config)
        found = warmup.reconstruction(batch, torch.Generator())
        leaked = exchange.exchange_terms(steps.generator, batch.labels, torch.Generator())
        assert found.pair is not None
        _expect_on_gpu(found.loss, *found.terms.values(), *leaked.values(), critic.loss(found.pair)[0])


def game() -> None:
    """The phases of the game, up to their losses; without augmentation, whose course is drawn on the CPU."""
    config, steps = _steps("training.loss=relativistic", "discriminator.places=32")
    with FakeTensorMode() as mode:
        steps.device = GPU
        move(mode, steps.generator, steps.discriminator)
        batch = _batch(mode, config)
        real = steps.real(batch, 0)
        terms, fake = steps.generator_phase(real, 1, batch.labels, torch.Generator(), 0)
        terms |= steps.discriminator_phase(real, fake, torch.Generator())
        terms |= steps.penalty_phase(real, fake, torch.Generator())
        _expect_on_gpu(*terms.values())


def _pretend(folder: str) -> None:
    """Beside fake tensors of a GPU: what they cannot do."""
    pretend(Path(folder))
    phases.has_fast_bf16 = lambda _: True
    # There is nothing to differentiate with.
    Tensor.backward = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    torch.autograd.grad = lambda _, inputs, **__: [torch.zeros_like(x) for x in inputs]
    # Values of these are on the CPU, and may be asked for.
    Batch.views_a_head = lambda self: 1
    draw = torch.randint
    torch.randint = lambda *args, **options: 1 if args[1] == () else draw(*args, **options)


def _steps(*settings: str) -> tuple[Config, Phases]:
    config = load_config("default", list(settings))
    generator = Generator(config.model, PORTRAIT)
    discriminator = Discriminator(config.discriminator, config.model, len(PORTRAIT.parts))
    return config, Phases(config, generator, discriminator, True, torch.device("cpu"))


def _batch(mode: FakeTensorMode, config: Config) -> Batch:
    size = config.model.resolution
    tensors = {
        "images": torch.zeros(_HEADS, 3, size, size, dtype=torch.uint8),
        "masks": torch.ones(_HEADS, size, size, dtype=torch.uint8),
        "depths": torch.zeros(_HEADS, 1, size, size),
        "labels": torch.zeros(_HEADS, 25),
        "indices": torch.zeros(_HEADS, dtype=torch.long),
        "mirrored": torch.zeros(_HEADS, dtype=torch.bool),
        "parameters": torch.zeros(_HEADS, _PARAMETERS),
    }
    return Batch(**{name: mode.from_tensor(value) for name, value in tensors.items()}).to(GPU)


def _expect_complaints() -> None:
    """That this finds anything."""
    with FakeTensorMode():
        there, here = torch.ones(2, device=GPU), torch.ones(2)
        for wrong, error in (
            (lambda: there.sum().item(), DataDependentOutputException),
            (lambda: there + here, Exception),
        ):
            try:
                wrong()
            except error:
                continue
            raise AssertionError(f"no {error.__name__}")


def _expect_counts() -> None:
    """What `benchmarks.traffic` counts of two operations, and of what is none."""
    with FakeTensorMode(), torch.no_grad():
        row, square = torch.ones(8, device=GPU), torch.ones(4, 8, device=GPU)
        with Traffic() as traffic:
            total = row.expand(4, 8) + square.t().t()  # reads 32 bytes and 128, writes 128
            torch.empty(100, device=GPU)
            total.half()  # reads 128 bytes, writes 64
    assert (traffic.kernels, traffic.bytes) == (2, 288 + 192), (traffic.kernels, traffic.bytes)
    assert sum(traffic.places.values()) == traffic.bytes
    found = count("smoke_cpu", 1)
    again, whole = found["new camera"], found["from codes"]
    assert 0 < again.kernels < whole.kernels
    assert 0 < again.bytes < whole.bytes
    assert any(where.startswith("rendering/native.py") and name == "lift" for where, name in again.places)


def _expect_on_gpu(*results: Tensor) -> None:
    assert all(x.device.type == "cuda" for x in results), [x.device for x in results]


if __name__ == "__main__":
    main()
