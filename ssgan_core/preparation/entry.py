"""One photo becomes one entry of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.pictures import read_image
from ssgan_core.preparation import pose
from ssgan_core.preparation.alignment import cut_labels, cut_photo
from ssgan_core.preparation.faces import FindsFace
from ssgan_core.preparation.masks import MaskSource
from ssgan_core.preparation.mesh import five_points
from ssgan_core.preparation.photos import Photo

_LONGEST_SIDE = 16_000  # OpenCV's warps count pixels in 16 bits
_SMALLEST_KNOWN = 0.01  # share of the crop that the mask must mark as something
# Share of the crop that may lie outside the photo; of 1,000 real portraits one needs 0.27.
_MOST_PADDING = 0.28


@dataclass(frozen=True)
class Entry:
    """What a data set stores of a photo: image uint8 [R, R, 3], mask uint8 [R, R], label [25], meta."""

    image: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    meta: dict[str, Any]


def make_entry(photo: Photo, masks: MaskSource, find_face: FindsFace, size: int) -> Entry:
    """Read, find, solve and cut one photo.

    Raises:
        SsganError: with the reason to skip it.
    """
    try:
        picture = read_image(photo.path, name="the photo")
        height, width = picture.shape[:2]
        ids = masks.read(photo.path, photo.relative, width, height)
        picture = _bounded(picture)
        face = find_face(picture)
        view = pose.solve(face.points)
        pose.check(view)
        padding = view.crop.padding(picture.shape[1], picture.shape[0])
        if padding > _MOST_PADDING:
            raise SsganError(
                f"the photo's edge cuts the portrait off: {100 * padding:.0f} % would be made up"
            )
        image = cut_photo(picture, view.crop, size)
        mask = cut_labels(ids, view.crop, size, picture.shape[1])
    except cv2.error as error:
        raise SsganError(f"OpenCV failed: {error.err}") from error
    if (mask > 0).mean() < _SMALLEST_KNOWN:
        raise SsganError("its mask is empty where the face is")
    scale = width / picture.shape[1]
    five = view.crop.to_crop(five_points(face.points)[:, :2])
    meta = {
        "source": photo.source,
        "face_box": _rounded(face.box * scale, 1),
        "face_score": round(face.score, 3),
        "other_faces": face.others,
        "crop": {
            "centre": _rounded(np.array(view.crop.centre) * scale, 2),
            "side": round(view.crop.side * scale, 2),
            "angle_degrees": round(float(np.rad2deg(view.crop.angle)), 3),
            "padding": round(padding, 4),
        },
        "five_points": [_rounded(point, 4) for point in five],
        "yaw_degrees": round(float(np.rad2deg(view.yaw)), 3),
        "pitch_degrees": round(float(np.rad2deg(view.pitch)), 3),
        "raw_radius": round(view.raw_radius, 4),
        "error": round(view.error, 5),
    }
    return Entry(image, mask, view.label, meta)


def _bounded(picture: np.ndarray) -> np.ndarray:
    longest = max(picture.shape[:2])
    if longest <= _LONGEST_SIDE:
        return picture
    factor = _LONGEST_SIDE / longest
    size = (max(round(picture.shape[1] * factor), 1), max(round(picture.shape[0] * factor), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
