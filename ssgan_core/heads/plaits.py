"""Hair that is bound: buns, ponytails, plaits and cornrows."""

from __future__ import annotations

import math

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.hairstyles import (
    braid_places,
    bun_place,
    cornrowed,
    depth_at,
    rest_of,
    tail_place,
    world_point,
)
from ssgan_core.heads.sampler import HAIR_STYLES, Identity
from ssgan_core.heads.scene import Material, Strands
from ssgan_core.heads.strand_growth import Combing, Roots, grow, keep_off, ruffle, unit


def grow_bound(identity: Identity, bust: Bust, grid: np.ndarray, rng: np.random.Generator) -> list[Strands]:
    """The bun, tail or plaits of an identity's style; nothing for other styles.

    Args:
        grid: of the body's distance, see strand_growth.distance_grid.
    """
    name = HAIR_STYLES[identity.hair_style]
    if name == "bun":
        return [_bun(identity, bust, rng)]
    if name == "ponytail":
        return [_tail(identity, bust, grid, rng)]
    if name != "braids":
        return []
    paths = _rows(identity, bust, grid) if cornrowed(identity) else _plaits(identity, bust, grid)
    return [_joined([_braided(path, radius, identity, bust, grid, rng) for path, radius in paths])]


def _bun(identity: Identity, bust: Bust, rng: np.random.Generator) -> Strands:
    """Strands wound around a ball on the head."""
    place = bun_place(identity, bust)
    axis = unit(place - bust.hull.centre)
    radius = (
        (0.070 + 0.008 * rng.standard_normal())
        * identity.hair_volume**0.5
        * (1.1 - 0.3 * (identity.female < 0.5))
    )
    centre = place + 0.62 * radius * axis
    across = unit(np.cross(axis, np.array([1.0, 0.2, 0.1])))
    frame = np.stack([across, np.cross(axis, across), axis])
    count, points = 1500, 14
    lock = rng.integers(0, 46, count)
    shared = rng.random((46, 5))[lock]
    own = rng.standard_normal((count, 4))
    t = np.linspace(0, 1, points)[None, :]
    # Each lock winds around the axis and climbs from the foot of the ball to its top.
    turn = 2 * math.pi * (shared[:, :1] + (0.45 + 0.35 * shared[:, 1:2]) * t) + 0.05 * own[:, :1]
    climb = -0.9 + 2.2 * shared[:, 2:3] + (0.9 * shared[:, 3:4] - 0.25) * (t - 0.5) * 1.4 + 0.08 * own[:, 1:2]
    climb = climb.clip(-1.2, 1.5)
    bulge = 0.10 * np.sin(math.pi * t) * shared[:, 4:5]
    size = radius * (0.80 + 0.16 * shared[:, 4:5] + bulge + 0.035 * own[:, 2:3])
    local = np.stack(
        [np.cos(climb) * np.cos(turn), np.cos(climb) * np.sin(turn), 0.85 * np.sin(climb)], axis=-1
    )
    strands = (centre + (size[..., None] * local) @ frame).astype(np.float32)
    noise = rng.standard_normal((count, 4, 3)).astype(np.float32)
    ruffle(strands, noise, np.full(count, 0.0018 * identity.hair_frizz, np.float32))
    outward = unit(strands - centre)
    buried = ((0.98 - size / radius) / 0.25).clip(0, 1)
    tone = 0.5 * (shared[:, 4] - 0.5) + 0.3 * own[:, 3]
    return _hair(strands, outward, np.broadcast_to(buried, (count, points)), tone)


def _tail(identity: Identity, bust: Bust, grid: np.ndarray, rng: np.random.Generator) -> Strands:
    """Loose hair from a band, swept over one shoulder."""
    place = tail_place(identity, bust)
    side = 1.0 if identity.hair_part > 0 else -1.0
    low = 5.6 - 0.6 * identity.hair_length
    knots = [world_point(bust, side * x, y, z) for x, y, z in (
        (0.10, 7.62, -0.85), (0.50, 6.9, -0.55), (0.74, 6.3, 0.10), (0.80, 5.75, 0.75), (0.78, low - 0.4, 1.15),
    )]  # fmt: skip
    path = _smooth(np.stack([place, *knots]), 18)
    count = 1600
    lock = rng.integers(0, 60, count)
    t = np.linspace(0, 1, len(path))[None, :, None]
    spread = 0.011 + 0.050 * np.sin(math.pi * np.minimum(t * 1.15 + 0.03, 1.0)) * identity.hair_volume
    centre = rng.standard_normal((60, 3)) * 0.42
    offset = centre[lock] + rng.standard_normal((count, 3)) * (0.20 + 0.1 * rng.random((count, 1)))
    wave = (
        0.008
        * identity.hair_curl
        * np.sin(2 * math.pi * (2.2 * t[..., 0] + rng.random((60, 1))[lock]))
        * t[..., 0]
    )
    strands = path[None] + offset[:, None] * spread
    strands[..., 0] += wave
    # Strands end at different lengths.
    strands = _shortened(strands, 1 - 0.22 * rng.random(count) ** 2)
    noise = rng.standard_normal((count, 4, 3)).astype(np.float32)
    strands = np.ascontiguousarray(strands, np.float32)
    ruffle(strands, noise, np.full(count, 0.006 * identity.hair_frizz, np.float32))
    keep_off(grid, strands, 0.004, 1.0, np.float32(9.0), bust.hull.centre)
    away = strands - path.astype(np.float32)
    distance = np.sqrt((away**2).sum(axis=-1))
    buried = (1 - distance / (0.9 * spread[..., 0]).clip(1e-3)).clip(0, 1)
    tone = 0.35 * rng.standard_normal(60)[lock] + 0.3 * rng.standard_normal(count)
    return _hair(strands, unit(away), 0.8 * buried, tone)


def _hanging(
    grid: np.ndarray, starts: np.ndarray, drift: np.ndarray, length: float, lift: float
) -> np.ndarray:
    """Courses [n, 24, 3] of what hangs from points [n, 3] over neck and shoulders; `drift` [n, 3] leads it aside."""
    none = np.zeros((len(starts), 3), np.float32)
    roots = Roots(starts.astype(np.float32), none, none, none.astype(np.int64), none)
    combing = Combing(
        early=drift, late=0.7 * drift, turn=np.array([0.3, 1.0]), tie=np.zeros(3), tied=0.0, rise=0.0, inertia=0.8,
        gravity=1.0, length=length, lift=lift, cling=0.03, floor=-9.0, window=0.0,
    )  # fmt: skip
    return grow(grid, roots, combing, 24)


def _plaits(identity: Identity, bust: Bust, grid: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Courses of two plaits from behind the ears over the shoulders, and their half width."""
    length = 0.55 + 0.08 * identity.hair_length
    drift = np.array([[0.10, -0.3, 0.32], [-0.10, -0.3, 0.32]], np.float32)
    courses = _hanging(grid, braid_places(bust), drift, length, 0.020)
    return [(_smooth(course, 200), 0.023 * identity.hair_volume**0.5) for course in courses]


def _rows(identity: Identity, bust: Bust, grid: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Courses of cornrows from the forehead to the nape, whose ends hang down, and their half width."""
    rows = []
    hull = bust.hull
    for across in np.linspace(-1, 1, 13):
        tilt = 1.12 * across  # 0: over the middle of the head
        around = np.linspace(0.15, 4.1, 96)  # from the face over the crown to the nape
        direction = np.stack(
            [
                np.full_like(around, np.sin(tilt)),
                np.cos(tilt) * np.sin(around),
                np.cos(tilt) * np.cos(around),
            ],
            axis=-1,
        )
        # The rows converge a little at the nape.
        direction[:, 0] *= 1 - 0.25 * ((around - 1.6) / 2.5).clip(0, 1)
        direction = unit(direction)
        height, _ = hull.distance(hull.centre + direction)
        points = hull.centre + direction * (1 - height + 0.0035)[:, None]
        rest = rest_of(bust, points)
        inside = (depth_at(identity, bust, rest) > 0.03) & ~(
            (np.abs(rest[:, 0]) > 0.70) & (rest[:, 1] < 7.35)
        )
        numbers = np.nonzero(inside)[0]
        if len(numbers) < 12:
            continue
        # One unbroken stretch.
        stop = numbers[0] + int(np.argmin(np.append(inside[numbers[0] :], False)))
        row = points[numbers[0] : stop]
        rows.append((row, across))
    ends = np.stack([row[-1] for row, _ in rows])
    # Those beside the neck fall forward over the shoulder.
    drift = np.stack([[-0.06 * across, -0.3, 0.55 if abs(across) > 0.6 else -0.05] for _, across in rows])
    tails = _hanging(grid, ends, drift, 0.24 + 0.06 * identity.hair_length, 0.012)
    return [
        (_smooth(np.concatenate([row[::5], tail]), 240), 0.0112)
        for (row, _), tail in zip(rows, tails, strict=True)
    ]


def _braided(
    path: np.ndarray,
    radius: float,
    identity: Identity,
    bust: Bust,
    grid: np.ndarray,
    rng: np.random.Generator,
) -> Strands:
    """Three locks plaited along a path [k, 3]: short strands that run from one edge to the other."""
    total = float(np.sqrt((np.diff(path, axis=0) ** 2).sum(axis=1)).sum())
    period = 4.4 * radius
    cycles = total / period
    # The course's own frame: along, outwards, across.
    tangent = unit(np.gradient(path, axis=0))
    axis = np.stack([np.zeros(len(path)), path[:, 1].clip(-1.0, 0.2), np.full(len(path), -0.12)], axis=-1)
    out = path - axis
    out = unit(out - (out * tangent).sum(axis=-1, keepdims=True) * tangent)
    frame = np.concatenate([path, np.cross(tangent, out), out], axis=1).astype(np.float32)
    fibres, points = 9, 12
    pieces = max(int(cycles / 0.75), 1)
    count = 3 * pieces * fibres
    lock = np.repeat(np.arange(3), pieces * fibres)
    start = np.tile(np.repeat(np.arange(pieces) * 0.75, fibres), 3) + 0.4 * rng.random(count)
    phase = np.minimum(start, cycles - 1)[:, None] + np.linspace(0, 1, points)[None, :]
    angle = 2 * math.pi * (phase + lock[:, None] / 3)
    place = (phase * (len(path) - 1) / cycles).astype(np.float32)
    low = place.astype(np.int32).clip(0, len(path) - 2)
    part = (place - low)[..., None]
    centre, wide, out = np.split(frame[low] * (1 - part) + frame[low + 1] * part, 3, axis=-1)
    # The end of the plait thins out.
    taper = 0.25 + 0.75 * ((cycles - phase) / (0.25 * cycles)).clip(0, 1) ** 0.7
    scatter = 0.34 * np.stack([rng.standard_normal(count), rng.standard_normal(count)], axis=-1).clip(
        -1.7, 1.7
    )
    u = (taper * radius * (0.62 * np.sin(angle) + scatter[:, :1])).astype(np.float32)
    v = (taper * radius * (0.38 * np.sin(2 * angle) + 0.9 * scatter[:, 1:])).astype(np.float32)
    strands = np.ascontiguousarray(centre + u[..., None] * wide + v[..., None] * out, np.float32)
    noise = rng.standard_normal((count, 4, 3)).astype(np.float32)
    ruffle(strands, noise, np.full(count, 0.10 * radius * identity.hair_frizz, np.float32))
    keep_off(grid, strands, 0.0015, 1.0, np.float32(9.0), bust.hull.centre)
    normal = unit(wide * (1.6 * scatter[:, :1] + 0.45 * np.sin(angle)).astype(np.float32)[..., None] + out)
    buried = (0.45 - 0.75 * v / (taper * radius)).clip(0, 1)
    tone = 0.3 * rng.standard_normal(count)
    return _hair(strands, normal, buried, tone)


def _smooth(knots: np.ndarray, count: int) -> np.ndarray:
    """`count` points evenly along a Catmull-Rom curve through knots [k, 3]."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, 16, endpoint=False)[:, None]
    spans = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        spans.append(
            0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        )
    curve = np.concatenate([*spans, knots[-1:]])
    arc = np.append(0.0, np.cumsum(np.sqrt((np.diff(curve, axis=0) ** 2).sum(axis=1))))
    at = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(at, arc, curve[:, c]) for c in range(3)], axis=-1)


def _shortened(strands: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Strands [n, m, 3] cut to shares [n] of their length."""
    m = strands.shape[1]
    place = share[:, None] * np.arange(m)[None, :]
    low = np.minimum(place.astype(int), m - 2)
    part = (place - low)[..., None]
    rows = np.arange(len(strands))[:, None]
    return strands[rows, low] * (1 - part) + strands[rows, low + 1] * part


def _joined(parts: list[Strands]) -> Strands:
    """Strands of one material and number of points as one."""
    arrays = ("points", "widths", "tone", "outward", "buried")
    return Strands(
        parts[0].material, *(np.concatenate([getattr(part, name) for part in parts]) for name in arrays)
    )


def _hair(strands: np.ndarray, outward: np.ndarray, buried: np.ndarray, tone: np.ndarray) -> Strands:
    count, points = strands.shape[:2]
    widths = 0.00125 * (1 - 0.5 * np.linspace(0, 1, points) ** 3)
    return Strands(
        Material.HAIR,
        strands,
        np.broadcast_to(widths, (count, points)).astype(np.float32),
        tone.clip(-1, 1).astype(np.float32),
        outward.astype(np.float32),
        buried.astype(np.float32),
    )
