"""Glasses: rims in front of the eyes, a bridge over the nose, temples that lie on the ears."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import GLASSES, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, between, blur_rows, join, oval, sheet, smoothstep, tube, unit
from ssgan_core.heads.template import template

_CLEARANCE = 0.004  # world, between skin and frame
_VERTEX_DISTANCE = (
    0.022  # world, from the eyeball to the lens: 8 mm, and more where brow or cheek asks for it
)
_OUTLINE = 56  # points of a rim
_WRAP, _TILT = 0.55, 0.10  # how much the front bends around the face; how far lower edges lean to the cheeks
_TOP = 0.24  # height of bridge and hinges above the lens' middle, in lens heights


@dataclass(frozen=True)
class _Style:
    """Shape of a lens.

    Attributes:
        width, height: of the lens, in distances between the eyes.
        power: of its superellipse.
        flare: how much wider it is above than below.
        hang: how far its lower half hangs outwards, as an aviator's.
        acetate: share of frames that are thick.
    """

    width: float
    height: float
    power: float
    flare: float
    hang: float
    acetate: float


_STYLES = {
    "round": _Style(0.76, 0.70, 2.15, 0.03, 0.0, 0.4),
    "square": _Style(0.83, 0.60, 3.4, 0.07, 0.0, 0.7),
    "aviator": _Style(0.88, 0.74, 2.5, 0.10, 0.10, 0.0),
}
_SUNGLASSES = (
    _Style(0.90, 0.70, 3.0, 0.10, 0.0, 1.0),
    _Style(0.84, 0.76, 2.2, 0.03, 0.0, 0.7),
    _Style(0.92, 0.78, 2.5, 0.10, 0.10, 0.0),
)


def spectacles(identity: Identity, bust: Bust) -> list[Surface]:
    """FRAME and LENS or CLEAR surfaces; nothing for those who wear none."""
    name = GLASSES[identity.glasses]
    if name == "none":
        return []
    tinted = name == "sunglasses"
    style = _sunglasses(identity.lens_shape) if tinted else _STYLES[name]
    thick = identity.glasses_thickness >= 1 - style.acetate
    size = between(0.94, 1.05, identity.glasses_size)
    front = _Front(bust, style, size, between(*_THICKNESS[thick], identity.glasses_thickness))
    parts = [part for side in (1, -1) for part in (front.rim(side), front.temple(side, thick))]
    parts += front.bridge(thick, double=style.hang > 0)
    lenses = [front.lens(side) for side in (1, -1)]
    return [
        join(Material.FRAME, parts),
        join(Material.LENS if tinted else Material.CLEAR, lenses, two_sided=True),
    ]


def _sunglasses(lens_shape: float) -> _Style:
    """The style of a share 0..1."""
    return _SUNGLASSES[min(int(lens_shape * len(_SUNGLASSES)), len(_SUNGLASSES) - 1)]


_THICKNESS = {False: (0.0034, 0.0046), True: (0.0078, 0.0110)}  # world, of wire and of acetate


class _Front:
    """The front of a pair of glasses, as it stands before a face."""

    def __init__(self, bust: Bust, style: _Style, size: float, thickness: float) -> None:
        left, right = bust.eye_centres
        apart = float(left[0] - right[0])
        self.bust = bust
        self.style = style
        self.thickness = thickness
        self.width, self.height = style.width * size * apart, style.height * size * apart
        # Between the rims there is room for the nose; lenses stand a little farther apart than eyes.
        self.gap = max(0.29 * apart, 0.052 * bust.scale / 0.27) + thickness
        self.middle = np.array([0.5 * (left[0] + right[0]), 0.5 * (left[1] + right[1]) - 0.05 * self.height])
        self.face = bust.points[_face()].astype(float)
        self.relief = _relief(self.face)
        self.outlines = {side: self._outline(side) for side in (1, -1)}
        outlines = np.concatenate(list(self.outlines.values()))
        self.z = 0.0
        need = self.skin_before(outlines) + 0.5 * thickness + _CLEARANCE - self.place(outlines)[:, 2]
        eyes = bust.eye_centres[:, 2].max() + bust.eye_radius + _VERTEX_DISTANCE
        self.z = float(max(eyes, need.max(), self._lens_need()))

    def place(self, flat: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the gently bent sheet that lenses lie in, at x and y [..., 2]."""
        x, y = flat[..., 0] - self.middle[0], flat[..., 1] - self.middle[1]
        return np.stack([flat[..., 0], flat[..., 1], self.z - _WRAP * x * x + _TILT * y], axis=-1)

    def skin_before(self, flat: np.ndarray) -> np.ndarray:
        """z [n] of the foremost skin around places [n, 2]."""
        cell = ((flat - _RELIEF_CORNER) / _RELIEF_CELL).astype(int).clip(0, np.array(self.relief.shape) - 1)
        return self.relief[cell[:, 0], cell[:, 1]]

    def _lens_need(self) -> float:
        """The z at which lenses stay clear of what lies behind them: lashes, brows, cheeks."""
        x = np.abs(self.face[:, 0] - self.middle[0]) - 0.5 * (self.gap + self.width)
        y = self.face[:, 1] - self.middle[1]
        behind = (x / (0.5 * self.width)) ** 2 + (y / (0.5 * self.height)) ** 2 < 1
        flat = self.face[behind]
        return float((flat[:, 2] - self.place(flat[:, :2])[:, 2]).max() + _CLEARANCE)

    def _outline(self, side: int) -> np.ndarray:
        """The rim's middle line in x and y [_OUTLINE, 2], counter-clockwise for the subject's left."""
        style = self.style
        shape = oval(_OUTLINE, 2.0, 2.0, style.power)  # x grows outwards, y up
        out, up = shape.T
        x = out * (1 + style.flare * up) + style.hang * (-up).clip(0) ** 1.5
        # The corner below the nose is cut away, the brow line falls a little outwards.
        x = x + 0.5 * style.hang * (-out).clip(0) * smoothstep(0.2, -0.8, up)
        y = up * (1 - 0.5 * style.hang * (up > 0)) - 0.04 * out * (up > 0) * up
        x = side * (0.5 * (self.gap + self.width) + 0.5 * self.width * x)
        return np.stack([x, 0.5 * self.height * y], axis=-1) + self.middle

    def rim(self, side: int) -> Part:
        flat = self.outlines[side]
        outwards = np.concatenate([unit(flat - flat.mean(axis=0)), np.zeros((len(flat), 1))], axis=1)
        # Acetate is stronger above than below.
        above = (flat[:, 1] - self.middle[1]) / (0.5 * self.height)
        sizes = 1 + (0.18 * above if self.thickness > 0.006 else 0.0 * above)
        profile = oval(10, 0.75 * self.thickness, self.thickness, 2.8)
        return tube(self.place(flat)[::side], profile, outwards[::side], sizes[::side], closed=True)

    def lens(self, side: int) -> Part:
        """A curved disc that fills the rim."""
        flat = self.outlines[side][::side]
        centre = flat.mean(axis=0)
        share = np.linspace(0, 1, 8)[:, None, None]
        points = self.place(centre + share * (flat - centre))
        points[..., 2] += 0.004 * (1 - share[..., 0] ** 2)
        return sheet(points, wrap_columns=True)

    def temple(self, side: int, thick: bool) -> Part:
        """From the end of the rim back along the head, over the ear and down behind it."""
        flat = self.outlines[side]
        high = self.middle[1] + _TOP * self.height
        outer = np.where(flat[:, 1] > self.middle[1], np.abs(flat[:, 1] - high), np.inf)
        outer = outer + np.where(
            side * (flat[:, 0] - self.middle[0]) > 0.5 * (self.gap + self.width), 0, np.inf
        )
        rim = self.place(flat[outer.argmin()])
        above, behind = (self.bust.points[vertex].astype(float) for vertex in _ear(side))
        ply = 0.42 * self.thickness + 0.001
        above = above + np.array([side * ply, 0.003, 0.0])
        # Sideways out of the rim, then back: the end piece.
        reach = max(abs(above[0] - rim[0]) * 0.45, 0.010)
        corner = rim + np.array([side * reach, 0.0, -0.006])
        t = np.linspace(0, 1, 20)[:, None]
        back = corner + t * (above - corner)
        back[:, 0] = self._beside(back, side, ply)
        lead = rim + np.linspace(0, 0.9, 4)[:, None] * (back[0] - rim) + np.array([[0, 0, 0]])
        lead[:, 2] += 0.003 * np.sin(np.pi * np.linspace(0, 0.9, 4))
        s = np.linspace(0, 1, 7)[1:, None]
        hook = above + s * (behind - above) + np.array([0.0, 0.010, 0.0]) * np.sin(np.pi * s)
        path = np.concatenate([lead, back, hook])
        profile = oval(8, 0.55 * self.thickness if thick else self.thickness, self.thickness, 2.6)
        return tube(path, profile, np.array([0.0, 1.0, 0.0]))

    def _beside(self, path: np.ndarray, side: int, ply: float) -> np.ndarray:
        """x [n] of a path that goes back along the head: straight where it can, around temples where it must."""
        skin = self.bust.points[_flank(side)].astype(float)
        near = (np.abs(skin[None, :, 1] - path[:, None, 1]) < 0.012) & (
            np.abs(skin[None, :, 2] - path[:, None, 2]) < 0.014
        )
        wide = np.where(near, side * skin[None, :, 0], -np.inf).max(axis=1) + ply
        x = np.maximum(side * path[:, 0], wide)
        smooth = blur_rows(x, 3)
        smooth[0] = x[0]
        return side * np.maximum(smooth, wide)

    def bridge(self, thick: bool, double: bool) -> list[Part]:
        """What joins the rims across the nose; wire frames have pads."""
        parts = []
        profile = oval(10, 0.8 * self.thickness, (1.15 if thick else 0.9) * self.thickness, 2.4)
        for height, rise in ((_TOP, 0.10), (0.43, 0.02)) if double else ((_TOP - 0.05 * thick, 0.09),):
            ends = []
            for side in (-1, 1):
                flat = self.outlines[side]
                inner = np.where(
                    side * (flat[:, 0] - self.middle[0]) < 0.5 * (self.gap + self.width),
                    np.abs(flat[:, 1] - self.middle[1] - height * self.height),
                    np.inf,
                )
                ends.append(flat[inner.argmin()])
            t = np.linspace(0, 1, 13)
            arch = 1 - (2 * t - 1) ** 2
            flat = (
                ends[0] + t[:, None] * (ends[1] - ends[0]) + np.array([0, rise * self.height]) * arch[:, None]
            )
            points = self.place(flat)
            need = (self.skin_before(flat) + 0.5 * self.thickness + 0.002 - points[:, 2]).max()
            points[:, 2] += max(need, 0.002) * np.sqrt(arch)
            parts.append(tube(points, profile, np.array([0.0, 1.0, 0.0])))
        if not thick:
            for side in (1, -1):
                flat = self.middle + np.array([side * (0.36 * self.gap), -0.08 * self.height])
                skin = float(self.skin_before(flat[None])[0])
                rim = self.place(flat)[2]
                centre = np.array([*flat, max(min(skin + 0.003, rim - 0.002), rim - 0.02)])
                parts.append(ball(centre, np.array([0.0026, 0.0075, 0.0042]), 7, 10))
        return parts


_RELIEF_CORNER, _RELIEF_CELL, _RELIEF_SHAPE = np.array([-0.22, -0.10]), 0.005, (88, 60)


def _relief(skin: np.ndarray) -> np.ndarray:
    """The foremost z in cells of x and y, or in a neighbouring cell; -1 where there is no skin."""
    cell = ((skin[:, :2] - _RELIEF_CORNER) / _RELIEF_CELL).astype(int).clip(0, np.array(_RELIEF_SHAPE) - 1)
    relief = np.full(_RELIEF_SHAPE, -1.0)
    np.maximum.at(relief, (cell[:, 0], cell[:, 1]), skin[:, 2])
    for axis in (0, 1):
        relief = np.maximum.reduce([relief, np.roll(relief, 1, axis), np.roll(relief, -1, axis)])
    return relief


@cache
def _face() -> np.ndarray:
    """Fine vertices that lie behind glasses, or just around them."""
    mesh = template()
    x, y, z = mesh.rest.T
    body = np.zeros(len(mesh.rest), bool)
    for name in ("body", "left_eye", "right_eye"):
        body[mesh.piece_vertices[name]] = True
    return np.nonzero(body & (np.abs(x) < 0.8) & (y > 6.9) & (y < 7.7) & (z > 1.0))[0]


@cache
def _flank(side: int) -> np.ndarray:
    """Fine vertices at a side of the head between eye and ear, without the ear."""
    mesh = template()
    x, y, z = mesh.rest.T
    body = np.zeros(len(mesh.rest), bool)
    body[mesh.piece_vertices["body"]] = True
    chosen = (
        body & (mesh.masks["ears"] < 0.2) & (side * x > 0.4) & (z > 0.3) & (z < 1.5) & (y > 7.1) & (y < 7.7)
    )
    return np.nonzero(chosen)[0]


@cache
def _ear(side: int) -> tuple[int, int]:
    """Fine vertices where the temple lies on the ear, and behind it."""
    mesh = template()
    flank = _flank(side)
    above = np.linalg.norm(mesh.rest[flank] - np.array([0.735 * side, 7.37, 0.50]), axis=1).argmin()
    behind = np.linalg.norm(mesh.rest[flank] - np.array([0.67 * side, 7.15, 0.31]), axis=1).argmin()
    return int(flank[above]), int(flank[behind])
