"""Runs what a GPU would run on fake tensors of one: `pretended_gpu.py FOLDER`, to compile in.

Fake tensors have shapes, types and devices, and no values. Whoever mixes devices, or asks for a value, which on a real
GPU would wait for all its work and could not be recorded as a CUDA graph, gets an exception.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils import cpp_extension

from ssgan_core.config import Config, load_config
from ssgan_core.model.critic import Critic
from ssgan_core.model.discriminator import Discriminator
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.rendering import native
from ssgan_core.training import exchange, phases
from ssgan_core.training.data import Batch
from ssgan_core.training.phases import Phases
from ssgan_core.training.warmup import Warmup

_HEADS = 2
_PARAMETERS = 178
_GPU = torch.device("cuda")


def main() -> None:
    _pretend(sys.argv[1])
    _expect_complaints()
    generate()
    reconstruct()
    reconstruct("training.crop=0.375")  # squares around parts
    game()
    print("nothing waits")


def generate() -> None:
    """What is recorded as CUDA graphs: codes, maps, picture."""
    generator = Generator(load_config("default").model, PORTRAIT).eval()
    with FakeTensorMode() as mode:
        _on_gpu(mode, generator)
        with torch.inference_mode():
            z = torch.randn(_HEADS, generator.config.latent, device=_GPU)
            maps = generator.part_maps(generator.map(z))
            output = generator.render(maps, torch.zeros(_HEADS, 25, device=_GPU))
        _expect_on_gpu(output.image, output.mask, output.depth)


def reconstruct(*settings: str) -> None:
    """A step of the warm-up, up to its loss, with everything that recipe `default` was taught by."""
    taught = ("training.texture_weight=12.0", "training.critic_weight=0.1")
    config, steps, critic = *_steps(*taught, *settings), Critic(torch.device("cpu"))
    areas = torch.full((len(PORTRAIT.parts),), 1 / len(PORTRAIT.parts))
    warmup = Warmup(steps, _PARAMETERS, areas, torch.zeros(4, 25), critic)
    with FakeTensorMode() as mode:
        steps.device = _GPU
        for name, value in vars(warmup).items():
            if isinstance(value, Tensor):
                setattr(warmup, name, _moved(mode, value))
        _on_gpu(mode, steps.generator, critic, critic._parser.network)
        batch = _batch(mode, config)
        found = warmup.reconstruction(batch, torch.Generator())
        leaked = exchange.exchange_terms(steps.generator, batch.labels, torch.Generator())
        assert found.pair is not None
        _expect_on_gpu(found.loss, *found.terms.values(), *leaked.values(), critic.loss(found.pair)[0])


def game() -> None:
    """The phases of the game, up to their losses; without augmentation, whose course is drawn on the CPU."""
    config, steps = _steps("training.loss=relativistic", "discriminator.places=32")
    with FakeTensorMode() as mode:
        steps.device = _GPU
        _on_gpu(mode, steps.generator, steps.discriminator)
        batch = _batch(mode, config)
        real = steps.real(batch, 0)
        terms, fake = steps.generator_phase(real, 1, batch.labels, torch.Generator(), 0)
        terms |= steps.discriminator_phase(real, fake, torch.Generator())
        terms |= steps.penalty_phase(real, fake, torch.Generator())
        _expect_on_gpu(*terms.values())


def _pretend(folder: str) -> None:
    """What fake tensors, or a PyTorch without CUDA, do not have."""
    if torch.version.cuda is None:
        source = Path(__file__).with_suffix(".cpp")
        options = {"build_directory": folder, "is_python_module": False}
        cpp_extension.load("pretended_gpu", [str(source)], **options)
    native._load("cpu")  # it also says which shapes the operators give
    native._loaded.add("cuda")
    torch.cuda.is_current_stream_capturing = lambda: True
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    phases.has_fast_bf16 = lambda _: True
    torch.__future__.set_overwrite_module_params_on_conversion(True)
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


def _moved(mode: FakeTensorMode, value: Tensor) -> Tensor:
    return mode.from_tensor(value).to(_GPU)


def _on_gpu(mode: FakeTensorMode, *networks: nn.Module) -> None:
    for network in networks:
        network._apply(lambda value: _moved(mode, value))


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
    return Batch(**{name: mode.from_tensor(value) for name, value in tensors.items()}).to(_GPU)


def _expect_complaints() -> None:
    """That this finds anything."""
    with FakeTensorMode():
        there, here = torch.ones(2, device=_GPU), torch.ones(2)
        for wrong, error in (
            (lambda: there.sum().item(), DataDependentOutputException),
            (lambda: there + here, Exception),
        ):
            try:
                wrong()
            except error:
                continue
            raise AssertionError(f"no {error.__name__}")


def _expect_on_gpu(*results: Tensor) -> None:
    assert all(x.device.type == "cuda" for x in results), [x.device for x in results]


if __name__ == "__main__":
    main()
