"""Whether two views show one solid: pixels carried from one to the other by depth.

A pixel of one view is placed in the world by its depth and looked up in the other view. Where the other view's surface
is nearer by more than the tolerance, the point is hidden there, which is nobody's fault. Where it is farther, the other
view looks through something that this one sees: the depths contradict each other. In between the point is seen twice,
and its colours should be alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssgan_core.evaluation.geometry import project, unproject

APART = 0.3
"""Radians of yaw between the two views."""
COVISIBLE = 0.02
"""World units by which depths may differ for a point to be the same."""
INLIER = 0.1
"""Largest mean absolute difference of the three channels, images in [0, 1], of a pixel that agrees."""


@dataclass(frozen=True)
class Reprojection:
    """What became of a view's foreground pixels.

    Attributes:
        pixels: foreground pixels that fall into the other picture.
        landed: of these, those that fall on its foreground.
        contradicted: of the landed, those in front of what is seen there, by more than the tolerance.
        covisible: of the landed, those at the depth that is seen there.
        inliers: of the co-visible, those of the same colour (see INLIER).
        colour: sum of the colour differences of the co-visible, images in [0, 1].
        depth: sum of the absolute depth differences of the co-visible, world units.
    """

    pixels: int = 0
    landed: int = 0
    contradicted: int = 0
    covisible: int = 0
    inliers: int = 0
    colour: float = 0.0
    depth: float = 0.0

    def __add__(self, other: Reprojection) -> Reprojection:
        return Reprojection(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def facts(self) -> dict[str, float | None]:
        """Shares and means; None where there is nothing to take them of."""
        return {
            "covisible": _share(self.covisible, self.pixels),
            "inliers": _share(self.inliers, self.covisible),
            "colour_error": _share(self.colour, self.covisible),
            "depth_error": _share(self.depth, self.covisible),
            "contradicted": _share(self.contradicted, self.landed),
        }


def reproject(
    image: np.ndarray,
    depth: np.ndarray,
    label: np.ndarray,
    other_image: np.ndarray,
    other_depth: np.ndarray,
    other_label: np.ndarray,
) -> Reprojection:
    """Carry a view into another.

    Args:
        image, other_image: uint8 [H, W, 3].
        depth, other_depth: z_cam [H, W], 0 = background.
        label, other_label: cameras [25].
    """
    height, width = depth.shape
    seen = depth > 0
    place, expected = project(unproject(depth.astype(np.float64), label)[seen], other_label)
    inside = ((place >= 0) & (place < 1)).all(axis=1) & (expected > 0)
    place, expected, colours = place[inside], expected[inside], image[seen][inside] / 255.0
    found = other_depth[(place[:, 1] * height).astype(int), (place[:, 0] * width).astype(int)]
    landed = found > 0
    gap = expected - found
    covisible = landed & (np.abs(gap) <= COVISIBLE)
    difference = np.abs(_bilinear(other_image / 255.0, place[covisible]) - colours[covisible]).mean(axis=1)
    return Reprojection(
        pixels=len(place),
        landed=int(landed.sum()),
        contradicted=int((landed & (gap < -COVISIBLE)).sum()),
        covisible=int(covisible.sum()),
        inliers=int((difference <= INLIER).sum()),
        colour=float(difference.sum()),
        depth=float(np.abs(gap[covisible]).sum()),
    )


def _bilinear(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values [N, C] of picture [H, W, C] at places [N, 2] in 0..1 (x, y); borders are repeated."""
    height, width = picture.shape[:2]
    x = np.clip(place[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(place[:, 1] * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - across) + picture[top, right] * across
    lower = picture[bottom, left] * (1 - across) + picture[bottom, right] * across
    return upper * (1 - down) + lower * down


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
