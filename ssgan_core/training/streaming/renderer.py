"""What the stream needs of the portraits: cameras, generating parameters, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from ssgan_core.heads.render import SyntheticView


class Renderer(Protocol):
    """Makes portraits that depend on its arguments alone; it is sent to the worker processes."""

    def parameters(self, seed: int, identity: int) -> np.ndarray:
        """Generating parameters [n], float32."""
        ...

    def label(self, seed: int, identity: int, view: int) -> np.ndarray:
        """Camera label [25], float32."""
        ...

    def views(self, seed: int, identity: int, count: int, size: int) -> Iterator[SyntheticView]:
        """The first `count` views of an identity, size x size pixels."""
        ...
