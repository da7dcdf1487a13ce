"""What tells the parts of a cropped face apart when no masks are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

if TYPE_CHECKING:
    from ssgan_core.parsing.parser import FaceParser


class ParsesFace(Protocol):
    """Tells the parts of one face apart."""

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """Ids of `parts.PORTRAIT` [R, R], uint8, of an upright crop [R, R, 3], uint8 RGB, R at least 256."""
        ...


class OwnParser:
    """The parser that ships with the package, on one thread of the processor.

    Making one sets PyTorch to one thread in this process: workers share the cores already.
    """

    def __init__(self) -> None:
        """Raises SsganError if the installation lacks the weights."""
        import torch

        from ssgan_core.parsing.parser import FaceParser

        torch.set_num_threads(1)
        self._parser = FaceParser.load()

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The likeliest part at every pixel of crop [R, R, 3]: ids [R, R], uint8."""
        logits = _logits(self._parser, crop)
        # Enlarged channel by channel and compared as they come: a tenth of the time of torch's argmax.
        size = (crop.shape[1], crop.shape[0])
        best = cv2.resize(logits[0], size, interpolation=cv2.INTER_LINEAR)
        ids = np.zeros(crop.shape[:2], np.uint8)
        for part, channel in enumerate(logits[1:], 1):
            value = cv2.resize(channel, size, interpolation=cv2.INTER_LINEAR)
            ids[value > best] = part
            np.maximum(best, value, out=best)
        return ids


def own_parser_digest() -> str:
    """The identity of OwnParser's weights, hex. Raises SsganError if the installation lacks them."""
    from ssgan_core.parsing.parser import FaceParser

    return FaceParser.load().sha256


def _logits(parser: FaceParser, crop: np.ndarray) -> np.ndarray:
    import torch

    from ssgan_core.parsing.parser import SIZE

    shrinks = max(crop.shape[:2]) > SIZE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    looked_at = cv2.resize(crop, (SIZE, SIZE), interpolation=method)
    images = torch.from_numpy(looked_at).permute(2, 0, 1)[None].float() / 127.5 - 1
    return parser.logits(images)[0].contiguous().numpy()
