"""Small meshes that clothes and accessories are put together from: grids, tubes, balls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ssgan_core.heads.bust import vertex_normals
from ssgan_core.heads.scene import Material, Surface


@dataclass(frozen=True)
class Part:
    """A piece of a surface: points [V, 3], chart [V, 3] (see Surface), triangles [T, 3] from its own vertex 0."""

    points: np.ndarray
    chart: np.ndarray
    triangles: np.ndarray


def join(material: Material, parts: list[Part], two_sided: bool = False) -> Surface:
    """One surface of several parts, with smooth normals inside each part."""
    offsets = np.cumsum([0] + [len(part.points) for part in parts])
    points = np.concatenate([part.points for part in parts]).astype(np.float32)
    triangles = np.concatenate([p.triangles + np.int32(o) for p, o in zip(parts, offsets, strict=False)])
    return Surface(
        material=material,
        points=points,
        normals=vertex_normals(points, triangles),
        chart=np.concatenate([part.chart for part in parts]).astype(np.float32),
        triangles=triangles,
        two_sided=two_sided,
    )


def between(low: float, high: float, share: float) -> float:
    """The number at a share 0..1 of the way from `low` to `high`."""
    return low + (high - low) * share


@lru_cache(maxsize=64)
def grid_triangles(
    rows: int, columns: int, wrap_rows: bool = False, wrap_columns: bool = False, flip: bool = False
) -> np.ndarray:
    """Triangles [T, 3], int32, of a grid of vertices in row-major order.

    They face the side that rows x columns (right-handed) points to, or with `flip` the other one.
    """
    i = np.arange(rows if wrap_rows else rows - 1)
    j = np.arange(columns if wrap_columns else columns - 1)
    i, j = (a.ravel() for a in np.meshgrid(i, j, indexing="ij"))
    below, right = (i + 1) % rows, (j + 1) % columns
    a, b, c, d = i * columns + j, below * columns + j, below * columns + right, i * columns + right
    corners = [a, d, b, d, c, b] if flip else [a, b, d, d, b, c]
    triangles = np.stack(corners, axis=-1).reshape(-1, 3).astype(np.int32)
    triangles.setflags(write=False)
    return triangles


def sheet(
    points: np.ndarray,
    chart: np.ndarray | None = None,
    wrap_rows: bool = False,
    wrap_columns: bool = False,
    flip: bool = False,
) -> Part:
    """A grid of points [rows, columns, 3]; see grid_triangles for which side it faces."""
    rows, columns = points.shape[:2]
    flat = points.reshape(-1, 3)
    return Part(
        flat,
        np.zeros_like(flat) if chart is None else chart.reshape(-1, 3),
        grid_triangles(rows, columns, wrap_rows, wrap_columns, flip),
    )


def oval(count: int, width: float, height: float, power: float = 2.0) -> np.ndarray:
    """Outline [count, 2] of a superellipse, counter-clockwise; power 2 is an ellipse, more is squarer."""
    angle = np.arange(count) * (2 * np.pi / count)
    cos, sin = np.cos(angle), np.sin(angle)
    shape = np.stack(
        [np.sign(cos) * np.abs(cos) ** (2 / power), np.sign(sin) * np.abs(sin) ** (2 / power)], -1
    )
    return shape * np.array([width, height]) / 2


def tube(
    path: np.ndarray,
    outline: np.ndarray,
    upright: np.ndarray,
    sizes: np.ndarray | None = None,
    closed: bool = False,
) -> Part:
    """Sweep an outline along a path; open ends are capped.

    Args:
        path: [n, 3].
        outline: [m, 2], counter-clockwise; its second coordinate goes along `upright`.
        upright: [3] or [n, 3]; made perpendicular to the path.
        sizes: [n] factors of the outline.
        closed: whether the end of the path joins its beginning.
    """
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        along[0], along[-1] = path[1] - path[0], path[-1] - path[-2]
    along = unit(along)
    side = unit(np.cross(np.broadcast_to(upright, path.shape), along))
    up = np.cross(along, side)
    scale = np.ones(len(path)) if sizes is None else sizes
    scaled = outline[None] * scale[:, None, None]
    rings = path[:, None] + scaled[..., :1] * side[:, None] + scaled[..., 1:] * up[:, None]
    if not closed:
        rings = np.concatenate([np.repeat(path[:1, None], len(outline), 1), rings])
        rings = np.concatenate([rings, np.repeat(path[-1:, None], len(outline), 1)])
    return sheet(rings, wrap_rows=closed, wrap_columns=True, flip=True)


def ball(centre: np.ndarray, radii: np.ndarray | float, rows: int = 8, columns: int = 12) -> Part:
    """An ellipsoid with axes along x, y and z."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    around = np.arange(columns) * (2 * np.pi / columns)
    shape = np.stack(
        [
            np.sin(polar) * np.sin(around),
            np.broadcast_to(np.cos(polar), (rows, columns)),
            np.sin(polar) * np.cos(around),
        ],
        axis=-1,
    )
    return sheet(centre + shape * radii, wrap_columns=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] at length 1."""
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)), 1e-9)


def smoothstep(low: float, high: float, x: np.ndarray | float) -> np.ndarray:
    """0 below `low`, 1 above `high` (or the other way round), smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blur_rows(field: np.ndarray, passes: int) -> np.ndarray:
    """Binomial blur of [rows, columns, ...] along its rows' index, ends repeated."""
    for _ in range(passes):
        padded = np.concatenate([field[:1], field, field[-1:]])
        field = 0.25 * (padded[:-2] + padded[2:]) + 0.5 * field
    return field


def blur_around(field: np.ndarray, passes: int) -> np.ndarray:
    """Binomial blur of [rows, columns, ...] along its columns, which wrap around."""
    for _ in range(passes):
        padded = np.concatenate([field[:, -1:], field, field[:, :1]], axis=1)
        field = 0.25 * (padded[:, :-2] + padded[:, 2:]) + 0.5 * field
    return field
