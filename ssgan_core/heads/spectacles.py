"""Glasses: rims in front of the eyes, a bridge over the nose, temples to the ears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import GLASSES, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, join, oval, sheet, tube, unit
from ssgan_core.heads.template import Template, template

_CLEARANCE = 0.005  # world, between skin and frame
_VERTEX_DISTANCE = 0.024  # world, from the eyeball to the lens
_OUTLINE = 40  # points of a rim


@dataclass(frozen=True)
class _Shape:
    """Lens width and height, world units; `power` of the superellipse; `droop` of the outer lower corner, 0..1."""

    width: float
    height: float
    power: float
    droop: float


_SHAPES = {
    "round": _Shape(0.104, 0.096, 2.0, 0.0),
    "square": _Shape(0.116, 0.078, 3.6, 0.0),
    "aviator": _Shape(0.118, 0.100, 2.5, 0.35),
    "sunglasses": _Shape(0.124, 0.092, 3.0, 0.12),
}


def spectacles(identity: Identity, bust: Bust) -> list[Surface]:
    """FRAME and, for sunglasses, LENS surfaces; nothing for those who wear none."""
    name = GLASSES[identity.glasses]
    if name == "none":
        return []
    rng = np.random.default_rng([identity.seed, identity.index, 303])
    shape = _SHAPES[name]
    size = rng.uniform(0.94, 1.06)
    thick = name == "sunglasses" or (name != "aviator" and rng.random() < 0.55)
    thickness = rng.uniform(0.0068, 0.0095) if thick else rng.uniform(0.0038, 0.0052)
    frame = _Frame(bust, shape, size)
    profile = oval(8, 0.8 * thickness if thick else thickness, thickness)
    parts = [tube(frame.rim(side), profile, frame.outwards(side), closed=True) for side in (1, -1)]
    parts += _bridge(frame, thickness, double=name == "aviator")
    parts += [
        tube(frame.temple(side), oval(8, 0.55 * thickness, thickness), np.array([0.0, 1.0, 0.0]))
        for side in (1, -1)
    ]
    surfaces = [join(Material.FRAME, parts)]
    if name == "sunglasses":
        surfaces.append(join(Material.LENS, [frame.lens(side) for side in (1, -1)], two_sided=True))
    return surfaces


class _Frame:
    """Where the pieces of a frame lie on a face."""

    def __init__(self, bust: Bust, shape: _Shape, size: float) -> None:
        self.bust = bust
        self.shape = shape
        left, right = bust.eye_centres
        apart = 0.5 * (left[0] - right[0])
        self.middle = 0.5 * (left + right)
        # Lenses never meet over the nose.
        self.width = min(shape.width * size, 2 * (apart - 0.012))
        self.height = shape.height * size
        self.apart = max(apart, 0.5 * self.width + 0.014)
        self.y = float(self.middle[1]) - 0.006
        self.skin = bust.points[template().piece_vertices["body"]]
        self.z = float(self.middle[2]) + bust.eye_radius + _VERTEX_DISTANCE
        self.z += self._needed()

    def surface(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the gently wrapped sheet that lenses lie in."""
        z = self.z - 1.1 * x * x - 0.12 * (y - self.y)
        return np.stack([x, y, z], axis=-1)

    def _needed(self) -> float:
        """How much farther forward rims and lenses must lie to stay clear of brows and cheeks."""
        x, y = np.abs(self.skin[:, 0]), self.skin[:, 1]
        u, v = (x - self.apart) / (0.5 * self.width), (y - self.y) / (0.5 * self.height)
        under = (np.abs(u) ** 2 + np.abs(v) ** 2 < 1.25) & (self.skin[:, 2] > 0)
        under &= x > 0.030  # the nose stands between the lenses
        if not under.any():
            return 0.0
        gap = self.surface(self.skin[under, 0], self.skin[under, 1])[:, 2] - self.skin[under, 2]
        return float(max(_CLEARANCE - gap.min(), 0.0))

    def outline(self, side: int) -> np.ndarray:
        """The rim's outline in x and y [_OUTLINE, 2], counter-clockwise."""
        points = oval(_OUTLINE, self.width, self.height, self.shape.power)
        inner = points[:, 0] / (0.5 * self.width)
        lower = (-points[:, 1] / (0.5 * self.height)).clip(0, 1)
        # Aviators hang outwards and are cut away beside the nose.
        points[:, 0] += self.shape.droop * 0.010 * lower * side
        points[:, 1] *= 1 - 0.25 * self.shape.droop * (-inner * side).clip(0, 1) * lower
        return points + np.array([side * self.apart, self.y])

    def rim(self, side: int) -> np.ndarray:
        """The rim's middle line [_OUTLINE, 3]."""
        flat = self.outline(side)
        return self.surface(flat[:, 0], flat[:, 1])

    def outwards(self, side: int) -> np.ndarray:
        """Unit vectors [_OUTLINE, 3] away from the lens' middle: the rim's profile stands on them."""
        flat = self.outline(side) - np.array([side * self.apart, self.y])
        return unit(np.concatenate([flat, np.zeros((len(flat), 1))], axis=1))

    def lens(self, side: int) -> Part:
        """A curved disc that fills the rim."""
        flat = self.outline(side)
        centre = flat.mean(axis=0)
        rings = np.linspace(0, 1, 8)[:, None, None]
        place = centre + rings * (flat - centre)
        points = self.surface(place[..., 0], place[..., 1])
        points[..., 2] += 0.006 * (1 - rings[..., 0] ** 2)
        return sheet(points, wrap_columns=True)

    def temple(self, side: int) -> np.ndarray:
        """From the hinge past the temple to behind the ear [n, 3]."""
        mesh = template()
        start = self.surface(
            np.array(side * (self.apart + 0.5 * self.width)), np.array(self.y + 0.20 * self.height)
        )
        start = start + np.array([0.003 * side, 0.0, -0.002])
        over = self._skin_at(np.array([0.70 * side, 7.345, 0.58]), mesh) + np.array(
            [0.005 * side, 0.010, 0.0]
        )
        behind = self._skin_at(np.array([0.66 * side, 7.20, 0.30]), mesh) + np.array(
            [0.006 * side, 0.0, -0.004]
        )
        t = np.linspace(0, 1, 14)[:, None]
        path = np.concatenate([start + t * (over - start), over + t[1::3] * (behind - over)])
        # Where the head is wide, temples bend around it.
        distance, outward = self.bust.hull.distance(path)
        push = (_CLEARANCE - distance).clip(0) * (path[:, 2] < self.z - 0.03)
        path[:, 0] += push * np.sign(outward[:, 0]) / np.abs(outward[:, 0]).clip(0.5)
        return path

    def _skin_at(self, rest: np.ndarray, mesh: Template) -> np.ndarray:
        """The place [3] on the side of the head, beside the ear, that is nearest to a place of the template."""
        distance = np.linalg.norm(mesh.rest - rest, axis=1) + 10 * (mesh.masks["ears"] > 0.2)
        return self.bust.points[distance.argmin()].astype(float)

    def ridge(self, y: float) -> float:
        """z of the bridge of the nose at a height."""
        near = (np.abs(self.skin[:, 0]) < 0.014) & (np.abs(self.skin[:, 1] - y) < 0.012)
        return float(self.skin[near, 2].max()) if near.any() else self.z


def _bridge(frame: _Frame, thickness: float, double: bool) -> list[Part]:
    inner = frame.apart - 0.5 * frame.width
    parts = []
    for height in (0.12, 0.42) if double else (0.16,):
        y = frame.y + height * frame.height
        x = np.linspace(-inner - 0.002, inner + 0.002, 11)
        points = frame.surface(x, np.full_like(x, y) + 0.006 * (1 - (x / (inner + 0.002)) ** 2))
        lift = max(frame.ridge(y) + _CLEARANCE + 0.5 * thickness - points[5, 2], 0.0)
        points[:, 2] += lift * np.cos(0.5 * np.pi * x / (inner + 0.002)).clip(0) ** 0.7
        parts.append(tube(points, oval(8, 0.9 * thickness, 0.9 * thickness), np.array([0.0, 1.0, 0.0])))
    for side in (1, -1):  # pads
        pad = frame.surface(np.array(side * (inner + 0.001)), np.array(frame.y - 0.10 * frame.height))
        parts.append(ball(pad + np.array([0.0, 0.0, -0.008]), np.array([0.003, 0.007, 0.005])))
    return parts
