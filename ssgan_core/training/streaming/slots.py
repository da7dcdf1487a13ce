"""The memory that the processes share: one slot a rendered view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_LABEL = 25


@dataclass(frozen=True)
class SlotShape:
    """Sizes of the shared memory: `count` slots, pictures of `size` pixels a side, `parameters` numbers a head."""

    count: int
    size: int
    parameters: int

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot."""
        return 6 * self.size**2 + 4 * (_LABEL + self.parameters)

    @property
    def total_bytes(self) -> int:
        """Bytes of all slots."""
        return self.count * self.slot_bytes


class Slots:
    """Views of the shared memory as arrays.

    Attributes:
        images: uint8 [N, 3, S, S].
        masks: uint8 [N, S, S], part ids.
        depths: uint16 [N, S, S], in the code of pictures.encode_depth16.
        labels: float32 [N, 25].
        parameters: float32 [N, n].
    """

    def __init__(self, shape: SlotShape, memory: Any) -> None:
        self._memory, self._offset = memory, 0
        count, picture = shape.count, (shape.size, shape.size)
        # The widest numbers first, so that all of them are aligned.
        self.labels = self._take(np.float32, (count, _LABEL))
        self.parameters = self._take(np.float32, (count, shape.parameters))
        self.depths = self._take(np.uint16, (count, *picture))
        self.images = self._take(np.uint8, (count, 3, *picture))
        self.masks = self._take(np.uint8, (count, *picture))

    def _take(self, kind: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
        length = int(np.prod(shape))
        array = np.frombuffer(self._memory, kind, length, self._offset).reshape(shape)
        self._offset += array.nbytes
        return array
