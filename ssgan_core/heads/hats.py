"""Hats, fitted to the head's hull.

Lengths are world units unless noted; angles go around the head, 0 in front, positive to the subject's left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import HATS, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, between, blur_around, blur_rows, join, sheet, smoothstep, unit
from ssgan_core.heads.template import template

_STREAM = 7_305
_COLUMNS = 72
CLEARANCE = 0.018  # above the hull: flattened hair lies below it
_CHART_RADIUS = 0.2
_TRIMMED = 0.6  # bend of peaks up to which they have the trim's colour


def hats(identity: Identity, bust: Bust) -> list[Surface]:
    """HAT surfaces; nothing for those who wear none."""
    name = HATS[identity.hat]
    if name == "none":
        return []
    rng = np.random.default_rng([identity.seed, identity.index, _STREAM])
    return [join(Material.HAT, _HATTERS[name](bust, identity, rng), two_sided=True)]


class _Skull:
    """A head from an edge upwards.

    The edge lies in a plane that is level from ear to ear, through template heights `front` and `back`.

    Attributes:
        angle: [_COLUMNS].
        edge: [_COLUMNS, 3], points of the hull on the plane.
        up: [3], unit, normal of the plane.
        height: from the middle of the edge to the crown along `up`.
        unit: world units a template unit.
    """

    def __init__(self, bust: Bust, front: float, back: float) -> None:
        self.unit = bust.scale
        self.angle = np.arange(_COLUMNS) * (2 * np.pi / _COLUMNS)
        self._hull = bust.hull
        self._centre = np.asarray(bust.hull.centre, float)
        ahead, behind = (
            bust.points[_midline(height, side)].astype(float) for height, side in ((front, 1), (back, -1))
        )
        along = ahead - behind
        self.up = unit(np.array([0.0, along[2], -along[1]]))
        # Heights above the plane fall monotonously on the way down every meridian.
        polar = np.linspace(0.0, 2.5, 160)[:, None]
        points = self.surface(polar, 0.0)
        above = (points - ahead) @ self.up
        below = (above < 0).argmax(axis=0).clip(1)
        column = np.arange(_COLUMNS)
        high, low = above[below - 1, column], above[below, column]
        place = polar[below - 1, 0] + high / (high - low) * (polar[1, 0] - polar[0, 0])
        self.polar = blur_around(place[None], 4)[0]
        self.edge = self.surface(self.polar[None], 0.0)[0]
        self.height = float(((points - self.edge.mean(axis=0)) @ self.up).max())

    def surface(self, polar: np.ndarray, lift: np.ndarray | float) -> np.ndarray:
        """Points [rows, _COLUMNS, 3], `lift` above the smoothed hull, at polar angles [rows, 1 or _COLUMNS]."""
        sin, cos = np.sin(polar), np.cos(polar)
        outward = np.stack(
            [
                sin * np.sin(self.angle),
                np.broadcast_to(cos, np.broadcast_shapes(polar.shape, (1, _COLUMNS))),
                sin * np.cos(self.angle),
            ],
            axis=-1,
        )
        distance, _ = self._hull.distance(self._centre + outward)
        radius = blur_around(1.0 - distance, 3)
        return self._centre + (radius + lift)[..., None] * outward

    def dome(self, share: np.ndarray, lift: np.ndarray | float) -> np.ndarray:
        """Points [rows, _COLUMNS, 3] at shares [rows] of the way from crown to edge, `lift` above the hull."""
        return self.surface(share[:, None] * self.polar, lift)

    def cleared(self, points: np.ndarray, clearance: float = CLEARANCE) -> np.ndarray:
        """Points [rows, _COLUMNS, 3] pushed out of the hull, with the push spread a little."""
        distance, outward = self._hull.distance(points)
        push = blur_rows(blur_around((clearance - distance).clip(0), 2), 1)
        push = np.maximum(push, (clearance - distance).clip(0))
        return points + push[..., None] * outward

    def piece(self, points: np.ndarray, mark: float = 0.0) -> Part:
        """Rows of points around the head [rows, _COLUMNS, 3], with fabric coordinates."""
        run = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(axis=1)
        up = np.broadcast_to(-np.concatenate([[0.0], np.cumsum(run)])[:, None], points.shape[:2])
        around = np.broadcast_to(np.pi - np.abs(self.angle - np.pi), points.shape[:2]) * _CHART_RADIUS
        chart = np.stack([around, up, np.full_like(around, mark)], axis=-1)
        return sheet(points, chart, wrap_columns=True)


@cache
def _midline(height: float, side: int) -> int:
    """The fine vertex in the middle of the face (side 1) or of the back of the head (-1) at a template height."""
    mesh = template()
    x, y, z = mesh.rest.T
    body = np.zeros(len(mesh.rest), bool)
    body[mesh.piece_vertices["body"]] = True
    wanted = body & (np.abs(x) < 0.03) & (side * (z - 0.5) > 0)
    return int(np.where(wanted, np.abs(y - height), np.inf).argmin())


def _beanie(bust: Bust, identity: Identity, rng: np.random.Generator) -> list[Part]:
    skull = _Skull(bust, 7.80 + between(-0.03, 0.05, identity.hat_height), 7.12)
    angle = skull.angle
    phase = rng.uniform(0, 2 * np.pi, 6)
    cuff = between(0.25, 0.42, identity.hat_brim) * skull.unit / (skull.polar * 0.24)  # share of the meridian
    slack = 0.055 * identity.hat_height
    thick = rng.uniform(0.012, 0.017)

    # The cap itself, from its top to under the cuff: loose above, gathered at the crown.
    share = np.linspace(0.0, 1.0, 24) ** 0.8
    loose = smoothstep(0.66, 0.2, share)[:, None]
    wave = 0.5 * np.sin(2 * angle + phase[0] + 5 * share[:, None]) + 0.5 * np.sin(
        3 * angle + phase[1] - 7 * share[:, None]
    )
    folds = np.sin(9 * share[:, None] + 1.5 * np.sin(angle + phase[2]) + phase[3])
    gather = np.sin(11 * angle + phase[4]) * smoothstep(0.30, 0.08, share)[:, None]
    lift = (
        CLEARANCE
        + 0.004
        + slack * loose
        + 0.006 * loose * wave
        + 0.10 * slack * folds * loose
        + 0.0025 * gather
    )
    crown = skull.dome(share, lift)
    lean = smoothstep(0.7, 0.0, share)[:, None, None]
    crown = crown + lean * np.array([0.0, 0.2, -0.5]) * slack

    # The cuff: a soft fold, from inside below over the rounded edge up to its upper hem.
    rows = []
    for s, out in (
        (0.40, -0.007), (0.08, -0.007), (0.01, -0.004), (-0.012, 0.3), (-0.005, 0.7), (0.04, 0.92), (0.14, 1.05),
        (0.30, 1.10), (0.5, 1.08), (0.7, 1.05), (0.85, 1.0), (0.94, 0.9), (0.985, 0.72), (1.0, 0.45), (0.97, 0.1),
    ):  # fmt: skip
        soft = 1 + 0.10 * np.sin(2 * angle + phase[5] + 2 * s) + 0.06 * np.sin(5 * angle + phase[0] - 3 * s)
        height = 1.0 - (cuff * (1 + 0.04 * np.sin(2 * angle + phase[1]))) * s
        inner = CLEARANCE - 0.004 * (s < 0.1)
        rows.append(
            skull.surface((height * skull.polar)[None], inner + (thick * out * soft if out > 0 else out))[0]
        )
    band = np.stack(rows[::-1])
    return [skull.piece(crown), skull.piece(band)]


def _cap(bust: Bust, identity: Identity, rng: np.random.Generator) -> list[Part]:
    skull = _Skull(bust, 7.88 + between(-0.03, 0.05, identity.hat_height), 7.20)
    angle = skull.angle
    share = np.linspace(0.0, 1.0, 24)
    # Six panels, puffed between their seams; the two in front stand up.
    puff = np.abs(np.sin(3 * angle)) ** 0.6
    stand = smoothstep(1.1, 0.2, np.abs((angle + np.pi) % (2 * np.pi) - np.pi))
    rise = smoothstep(1.0, 0.7, share)[:, None]
    lift = (
        CLEARANCE
        + 0.002
        + 0.010 * rise
        + 0.004 * puff * rise
        + between(0.015, 0.03, identity.hat_height)
        * stand
        * (np.sin(np.pi * share.clip(0, 1)) ** 0.7)[:, None]
    )
    crown = skull.dome(share, lift)
    tuck = skull.dome(
        np.array([1.0, 1.002, 0.985]),
        np.array([[CLEARANCE - 0.001], [CLEARANCE - 0.008], [CLEARANCE - 0.010]]),
    )
    top = crown[0].mean(axis=0)
    parts = [skull.piece(np.concatenate([crown, tuck])), ball(top, np.array([0.013, 0.006, 0.013]), 6, 12)]
    return parts + _visor(skull, crown[-1], identity, rng)


def _visor(skull: _Skull, edge: np.ndarray, identity: Identity, rng: np.random.Generator) -> list[Part]:
    """The peak of a cap: leaves the edge in front, bent down at its sides."""
    spread = np.radians(rng.uniform(47, 53))
    across = np.linspace(-1, 1, 41)
    turn = across * spread
    ring = np.append(skull.angle, 2 * np.pi)
    closed = np.concatenate([edge, edge[:1]])
    root = np.stack([np.interp(turn % (2 * np.pi), ring, closed[:, i]) for i in range(3)], axis=-1)
    reach = between(0.60, 0.70, identity.hat_brim) * skull.unit
    length = reach * (1 - np.abs(across) ** 2.8) ** 0.6
    bend = between(0.06, 0.20, identity.hat_curl) * skull.unit
    slope = between(0.36, 0.22, identity.hat_curl)
    out = np.linspace(0, 1, 12)[:, None]
    # It points forward, a little towards its middle.
    forward = np.stack([0.12 * np.sin(turn), np.zeros_like(turn), np.ones_like(turn)], axis=-1)
    top = root + (out * length)[..., None] * forward
    top[..., 1] -= (
        slope * out * length + bend * across**2 * np.sqrt(length / reach) * smoothstep(0.0, 0.6, out) - 0.002
    )
    inward = unit((skull.edge.mean(axis=0) - root) * np.array([1.0, 0.0, 1.0]))
    top[0] += 0.008 * inward + np.array([0.0, 0.004, 0.0])
    thick = 0.0045
    down = np.array([0.0, -thick, 0.0])
    # Over the rounded rim to the underside.
    rim = top[-1] + np.array([0.0, -0.5 * thick, 0.0]) + 0.4 * thick * forward
    rows = np.concatenate([top, rim[None], top[::-1] + down])
    mark = float(identity.hat_curl < _TRIMMED)
    chart = np.stack([rows[..., 0], rows[..., 2], np.full(rows.shape[:2], mark)], axis=-1)
    return [sheet(rows, chart)]


def _brimmed(bust: Bust, identity: Identity, rng: np.random.Generator) -> list[Part]:
    skull = _Skull(bust, 7.84 + between(-0.03, 0.05, identity.hat_height), 7.46)
    angle = skull.angle
    up = skull.up
    base = skull.dome(np.array([1.0]), CLEARANCE)[0]
    middle = base.mean(axis=0)
    tall = skull.height + between(0.10, 0.34, identity.hat_height) * skull.unit + 0.02
    taper = rng.uniform(0.10, 0.20)
    # The crown: nearly upright walls, a soft shoulder, a top that is dented in the middle and pinched in front.
    rows = []
    for t, inward in (
        (0.0, 0.0), (0.10, 0.01), (0.2, 0.05), (0.32, 0.18), (0.45, 0.36), (0.58, 0.56), (0.70, 0.75), (0.80, 0.92),
        (0.88, 1.1), (0.94, 1.35), (0.98, 1.8), (1.0, 2.5), (0.995, 3.3), (0.97, 4.2), (0.95, 5.1), (0.94, 6.0),
    ):  # fmt: skip
        shrink = 1 - taper * inward if inward <= 1.1 else (1 - taper * 1.1) * (6.0 - inward) / 4.9
        rows.append(middle + (base - middle) * shrink + up * tall * t)
    crown = np.stack(rows[::-1])
    crown = skull.cleared(crown)
    side = crown - middle
    high = smoothstep(0.55, 0.95, (side @ up) / tall)
    dent = rng.uniform(0.5, 1.0) * 0.16 * skull.unit
    crown = crown - (dent * high * np.exp(-((side[..., 0] / (0.28 * skull.unit)) ** 2)))[..., None] * up
    pinch = rng.uniform(0.3, 1.0) * 0.10 * skull.unit
    for where in (0.55, -0.55):
        apart = (angle - where + np.pi) % (2 * np.pi) - np.pi
        crown = crown - (pinch * high * np.exp(-((apart / 0.35) ** 2)))[..., None] * unit(
            side * np.array([1, 0, 1])
        )
    crown = skull.cleared(crown, CLEARANCE - 0.004)
    # The ribbon around its foot.
    width = rng.uniform(0.28, 0.42) * skull.unit
    wall = crown[::-1]
    level = ((wall - middle) @ up).mean(axis=1)
    ribbon = []
    for h, out in ((0.0, 0.002), (0.02, 0.0045), (0.5, 0.005), (0.96, 0.0045), (1.0, 0.0)):
        row = np.stack(
            [[np.interp(h * width, level[:8], wall[:8, c, i]) for i in range(3)] for c in range(_COLUMNS)]
        )
        ribbon.append(row + out * unit((row - middle) * np.array([1.0, 0.0, 1.0])))
    # The brim: down in front, rolled up at the sides and behind.
    reach = between(0.45, 0.68, identity.hat_brim) * skull.unit
    outward = unit((base - middle) - ((base - middle) @ up)[:, None] * up)
    curl = between(0.12, 0.30, identity.hat_curl)
    cos = np.cos(angle)
    rise = curl * (0.75 - 0.95 * cos - 0.95 * cos**2)  # of the rim, relative to the brim's width
    out = np.linspace(0.0, 1.0, 10)[:, None]
    wave = 0.03 * np.sin(2 * angle + rng.uniform(0, 2 * np.pi)) + 0.02 * np.sin(
        3 * angle + rng.uniform(0, 2 * np.pi)
    )
    level_out = out * reach
    lift = reach * ((rise + wave) * out**2 - 0.06 * np.sin(np.pi * out) - 0.05 * out)
    top = base + level_out[..., None] * outward + lift[..., None] * up
    thick = 0.004
    rim = top[-1] + 0.5 * thick * (outward - up)
    brim = np.concatenate([top, rim[None], top[::-1] - thick * up])
    inside = skull.dome(np.array([1.0, 0.97]), np.array([[CLEARANCE - 0.008], [CLEARANCE - 0.010]]))
    return [
        skull.piece(crown),
        skull.piece(np.stack(ribbon[::-1]), 1.0),
        skull.piece(np.concatenate([brim, inside])),
    ]


_HATTERS: dict[str, Callable[[Bust, Identity, np.random.Generator], list[Part]]] = {
    "beanie": _beanie,
    "cap": _cap,
    "brimmed": _brimmed,
}
