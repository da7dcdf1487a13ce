"""Hats, fitted to the skull's hull."""

from __future__ import annotations

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import HATS, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, blur_around, join, sheet, smoothstep
from ssgan_core.heads.template import template

_COLUMNS, _ROWS = 72, 26
_CLEARANCE = 0.022  # world, above the skull: flattened hair lies below it
_FRONT, _BACK = 7.86, 7.30  # template heights of the edge in front and behind


def hats(identity: Identity, bust: Bust) -> list[Surface]:
    """HAT surfaces; nothing for those who wear none."""
    name = HATS[identity.hat]
    if name == "none":
        return []
    rng = np.random.default_rng([identity.seed, identity.index, 505])
    head = _Skull(bust, lower=0.04 if name == "beanie" else 0.0)
    parts = {"beanie": _beanie, "cap": _cap, "brimmed": _brimmed}[name](head, rng)
    return [join(Material.HAT, parts, two_sided=True)]


class _Skull:
    """The head as a hatter measures it: columns around (0 in front, to the subject's left), rows from crown to edge."""

    def __init__(self, bust: Bust, lower: float) -> None:
        rest = template().rest
        middle = np.abs(rest[:, 0]) < 0.02

        def on_skin(height: float, front: bool) -> np.ndarray:
            side = rest[:, 2] > 0.5 if front else rest[:, 2] < 0.2
            distance = np.where(middle & side, np.abs(rest[:, 1] - height), np.inf)
            return bust.points[distance.argmin()].astype(float)

        self.front, self.back = on_skin(_FRONT - lower, True), on_skin(_BACK, False)
        self.slope = (self.front[1] - self.back[1]) / (self.front[2] - self.back[2])
        self.hull = bust.hull
        self.centre = np.asarray(bust.hull.centre, float)
        self.azimuth = np.arange(_COLUMNS) * (2 * np.pi / _COLUMNS)
        polar = np.linspace(0.02, 2.4, 120)[:, None]
        shape = self._reach(polar)
        height = self._above_edge(shape)
        # The edge: the first row that lies below the plane, refined linearly.
        below = (height < 0).argmax(axis=0).clip(1)
        column = np.arange(_COLUMNS)
        high, low = height[below - 1, column], height[below, column]
        share = high / (high - low)
        self.edge = polar[below - 1, 0] + share * (polar[1, 0] - polar[0, 0])

    def _directions(self, polar: np.ndarray) -> np.ndarray:
        sin, cos = np.sin(polar), np.cos(polar)
        return np.stack(
            [sin * np.sin(self.azimuth), cos + 0 * self.azimuth, sin * np.cos(self.azimuth)], axis=-1
        )

    def _reach(self, polar: np.ndarray, lift: np.ndarray | float = 0.0) -> np.ndarray:
        """Points [rows, _COLUMNS, 3] that lie `lift` outside the hull at polar angles [rows, 1 or _COLUMNS]."""
        outward = self._directions(polar)
        distance, _ = self.hull.distance(self.centre + outward)
        radius = blur_around(1.0 - distance, 3)
        return self.centre + (radius + lift)[..., None] * outward

    def _above_edge(self, points: np.ndarray) -> np.ndarray:
        return points[..., 1] - self.front[1] - self.slope * (points[..., 2] - self.front[2])

    def cap(self, lift: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Points [rows, _COLUMNS, 3] at shares [rows] of the way from crown to edge, lifted by [rows, 1]."""
        return self._reach(share[:, None] * self.edge[None, :], _CLEARANCE + lift)

    def chart(self, points: np.ndarray, mark: float = 0.0) -> np.ndarray:
        """Fabric coordinates: around and up, world units, and the mark."""
        around = np.broadcast_to(self.azimuth * 0.2, points.shape[:2])
        up = points[..., 1]
        return np.stack([around, up, np.full(points.shape[:2], mark)], axis=-1)

    def piece(self, points: np.ndarray, mark: float = 0.0) -> Part:
        return sheet(points, self.chart(points, mark), wrap_columns=True)


def _beanie(head: _Skull, rng: np.random.Generator) -> list[Part]:
    share = np.linspace(0.0, 1.0, _ROWS)
    slouch = rng.uniform(0.0, 0.05)
    lift = (
        0.004
        + slouch * smoothstep(0.55, 0.0, share)
        + 0.006 * np.sin(share * 9.0) * smoothstep(0.1, 0.4, share) * (slouch > 0.02)
    )
    crown = head.cap(lift[:, None], share)
    band = np.linspace(-1.0, 1.0, 9)  # from above, over the outside, to below and inside
    height = rng.uniform(0.13, 0.20)
    profile = head.cap(
        (0.004 + 0.013 * np.sqrt((1 - band**2).clip(0)))[:, None], 1.0 - height * (1 - band) / 2
    )
    return [head.piece(crown), head.piece(profile)]


def _cap(head: _Skull, rng: np.random.Generator) -> list[Part]:
    share = np.linspace(0.0, 1.0, _ROWS)
    lift = 0.010 + 0.014 * np.sin(np.pi * share.clip(0, 1)) ** 0.8
    crown = head.cap(lift[:, None], share)
    button = head.cap(np.array([[0.021], [0.021], [0.012]]), np.array([0.0, 0.02, 0.04]))
    # The visor leaves the edge in front and curves down at its sides.
    spread = np.deg2rad(rng.uniform(62, 70))
    angle = np.linspace(-spread, spread, 33)
    edge = np.stack(
        [
            np.interp(
                angle % (2 * np.pi),
                np.append(head.azimuth, 2 * np.pi),
                np.append(crown[-1, :, i], crown[-1, 0, i]),
            )
            for i in range(3)
        ],
        axis=-1,
    )
    reach = rng.uniform(0.105, 0.13)
    across = angle / spread
    out = np.linspace(0, 1, 10)[:, None]
    length = reach * (1 - np.abs(across) ** 2.6)
    visor = np.repeat(edge[None], 10, axis=0)
    visor[..., 2] += out * length
    visor[..., 1] += -0.10 * out * length - 0.030 * across**2 * out * (length / reach) + 0.004
    visor[0] -= (edge - head.centre) * np.array([0.04, 0.0, 0.04])  # under the crown's edge
    under = visor - np.array([0.0, 0.005, 0.0])
    rim = np.stack([visor[-1], under[-1]])
    chart = [
        np.stack([p[..., 0], p[..., 2], np.full(p.shape[:2], mark)], axis=-1)
        for p, mark in ((visor, 1.0), (under, 1.0), (rim, 1.0))
    ]
    return [
        head.piece(crown),
        head.piece(button, 1.0),
        sheet(visor, chart[0]),
        sheet(under, chart[1], flip=True),
        sheet(rim, chart[2]),
    ]


def _brimmed(head: _Skull, rng: np.random.Generator) -> list[Part]:
    share = np.linspace(0.0, 1.0, _ROWS)
    tall = rng.uniform(0.02, 0.05)
    lift = 0.008 + tall * smoothstep(0.75, 0.35, share)
    crown = head.cap(lift[:, None], share)
    # A crease along the top and dents beside it.
    x, y = crown[..., 0], crown[..., 1]
    top = smoothstep(0.6, 0.1, share)[:, None]
    crown[..., 1] = y - 0.030 * top * np.exp(-((x / 0.045) ** 2)) * rng.uniform(0.3, 1.0)
    band = head.cap(np.array([[0.010], [0.0125], [0.0125], [0.010]]), np.array([0.80, 0.81, 0.99, 1.0]))
    width = rng.uniform(0.085, 0.13)
    out = np.linspace(0.0, 1.0, 9)[:, None]
    edge = crown[-1]
    away = edge - head.centre
    away = away * np.array([1.0, 0.0, 1.0])
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    brim = edge[None] + (out * width)[..., None] * away[None]
    side = np.abs(np.sin(head.azimuth))
    brim[..., 1] += width * (0.30 * side**2 * out**2 - 0.16 * out - 0.10 * np.cos(head.azimuth) * out)
    under = brim - np.array([0.0, 0.0045, 0.0])
    rim = np.stack([brim[-1], under[-1]])
    return [
        head.piece(crown),
        head.piece(band, 1.0),
        head.piece(brim),
        sheet(under, head.chart(under), wrap_columns=True, flip=True),
        head.piece(rim),
    ]
