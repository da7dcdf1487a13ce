"""Finds faces with RetinaFace, as facexlib runs it.

Its boxes are coded as SSD's are, relative to anchors (Liu et al. 2016; Deng et al. 2020): centre = anchor's
centre + 0.1 value x anchor's size, size = anchor's size x exp(0.2 value), points like centres. Anchors lie
on grids of 8, 16 and 32 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from ssgan_core.errors import SsganError
from ssgan_core.preparation.blazeface import FaceBox, merge
from ssgan_core.preparation.detection import distinct
from ssgan_core.preparation.facexlib_nets.loading import facexlib_module, load_network
from ssgan_core.preparation.weight_files import RETINAFACE_MOBILENET, RETINAFACE_RESNET50

VARIANTS = {"resnet50": RETINAFACE_RESNET50, "mobilenet": RETINAFACE_MOBILENET}
"""Weights file of each variant."""
_FACEXLIB_NAMES = {"resnet50": "resnet50", "mobilenet": "mobile0.25"}
# Longer side of the photo in pixels, level by level. Anchors end at 512: larger faces need the smaller picture.
LEVELS = (640, 1280)
_ANCHORS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))  # grid step, sizes
_MEAN_BGR = (104.0, 117.0, 123.0)
_MIN_SCORE = 0.8
_MOST_CANDIDATES = 1000  # of one level, before overlapping ones are merged
_LARGEST_LOG = 8.0  # of a size over its anchor's: far beyond any face, before exp overflows

Network = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class RetinaFaceDetector:
    """RetinaFace over a photo, like `detection.FaceDetector`.

    Attributes:
        networks: digest of the weights, by file name.
    """

    def __init__(
        self,
        variant: str = "resnet50",
        weights_dir: Path | None = None,
        device: torch.device | str = "cpu",
        network: Network | None = None,
    ) -> None:
        """Load the network.

        Args:
            variant: a key of VARIANTS.
            weights_dir: as in `weights.read`.
            device: where to run.
            network: instead of the real one, in tests.

        Raises:
            SsganError: facexlib or the weights are missing, or they are not as expected.
        """
        if variant not in VARIANTS:
            raise SsganError(f"RetinaFace has no variant '{variant}'", "there are " + ", ".join(VARIANTS))
        self._device = torch.device(device)
        self.networks: dict[str, str] = {}
        if network is None:
            retinaface = facexlib_module("detection.retinaface")
            network, self.networks = load_network(
                VARIANTS[variant],
                lambda: retinaface.RetinaFace(_FACEXLIB_NAMES[variant], device=torch.device("cpu")),
                weights_dir,
                self._device,
            )
        self._network = network

    def search(self, photo: np.ndarray) -> Iterator[list[FaceBox]]:
        """Faces of photo [H, W, 3], uint8 RGB, level by level, each list with the largest face first.

        The boxes of RetinaFace reach from the hairline to the chin. It knows eyes, nose and the corners of the
        mouth: the mouth of a FaceBox is the middle of the corners, the ears are NaN.
        """
        height, width = photo.shape[:2]
        for longest in level_sides(width, height):
            factor = longest / max(width, height)
            columns, rows = max(round(width * factor), 1), max(round(height * factor), 1)
            level = cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA) if factor < 1 else photo
            faces = self._detect(level, np.array([width / columns, height / rows]))
            yield sorted(merge(faces), key=lambda face: -face.area)

    def search_all(self, photo: np.ndarray) -> list[FaceBox]:
        """All faces of photo [H, W, 3], uint8 RGB, the largest first; of two levels' boxes the better-scored one."""
        found = [face for level in self.search(photo) for face in level]
        return sorted(distinct(found), key=lambda face: -face.area)

    @torch.inference_mode()
    def _detect(self, level: np.ndarray, to_photo: np.ndarray) -> list[FaceBox]:
        bgr = level[..., ::-1].astype(np.float32) - np.array(_MEAN_BGR, np.float32)
        tensor = torch.from_numpy(np.ascontiguousarray(bgr.transpose(2, 0, 1)))[None].to(self._device)
        boxes, scores, points = (output[0].float().cpu().numpy() for output in self._network(tensor))
        return [
            FaceBox(box * np.tile(to_photo, 2), six_points(five * to_photo), score)
            for box, five, score in decode(
                boxes, scores[:, 1], points, anchors(level.shape[1], level.shape[0])
            )
        ]


def level_sides(width: int, height: int) -> list[int]:
    """Longer sides at which a photo is looked at: shrunk, never enlarged, the coarsest first."""
    own = max(width, height)
    return sorted({min(side, own) for side in LEVELS})


def anchors(width: int, height: int) -> np.ndarray:
    """Anchors [N, 3] of a picture: centre x, y and size, in pixels."""
    rows = []
    for step, sizes in _ANCHORS:
        y, x, size = np.meshgrid(
            (np.arange(-(-height // step)) + 0.5) * step,
            (np.arange(-(-width // step)) + 0.5) * step,
            np.array(sizes, np.float64),
            indexing="ij",
        )
        rows.append(np.stack([x, y, size], axis=-1).reshape(-1, 3))
    return np.concatenate(rows)


def decode(
    boxes: np.ndarray, scores: np.ndarray, points: np.ndarray, grid: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Box [4] (x0, y0, x1, y1), five points [5, 2] and score of every candidate, in pixels.

    Args:
        boxes: raw values [N, 4].
        scores: [N], 0..1.
        points: raw values [N, 10].
        grid: `anchors`.
    """
    sound = np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=1)
    chosen = np.flatnonzero(sound & (scores >= _MIN_SCORE))
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:_MOST_CANDIDATES]
    centre, size = grid[chosen, :2], grid[chosen, 2:]
    middle = centre + 0.1 * boxes[chosen, :2] * size
    half = size * np.exp(np.clip(0.2 * boxes[chosen, 2:], -_LARGEST_LOG, _LARGEST_LOG)) / 2
    found = centre[:, None] + 0.1 * points[chosen].reshape(-1, 5, 2) * size[:, None]
    for low, high, five, score in zip(middle - half, middle + half, found, scores[chosen], strict=True):
        yield np.concatenate([low, high]), five, float(score)


def six_points(five: np.ndarray) -> np.ndarray:
    """Keypoints of a FaceBox [6, 2] from RetinaFace's five [5, 2]: its left eye is the one on the image's left,
    which is the subject's right one; ears are NaN."""
    unknown = np.full(2, np.nan)
    return np.stack([five[0], five[1], five[2], (five[3] + five[4]) / 2, unknown, unknown])
