"""Crops: the map from a photo to the square picture of a data set, applied alike to photo and mask.

A crop is a similarity, so shrinking and turning in one resampling. `five_point_crop` is EG3D's window (weak
perspective through five points, a side of 700 / 300 of the scale); the final crop of `pose.solve` is close to
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ssgan_core.cameras import FOCAL, RADIUS
from ssgan_core.errors import SsganError
from ssgan_core.preparation.mesh import canonical_mesh, five_points

_MOST_SAMPLES = 8  # samples per output pixel and axis; beyond that the photo is shrunk first
# Beyond the photo's edge, in sides of the crop: its reflection blurs over the first distance, keeps its
# labels up to the second, and has faded to the photo's mean at the third.
_BLURRED, _LABELLED, _FADED = 0.06, 0.10, 0.30


@dataclass(frozen=True)
class Crop:
    """A turned square of a photo.

    Attributes:
        centre: x, y in photo pixels (pixel centres at i + 0.5).
        side: photo pixels.
        angle: of the crop's x axis in the photo, radians.
    """

    centre: tuple[float, float]
    side: float
    angle: float

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Photo positions [N, 2] in the crop, 0..1."""
        turn = np.exp(-1j * self.angle) / self.side
        moved = turn * (points[:, 0] + 1j * points[:, 1] - complex(*self.centre))
        return np.column_stack([moved.real, moved.imag]) + 0.5

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Crop positions [N, 2], 0..1, in photo pixels."""
        turn = np.exp(1j * self.angle) * self.side
        moved = turn * (points[:, 0] - 0.5 + 1j * (points[:, 1] - 0.5)) + complex(*self.centre)
        return np.column_stack([moved.real, moved.imag])

    def scaled(self, factor: float) -> Crop:
        """The same crop of the photo enlarged by `factor`."""
        return Crop((self.centre[0] * factor, self.centre[1] * factor), self.side * factor, self.angle)

    def inside(self, width: int, height: int) -> bool:
        """Whether all of the crop shows a photo."""
        x, y = self.to_photo(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float64)).T
        return bool(min(x.min(), y.min()) >= 0 and x.max() <= width and y.max() <= height)

    def padding(self, width: int, height: int) -> float:
        """Share of the crop that lies outside a photo."""
        return float((_outside(self, 64, width, height) > 0).mean())


def five_point_crop(points: np.ndarray) -> Crop:
    """EG3D's crop for photo landmarks [468, 2 or 3]: an affine camera through five points, by least squares.

    Its side is what the frontal camera sees at the points' mean depth; its x axis is the image of the
    world's.

    Raises:
        SsganError: the points are degenerate.
    """
    model = five_points(canonical_mesh().points)
    image = five_points(points[:, :2])
    system = np.column_stack([model, np.ones(len(model))])
    camera = np.linalg.lstsq(system, image, rcond=None)[0].T  # [2, 4]
    scale = float(np.linalg.norm(camera[:, :3], axis=1).mean())
    if not np.isfinite(scale) or scale <= 0:
        raise SsganError("the face's points do not span a face")
    side = scale * (RADIUS - model[:, 2].mean()) / FOCAL
    return Crop(
        (float(camera[0, 3]), float(camera[1, 3])), side, float(np.arctan2(camera[1, 0], camera[0, 0]))
    )


def fitted_crop(points: np.ndarray, seen: np.ndarray) -> Crop:
    """The crop in which photo positions [N, 2] come closest to `seen` [N, 2], 0..1 (least squares)."""
    source, target = points[:, 0] + 1j * points[:, 1], seen[:, 0] + 1j * seen[:, 1]
    middle, goal = source.mean(), target.mean()
    turn = np.vdot(source - middle, target - goal) / np.vdot(source - middle, source - middle).real
    centre = middle + (0.5 + 0.5j - goal) / turn
    return Crop((float(centre.real), float(centre.imag)), float(1 / abs(turn)), float(-np.angle(turn)))


def cut_photo(photo: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """The crop of photo [H, W, 3], uint8, as [size, size, 3], uint8, free of aliasing.

    Where the crop leaves the photo, the photo is reflected, and with growing distance blurred and faded to
    its mean.
    """
    height, width = photo.shape[:2]
    samples = max(int(np.ceil(crop.side / size)), 1)
    if samples > _MOST_SAMPLES:
        factor = _MOST_SAMPLES / samples
        target = (max(round(width * factor), 1), max(round(height * factor), 1))
        photo = cv2.resize(photo, target, interpolation=cv2.INTER_AREA)
        crop, samples = crop.scaled(target[0] / width), _MOST_SAMPLES
        height, width = photo.shape[:2]
    fine = _warped(photo, crop, size * samples, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
    picture = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA) if samples > 1 else fine
    if crop.inside(width, height):
        return picture
    outside = _outside(crop, size, width, height)
    made_up = outside > 0
    if not made_up.any():  # the crop's rim is outside, but no pixel's centre
        return picture
    seen = None if made_up.all() else (~made_up).astype(np.uint8)
    mean = np.array(cv2.mean(picture, seen)[:3], np.float32)
    sigma = max(size * _BLURRED / 2, 0.5)
    box = _around(made_up, math.ceil(3 * sigma) + 1)  # mostly a strip at the bottom
    blurred = cv2.GaussianBlur(picture[box], (0, 0), sigma)[made_up[box]]
    soft, beyond = picture[made_up].astype(np.float32), outside[made_up]
    soft += (blurred - soft) * _smooth(beyond / _BLURRED)[:, None]
    soft += (mean - soft) * _smooth((beyond - _BLURRED) / (_FADED - _BLURRED))[:, None]
    picture[made_up] = np.clip(soft + 0.5, 0, 255).astype(np.uint8)
    return picture


def _around(chosen: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The smallest box of a picture that holds the chosen pixels, and so many around them."""
    boxes = []
    for axis in (1, 0):
        places = np.flatnonzero(chosen.any(axis=axis))
        boxes.append(slice(max(places[0] - margin, 0), places[-1] + 1 + margin))
    return boxes[0], boxes[1]


def cut_labels(labels: np.ndarray, crop: Crop, size: int, photo_width: int) -> np.ndarray:
    """The crop of a label map [h, w], uint8, of a photo that is `photo_width` wide: nearest labels.

    The label map shows the whole photo, at its own size. Where the crop leaves the photo, labels are
    reflected like the photo as far as the reflection still shows what they name, and 0 (background) beyond.
    A crop of an FFHQ-aligned photo always leaves it at the bottom, by about 5 %: background there would cut
    every neck.
    """
    height, width = labels.shape
    own = crop.scaled(width / photo_width)
    cut = _warped(labels, own, size, cv2.INTER_NEAREST, cv2.BORDER_REFLECT_101)
    return without_made_up(cut, own, width, height)


def without_made_up(ids: np.ndarray, crop: Crop, width: int, height: int) -> np.ndarray:
    """Part ids [R, R] of a crop, set to 0 where no label can be told any more: far outside the photo."""
    if not crop.inside(width, height):
        ids[_outside(crop, len(ids), width, height) > _LABELLED] = 0
    return ids


def _warped(picture: np.ndarray, crop: Crop, size: int, interpolation: int, border: int) -> np.ndarray:
    scale = crop.side / size
    cos, sin = scale * np.cos(crop.angle), scale * np.sin(crop.angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    # OpenCV counts pixel centres from 0, a crop from 0.5.
    shift = np.array(crop.centre) + linear @ np.full(2, 0.5 - size / 2) - 0.5
    affine = np.column_stack([linear, shift])
    return cv2.warpAffine(
        picture, affine, (size, size), flags=interpolation | cv2.WARP_INVERSE_MAP, borderMode=border
    )


def _outside(crop: Crop, size: int, width: int, height: int) -> np.ndarray:
    """How far outside the photo each pixel's centre lies [size, size], in crop sides; negative inside."""
    steps = (np.arange(size) + 0.5) / size
    start = np.zeros_like(steps)
    # A crop is a similarity: what a step down adds is the same everywhere.
    along, down = (crop.to_photo(np.stack(line, axis=1)) for line in ((steps, start), (start, steps)))
    down -= crop.to_photo(np.zeros((1, 2)))
    x, y = (along[:, axis] + down[:, axis, None] for axis in (0, 1))
    return np.maximum(np.abs(x - width / 2) - width / 2, np.abs(y - height / 2) - height / 2) / crop.side


def _smooth(ramp: np.ndarray) -> np.ndarray:
    ramp = np.clip(ramp, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
