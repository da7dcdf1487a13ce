"""A renderer that takes no time, or as much as it is told, and writes into every picture whose it is."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from ssgan_core import cameras
from ssgan_core.errors import SsganError


@dataclass(frozen=True)
class FakeRenderer:
    """Pixel (0, 0) is (identity, view, 200) and its mirror image's (255, 255, 255).

    Attributes:
        seconds: what a view takes, at most: how long it really is depends on the process and on chance.
        fatal: the identity whose rendering kills its process.
        failing: the identity that is an error of the user, -1 for none.
        broken: the identity that is a bug, -1 for none.
    """

    seconds: float = 0.0
    fatal: int = -1
    failing: int = -1
    broken: int = -1

    def parameters(self, seed: int, identity: int) -> np.ndarray:
        return np.array([identity, seed, 0.5], np.float32)

    def label(self, seed: int, identity: int, view: int) -> np.ndarray:
        return cameras.label(0.01 * identity + 0.001 * view, 0.1)

    def views(self, seed: int, identity: int, count: int, size: int) -> Iterator[SimpleNamespace]:
        if identity == self.fatal:
            os.kill(os.getpid(), 9)
        if identity == self.failing:
            raise SsganError("this head cannot be rendered", "take another")
        if identity == self.broken:
            raise ZeroDivisionError("a bug")
        for view in range(count):
            time.sleep(self.seconds * np.random.default_rng().random())
            image = np.zeros((size, size, 3), np.uint8)
            image[0, 0], image[0, -1] = (identity % 256, view, 200), 255
            image[size // 2 :] = (3 * identity + view) % 256
            mask = np.zeros((size, size), np.uint8)
            mask[1:5, 4:12], mask[5:12, 4:12], mask[2, 2] = 7, 1, 12
            depth = np.where(mask > 0, 2.5 + 0.001 * identity, 0).astype(np.float32)
            yield SimpleNamespace(image=image, mask=mask, depth=depth)
