"""The skin of neck and shoulders as a grid that clothes are cut from: columns around the neck, rows down from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.solids import blur_around, blur_rows, unit
from ssgan_core.heads.template import template

COLUMNS = 96
STEP = 0.04  # template units between rows
ROW_ZERO = 12  # the row at which the neck is at _NECK_HEIGHT
_ROWS = 76
_NECK_HEIGHT = 6.0  # template
_AXIS_Z = 0.22  # template: a vertical line inside the neck
_BULGE = 0.08  # template: how far skin above the ring may push the grid outwards
_CHEST = ROW_ZERO + 8  # the row from which cloth no longer follows the skin closely
_CLEAR = 0.006  # world: how far at least the smoothed grid, once lifted, lies outside the skin


@dataclass(frozen=True)
class Torso:
    """Smoothed skin below the jaw.

    Place on it is given by angle (radians about the neck, 0 in front, positive to the subject's left) and drop
    (template units down along the skin from a ring around the neck; negative above it).

    Attributes:
        points: [rows, COLUMNS, 3], world, everywhere outside the skin.
        normals: [rows, COLUMNS, 3], unit, outward.
        scale: world units a template unit.
    """

    points: np.ndarray
    normals: np.ndarray
    scale: float

    @cached_property
    def _both(self) -> np.ndarray:
        return np.concatenate([self.points, self.normals], axis=-1)

    def at(self, angle: np.ndarray, drop: np.ndarray, lift: np.ndarray | float = 0.0) -> np.ndarray:
        """Points [..., 3], world, `lift` template units above the grid at angles and drops [...]."""
        angle, drop, lift = np.broadcast_arrays(angle, drop, lift)
        row = (drop / STEP + ROW_ZERO).clip(0, len(self.points) - 1.001)
        column = (angle / (2 * np.pi) * COLUMNS) % COLUMNS
        top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64) % COLUMNS
        v, u = (row - top)[..., None], (column - np.floor(column))[..., None]
        right = (left + 1) % COLUMNS
        weights = ((1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u)
        corners = ((top, left), (top, right), (top + 1, left), (top + 1, right))
        both = np.concatenate([self.points, self.normals], axis=-1)
        value = np.sum([w * both[corner] for w, corner in zip(weights, corners, strict=True)], axis=0)
        return value[..., :3] + (lift * self.scale)[..., None] * unit(value[..., 3:])


def torso_of(bust: Bust) -> Torso:
    """The grid of one body."""
    vertices, weights = _footing()
    skin = _without_jaw((weights[..., None] * bust.points[vertices]).sum(axis=2), bust.scale)
    # Cloth spans collar bones and hollows, but follows the neck.
    points = blur_rows(blur_around(skin, 3), 3)
    low = _CHEST
    points[low:] = blur_rows(blur_around(points, 3), 10)[low:]
    points = blur_rows(points, 2)
    normals = _normals(points)
    # Where smoothing cut into the skin, lift the grid again, and some way around.
    depth = _widest(_widest(((skin - points) * normals).sum(axis=-1).clip(0)))
    lift = blur_rows(blur_around(depth, 4), 4) + np.float32(_CLEAR)
    points = points + lift[..., None] * normals
    return Torso(points, _normals(points), bust.scale)


def _without_jaw(skin: np.ndarray, scale: float) -> np.ndarray:
    """Above the ring the neck goes straight on, where the skin turns outwards to the jaw."""
    base = skin[ROW_ZERO]
    rise = np.arange(ROW_ZERO, 0, -1, dtype=np.float32)[:, None, None] * np.float32(STEP * scale)
    straight = base + rise * np.array([0.0, 1.0, 0.15], np.float32)
    outward = unit((base - base.mean(axis=0)) * np.array([1, 0, 1], np.float32))
    bulge = ((skin[:ROW_ZERO] - straight) * outward).sum(axis=-1).clip(-0.2 * scale, _BULGE * scale)
    return np.concatenate([straight + bulge[..., None] * outward, skin[ROW_ZERO:]])


def _widest(field: np.ndarray) -> np.ndarray:
    """The largest of a place and its neighbours in [rows, columns]."""
    padded = np.concatenate([field[:1], field, field[-1:]])
    field = np.maximum(np.maximum(padded[:-2], padded[2:]), field)
    return np.maximum(np.maximum(np.roll(field, 1, 1), np.roll(field, -1, 1)), field)


def _normals(points: np.ndarray) -> np.ndarray:
    down = np.empty_like(points)
    down[1:-1] = points[2:] - points[:-2]
    down[0], down[-1] = points[1] - points[0], points[-1] - points[-2]
    around = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    return unit(np.cross(down, around))


@cache
def _footing() -> tuple[np.ndarray, np.ndarray]:
    """What the grid's points stand on: fine vertices [rows, COLUMNS, 4] and their weights, float32."""
    mesh = template()
    triangles = mesh.triangles[mesh.pieces["body"]]
    triangles = triangles[mesh.rest[triangles, 1].max(axis=1) < 6.9]
    angles = np.arange(COLUMNS) * (2 * np.pi / COLUMNS) + 1e-4  # a little off the vertices in the middle
    columns = [_slice(mesh.rest.astype(np.float64), triangles, angle) for angle in angles]
    return (
        np.stack([vertices for vertices, _ in columns], axis=1),
        np.stack([weights for _, weights in columns], axis=1).astype(np.float32),
    )


def _slice(rest: np.ndarray, triangles: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Follow the skin in the half plane at `angle`: vertices and weights [rows, 4], equally far apart."""
    x, z = rest[:, 0], rest[:, 2] - _AXIS_Z
    across = x * np.cos(angle) - z * np.sin(angle)
    outward = x * np.sin(angle) + z * np.cos(angle)
    front = across > 0
    triangles = triangles[front[triangles].any(axis=1) & ~front[triangles].all(axis=1)]
    sides = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1), axis=-1)
    crossed = front[sides[..., 0]] != front[sides[..., 1]]  # two sides of each triangle
    keys, numbers = np.unique(sides[crossed].astype(np.int64) @ [len(rest), 1], return_inverse=True)
    edges = np.stack(np.divmod(keys, len(rest)), axis=-1)
    share = across[edges[:, 0]] / (across[edges[:, 0]] - across[edges[:, 1]])
    places = (1 - share)[:, None] * rest[edges[:, 0]] + share[:, None] * rest[edges[:, 1]]
    radius = (1 - share) * outward[edges[:, 0]] + share * outward[edges[:, 1]]
    neighbours: dict[int, list[int]] = {}
    for a, b in numbers.reshape(-1, 2).tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    # Begin where the neck passes the ring's height, and follow the skin both ways.
    near = np.abs(places[:, 1] - _NECK_HEIGHT) + np.where(radius > 0, 0, np.inf)
    start = int(near.argmin())
    chains = [_follow(neighbours, start, step) for step in neighbours[start]]
    chains.sort(key=lambda chain: places[chain[min(4, len(chain) - 1)], 1])
    down, up = chains
    chain = np.array([*up[::-1], start, *down])
    length = np.linalg.norm(np.diff(places[chain], axis=0), axis=1)
    drop = np.concatenate([[0.0], np.cumsum(length)])
    drop -= drop[len(up)]
    wanted = ((np.arange(_ROWS) - ROW_ZERO) * STEP).clip(drop[0])
    low = (np.searchsorted(drop, wanted, side="right") - 1).clip(0, len(drop) - 2)
    high = low + 1
    # Beyond the mesh's edge the skin goes straight on.
    beyond = wanted > drop[-1]
    low[beyond], high[beyond] = np.searchsorted(drop, drop[-1] - 0.3), len(drop) - 1
    between = ((wanted - drop[low]) / (drop[high] - drop[low]).clip(1e-9))[:, None]
    first, second = chain[low], chain[high]
    weights = [
        (1 - between) * np.stack([1 - share[first], share[first]], axis=-1),
        between * np.stack([1 - share[second], share[second]], axis=-1),
    ]
    return np.concatenate([edges[first], edges[second]], axis=1), np.concatenate(weights, axis=1)


def _follow(neighbours: dict[int, list[int]], start: int, step: int) -> list[int]:
    chain, last = [step], start
    while True:
        onwards = [n for n in neighbours[chain[-1]] if n != last]
        if not onwards or onwards[0] == start:
            return chain
        last = chain[-1]
        chain.append(onwards[0])
