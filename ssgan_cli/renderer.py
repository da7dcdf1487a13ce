"""Says that the renderer is about to be compiled, which happens on its first use on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssgan_cli.console import Output

if TYPE_CHECKING:
    import torch


def announce_renderer(output: Output, device: torch.device, backend: str = "auto") -> None:
    """A note, if the work that follows begins with compiling."""
    from ssgan_core.rendering import kernels

    if device.type == "cpu" and backend in ("auto", "native") and not kernels.is_built():
        output.note("compiling the renderer for this processor (once, about half a minute)")
