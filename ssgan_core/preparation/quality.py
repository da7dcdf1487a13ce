"""What a face in a photo is worth: measures that become columns of meta.jsonl, and the filters on them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.alignment import Crop, cut_photo
from ssgan_core.preparation.mesh import canonical_mesh

FINEST = 512
"""Samples a side of the crop at which sharpness is looked at, at most."""
_SCALES = (1.0, 2.0)  # standard deviations of the Gaussians before the two gradients, samples
_EDGES = 90  # percentile of the gradient from which a sample counts as an edge
_LEAST_BLUR = 0.5  # samples: a picture that is as sharp as its sampling allows
_BROW = 105  # a point of the upper edge of a brow; what is above it may be covered by a fringe or a hat
_FACE_PARTS = np.isin(PORTRAIT.names, ("skin", "eyes", "brows", "mouth", "nose", "glasses"))


class Filtered(SsganError):
    """A face that is fine, but that the user does not want."""


@dataclass(frozen=True)
class Filters:
    """What the user asks of a face; the defaults turn away tiny ones only.

    Attributes:
        min_face: smallest `face_pixels`.
        min_sharpness: smallest sharpness of `Look`, samples; 0 = any.
        max_occlusion: largest `occlusion`, 0..1; 1 = any.
        max_yaw: largest yaw to either side, degrees; 90 = any.

    Raises:
        SsganError: one of them is no number.
    """

    min_face: float = 48.0
    min_sharpness: float = 0.0
    max_occlusion: float = 1.0
    max_yaw: float = 90.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not math.isfinite(value):
                raise SsganError(f"the filter {name} has to be a number, not {value}")

    def check_view(self, face_pixels: float, yaw: float) -> None:
        """Of `face_pixels` and a yaw in degrees. Raises Filtered."""
        if face_pixels < self.min_face:
            raise Filtered(f"the face is too small ({face_pixels:.1f} pixels, wanted {self.min_face:g})")
        if abs(yaw) > self.max_yaw:
            raise Filtered(
                f"the face is turned away (yaw {yaw:.1f}, wanted {self.max_yaw:g} degrees at most)"
            )

    def check_look(self, look: Look) -> None:
        """Raises Filtered."""
        if look.sharpness < self.min_sharpness:
            raise Filtered(
                f"the face is blurred (sharpness {look.sharpness:.1f}, wanted {self.min_sharpness:g})"
            )

    def check_occlusion(self, occlusion: float) -> None:
        """Raises Filtered."""
        if occlusion > self.max_occlusion:
            raise Filtered(
                f"the face is covered ({100 * occlusion:.1f} %, wanted {100 * self.max_occlusion:g} % at most)"
            )


@dataclass(frozen=True)
class Look:
    """How a face looks.

    Attributes:
        blur: standard deviation of the blur of the face's clearest edges, in sides of the crop.
        sharpness: 0.5 / blur: so many samples a side suffice to hold what the crop shows.
        exposure: mean brightness of the face, 0..1, of the sRGB values.
    """

    blur: float
    sharpness: float
    exposure: float


def look(photo: np.ndarray, crop: Crop, points: np.ndarray) -> Look:
    """How the face with the points [468, 2 or 3] looks in the crop of photo [H, W, 3], uint8 RGB.

    Blur is measured where it shows, on the strongest tenth of the gradients inside the face. An edge of blur s
    under a further Gaussian of t has a gradient that is proportional to 1 / sqrt(s^2 + t^2); the ratio R of
    the gradients under t1 < t2 therefore gives s^2 = (t2^2 - R^2 t1^2) / (R^2 - 1) (after Zhuo and Sim,
    Defocus map estimation from a single image, 2011). Contrast and brightness cancel, noise hardly counts on
    strong edges, and the unit is the crop's side, so that neither the photo's resolution nor the data set's
    does, except that nothing can be sharper than its sampling. The face is sampled as in a crop of 512 pixels,
    or as finely as the photo is where that is less: enlarging would add nothing but its own softness.
    """
    box = crop.to_crop(points[:, :2])
    low, high = box.min(axis=0), box.max(axis=0)
    share = float((high - low).max())
    samples = min(float(FINEST), crop.side)
    size = max(round(samples * share), 8)
    x, y = crop.to_photo((low + high)[None] / 2)[0]
    window = Crop((float(x), float(y)), crop.side * share, crop.angle)
    grey = cv2.cvtColor(cut_photo(photo, window, size), cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = _hull(window.to_crop(points[:, :2]), size)
    blur = float(np.clip(_edge_blur(grey, inside), _LEAST_BLUR, samples)) / samples
    return Look(blur, 0.5 / blur, float(grey[inside].mean()) / 255)


def occlusion(ids: np.ndarray, points: np.ndarray) -> float:
    """Share of the face below the brows that is labelled as something else than a face's parts, 0..1.

    Args:
        ids: [R, R], uint8, of the crop.
        points: [468, 2], in the crop, 0..1.

    Hair over a cheek, a hand or a microphone that the parser calls cloth, a shoulder before the chin count;
    glasses and the forehead do not. 1 where the face lies outside the picture.
    """
    mesh = canonical_mesh().points
    below = points[mesh[:, 1] <= mesh[_BROW, 1]]
    # The outline of parsers is rough: the border is left out.
    middle = below.mean(axis=0)
    labels = ids[_hull(middle + 0.9 * (below - middle), len(ids))]
    return float(1 - _FACE_PARTS[labels].mean()) if labels.size else 1.0


def _edge_blur(grey: np.ndarray, inside: np.ndarray) -> float:
    """Blur of the clearest edges in samples; infinite where there are none."""
    fine, coarse = (_gradient(cv2.GaussianBlur(grey, (0, 0), scale))[inside] for scale in _SCALES)
    edges = fine >= max(np.percentile(fine, _EDGES), 1e-3)
    if not edges.any():
        return float("inf")
    ratio = float(np.median(fine[edges] / np.maximum(coarse[edges], 1e-6))) ** 2
    if ratio <= 1:
        return float("inf")
    return float(np.sqrt(max(_SCALES[1] ** 2 - ratio * _SCALES[0] ** 2, 0) / (ratio - 1)))


def _gradient(grey: np.ndarray) -> np.ndarray:
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1))


def _hull(points: np.ndarray, size: int) -> np.ndarray:
    """The inside of the convex hull of points [N, 2], 0..1, as bool [size, size]."""
    corners = cv2.convexHull(np.round(points * size - 0.5).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros((size, size), np.uint8), corners, 1) > 0
