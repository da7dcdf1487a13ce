"""Loads the small networks into OpenCV's dnn module and runs them, one output at a time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.preparation import weights


class Network:
    """One TFLite network on the CPU."""

    def __init__(self, name: str, weights_dir: Path | None = None) -> None:
        """Load a checked weight file.

        Args:
            name: a name of `weights.FILES`.
            weights_dir: as in `weights.read`.

        Raises:
            SsganError: the file is missing or damaged, or OpenCV cannot parse it.
        """
        content = weights.read(name, weights_dir)
        try:
            self._net = cv2.dnn.readNetFromTFLite(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise SsganError(
                f"OpenCV {cv2.__version__} cannot load {name}: {error}", "OpenCV 5 is known to work"
            ) from error

    def run(self, pixels: np.ndarray, output: str) -> np.ndarray:
        """One named output for an input [H, W, 3], float32, already scaled as the network wants it.

        OpenCV 5 fails when asked for several outputs at once and reuses its buffers, so ask for one and copy.
        """
        self._net.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32))
        return np.array(self._net.forward(output), np.float32)
