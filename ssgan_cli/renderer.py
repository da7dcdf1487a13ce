"""Says that the renderer is about to be compiled, which happens on its first use on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssgan_cli.console import Output

if TYPE_CHECKING:
    import torch


def announce_renderer(output: Output, device: torch.device, backend: str = "auto") -> None:
    """A note, if the work that follows begins with compiling."""
    from ssgan_core.errors import SsganError
    from ssgan_core.rendering import kernels

    if backend not in ("auto", "native") or device.type not in kernels.TARGETS:
        return
    try:
        missing = [kind for kind in dict.fromkeys(("cpu", device.type)) if not kernels.is_built(kind)]
    except SsganError:
        return  # whoever renders says what is wrong
    for kind in missing:
        what = "this processor" if kind == "cpu" else "the GPU"
        output.note(f"compiling the renderer for {what} (once, about {kernels.TARGETS[kind].takes})")
