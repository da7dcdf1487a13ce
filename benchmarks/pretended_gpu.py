"""A GPU that is not there: tensors that have a shape, a type and a GPU for their device, and no values.

PyTorch's fake tensors say of every operation what it would give. Whoever mixes devices, or asks for a value, which on a
real GPU would wait for all its work, gets an exception.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import cpp_extension

from ssgan_core.rendering import native

GPU = torch.device("cuda")


def pretend(folder: Path) -> None:
    """Add to this process for good what fake tensors of a GPU want of PyTorch and ssgan.

    Args:
        folder: to compile in, where PyTorch comes without CUDA; a compiler must be there.
    """
    if torch.version.cuda is None:
        source = Path(__file__).with_suffix(".cpp")
        cpp_extension.load(
            "pretended_gpu", [str(source)], build_directory=str(folder), is_python_module=False
        )
    native._load("cpu")  # the operators, and which shapes they give
    native._loaded.add("cuda")
    # A graph that is recorded looks at no values.
    torch.cuda.is_current_stream_capturing = lambda: True
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda *_, **__: True
    torch.__future__.set_overwrite_module_params_on_conversion(True)


def moved(mode: FakeTensorMode, value: Tensor) -> Tensor:
    """The fake tensor that stands for a real one."""
    return mode.from_tensor(value).to(GPU)


def move(mode: FakeTensorMode, *networks: nn.Module) -> None:
    """Put fake tensors in place of networks' weights."""
    for network in networks:
        network._apply(lambda value: moved(mode, value))
