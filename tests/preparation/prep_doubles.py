"""A face finder and a parser without networks, and photos for them: a module, so that worker processes find it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from ssgan_core import cameras
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.backends import Backends
from ssgan_core.preparation.faces import Face
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.pose import project

FACELESS, CUT_OFF, UNPARSED, DEADLY = 0, 7, 245, 255
FRONTAL = 128


def face_points(width: int, height: int, yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    """The canonical face [468, 3] in a photo whose largest middle square is the crop."""
    side = min(width, height)
    seen = (project(canonical_mesh().points, cameras.label(yaw, pitch)) - 0.5) * side + [
        width / 2,
        height / 2,
    ]
    return np.column_stack([seen, np.zeros(len(seen))])


class CodedFinder:
    """Sees a face wherever the photo is not black; its left upper corner's brightness codes yaw and trouble."""

    def __call__(self, photo: np.ndarray) -> Face:
        """Raises SsganError for black; kills the process for white."""
        code = float(photo[:8, :8].mean())
        if round(code) == DEADLY:
            os._exit(9)
        if round(code) == FACELESS:
            raise SsganError("no face was found")
        height, width = photo.shape[:2]
        points = face_points(width, height, yaw=(code - FRONTAL) / 200)
        if round(code) == CUT_OFF:
            points[:, 0] -= 0.4 * width
        return Face(np.array([0.0, 0.0, width, height]), points, 1.0, 0)

    def every(self, photo: np.ndarray) -> list[Face]:
        """One face in every square of a wide photo, from left to right."""
        side = photo.shape[0]
        count = photo.shape[1] // side
        found = []
        for left in range(0, count * side, side):
            face = self(np.ascontiguousarray(photo[:, left : left + side]))
            shift = np.array([left, 0.0, 0.0])
            found.append(Face(face.box + shift[[0, 1, 0, 1]], face.points + shift, face.score, count - 1))
        return found


class HalvesParser:
    """Hair above, skin below; all background for a picture whose left upper corner is nearly white."""

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        ids = np.full(crop.shape[:2], PORTRAIT.names.index("skin"), np.uint8)
        ids[: len(crop) // 2] = PORTRAIT.names.index("hair")
        return ids * (crop[:8, :8].mean() < UNPARSED - 5)


GIVEN_MASKS = Backends(CodedFinder, None, {"double": "0"})
PARSED = Backends(CodedFinder, HalvesParser, {"double": "0", "parser": "0"})


def picture(width: int, height: int, code: int = FRONTAL) -> Image.Image:
    """A smooth colourful photo with a code in its corner."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256], axis=-1).astype(np.uint8)
    pixels[: height // 4, : width // 4] = code
    return Image.fromarray(pixels)


def label_map(width: int, height: int) -> Image.Image:
    """Hair above, skin below, in CelebAMask-HQ's order."""
    labels = np.full((height, width), 1, np.uint8)
    labels[: height // 2] = 13
    return Image.fromarray(labels)


def add_pair(folder: Path, name: str, code: int = FRONTAL, size: tuple[int, int] = (96, 96)) -> None:
    """photos/<name> and masks/<stem>.png."""
    photo, mask = folder / "photos" / name, (folder / "masks" / name).with_suffix(".png")
    for path in (photo, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    picture(*size, code).save(photo)
    label_map(*size).save(mask)


def add_crowd(folder: Path, name: str, codes: list[int], side: int = 96) -> None:
    """photos/<name>: a row of square pictures side by side."""
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.concatenate([np.asarray(picture(side, side, code)) for code in codes], axis=1)
    Image.fromarray(row).save(path)
