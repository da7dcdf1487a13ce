"""Brows, lashes and beard: short hairs that follow the face's expression through the skin they root in."""

from __future__ import annotations

from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import BEARDS, Identity
from ssgan_core.heads.scene import Material, Strands
from ssgan_core.heads.strand_growth import Roots, scatter, unit
from ssgan_core.heads.template import template

_MM = 0.01  # template units a millimetre

# The brow on the template, at shares 0 (inner end) to 1 (tail) of its length: x, y, half its height.
_BROW_AT = np.array([0.0, 0.15, 0.35, 0.55, 0.70, 0.85, 1.0])
_BROW_X = np.array([0.115, 0.18, 0.27, 0.36, 0.43, 0.495, 0.555])
# A sixth of the eyes' distance above them, and as high as the mean of photos' masks shows them.
_BROW_Y = np.array([7.442, 7.454, 7.470, 7.485, 7.488, 7.472, 7.436])
_BROW_HALF = np.array([0.036, 0.043, 0.043, 0.039, 0.032, 0.023, 0.012])
_BROW_ANGLE = np.radians([72.0, 52.0, 30.0, 16.0, 2.0, -16.0, -30.0])  # of the hairs, outwards = 0, up = 90


def brow_line(identity: Identity) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and half height [7] of a brow on the template, from its inner end to its tail."""
    arch = (identity.brow_arch - 1) * 0.030 * np.sin(np.pi * _BROW_AT**1.4)
    half = _BROW_HALF * identity.brow_thickness * (0.80 + 0.32 * (1 - identity.female))
    return _BROW_X, _BROW_Y + arch - 0.012 * (1 - identity.female), half


def grow_brows(identity: Identity, bust: Bust, rng: np.random.Generator) -> Strands:
    """Both brows."""
    xs, ys, halves = brow_line(identity)
    rest = template().rest
    near = (
        (rest[:, 2] > 1.15) & (np.abs(rest[:, 1] - 7.465) < 0.13) & (np.abs(np.abs(rest[:, 0]) - 0.33) < 0.28)
    )
    roots = scatter(bust, near.astype(np.float32), 4800, rng)
    x, y = np.abs(roots.rest[:, 0]), roots.rest[:, 1]
    share = np.interp(x, xs, _BROW_AT)
    across = (y - np.interp(x, xs, ys)) / np.interp(x, xs, halves)  # -1 at the lower edge, 1 at the upper
    ends = np.clip((x - xs[0] + 0.025) / 0.06, 0, 1) * np.clip((xs[-1] + 0.015 - x) / 0.05, 0, 1)
    # The lower edge is the sharper one.
    soft = np.where(across > 0, np.clip((1.15 - across) / 0.75, 0, 1), np.clip((1.10 + across) / 0.40, 0, 1))
    keep = rng.random(len(x)) < ends * soft * np.clip(0.50 + 0.8 * share, 0, 1)
    chosen = np.nonzero(keep)[0]
    chosen = chosen[: int(880 * identity.brow_density * (0.55 + 0.45 * identity.brow_thickness))]
    roots, share, across = roots.take(chosen), share[chosen], across[chosen]
    count = len(chosen)
    side = np.sign(roots.points[:, 0])
    angle = np.interp(share, _BROW_AT, _BROW_ANGLE) - np.radians(20) * across.clip(-1, 1) * (share > 0.2)
    angle = angle + 0.14 * rng.standard_normal(count)
    bend = np.radians(-22.0) * (0.4 + share) + 0.1 * rng.standard_normal(count)
    length = (
        8.2 * _MM * (1 - 0.45 * share**2) * (1 + 0.18 * rng.standard_normal(count).clip(-2, 2)) * bust.scale
    )
    length = length * (0.74 + 0.2 * (1 - identity.female))
    points = _hugging(roots, side, angle, bend, length, lift=0.20, curvature=5.5, count=5)
    return _strands(Material.BROW, roots, points, 0.00062, 0.25, 0.35 * rng.standard_normal(count), 0.0)


def _hugging(
    roots: Roots,
    side: np.ndarray,
    angle: np.ndarray,
    bend: np.ndarray,
    length: np.ndarray,
    lift: np.ndarray | float,
    curvature: float,
    count: int,
) -> np.ndarray:
    """Hairs [n, count, 3] that lie on the skin.

    Args:
        side: [n] +1 where the subject's left is outwards.
        angle: [n] in the plane of the face at the root, 0 = outwards, pi / 2 = up; `bend` is added towards the tip.
        lift: slope of the hair off the skin at the root.
        curvature: 1 / world, of the skin under it.
    """
    points = np.empty((len(angle), count, 3), np.float32)
    points[:, 0] = roots.points
    step = (length / (count - 1))[:, None]
    for k in range(1, count):
        t = (k - 0.5) / (count - 1)
        turned = angle + bend * t
        flat = np.stack([side * np.cos(turned), np.sin(turned), np.zeros_like(turned)], axis=-1)
        flat = unit(flat - (flat * roots.normals).sum(axis=-1, keepdims=True) * roots.normals)
        off = np.asarray(lift) * (1 - 1.1 * t) - curvature * length * (t - 0.3)
        points[:, k] = points[:, k - 1] + step * unit(flat + off[:, None] * roots.normals)
    return points


def _strands(
    material: Material,
    roots: Roots,
    points: np.ndarray,
    width: float,
    tip: float,
    tone: np.ndarray,
    buried: float,
) -> Strands:
    count = points.shape[1]
    along = np.linspace(0, 1, count, dtype=np.float32)
    widths = np.broadcast_to(width * (1 - (1 - tip) * along**1.5), points.shape[:2])
    return Strands(
        material,
        points.astype(np.float32),
        widths.astype(np.float32),
        tone.clip(-1, 1).astype(np.float32),
        np.repeat(roots.normals[:, None], count, axis=1).astype(np.float32),
        np.full(points.shape[:2], buried, np.float32),
    )


@cache
def lash_rows(piece: str) -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices at the margin of the lids and at the tips of their lashes, each [2, k] from the nose outwards.

    Args:
        piece: "upper_lashes" or "lower_lashes"; row 0 is the subject's left (+x) eye.
    """
    mesh = template()
    triangles = mesh.triangles[mesh.pieces[piece]]
    rows = [_strip(triangles[mesh.rest[triangles[:, 0], 0] * sign > 0]) for sign in (1, -1)]
    return np.stack([margin for margin, _ in rows]), np.stack([tips for _, tips in rows])


def _strip(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two long sides of a strip of triangles: first the one against the eye; both begin at the nose."""
    rest = template().rest
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    pairs, counts = np.unique(edges, axis=0, return_counts=True)
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs[counts == 1].tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    loop = [min(neighbours)]
    loop.append(neighbours[loop[0]][0])
    while len(loop) < len(neighbours):
        a, b = neighbours[loop[-1]]
        loop.append(b if a == loop[-2] else a)
    ring = np.array(loop)
    # Its short sides have eight edges: the corners are where the border turns sharply.
    length = len(ring) // 2 - 8

    def straightness(start: int) -> float:
        sides = [np.roll(ring, -start)[: length + 1], np.roll(ring, -start - length - 8)[: length + 1]]
        return sum(float(np.abs(np.diff(rest[side, 0])).sum()) for side in sides)

    start = max(range(len(ring)), key=straightness)
    first = np.roll(ring, -start)[: length + 1]
    second = np.roll(ring, -start - length - 8)[: length + 1][::-1]
    if rest[first, 2].mean() > rest[second, 2].mean():  # tips stand forward
        first, second = second, first
    if abs(rest[first[0], 0]) > abs(rest[first[-1], 0]):
        first, second = first[::-1], second[::-1]
    return first, second


def grow_lashes(identity: Identity, bust: Bust, rng: np.random.Generator) -> Strands:
    """Upper and lower lashes of both eyes."""
    groups = []
    for piece, count, length, rise in (
        ("upper_lashes", 70, (3.0 + 3.6 * identity.lashes) * _MM, 0.85),
        ("lower_lashes", 28, (1.5 + 1.5 * identity.lashes) * _MM, -0.35),
    ):
        margin, tips = lash_rows(piece)
        for eye in range(2):
            groups.append(_lashes(bust, margin[eye], tips[eye], count, length * bust.scale, rise, rng))
    points, outward = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    widths = 0.00052 * (1 - 0.75 * np.linspace(0, 1, points.shape[1]) ** 1.5) * (0.75 + 0.4 * identity.lashes)
    return Strands(
        Material.LASH,
        points.astype(np.float32),
        np.broadcast_to(widths, points.shape[:2]).astype(np.float32),
        (-0.4 + 0.2 * rng.standard_normal(len(points))).clip(-1, 1).astype(np.float32),
        outward.astype(np.float32),
        np.zeros(points.shape[:2], np.float32),
    )


def _lashes(
    bust: Bust,
    margin: np.ndarray,
    tips: np.ndarray,
    count: int,
    length: float,
    rise: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Points [count, 6, 3] and outward normals of one lid's lashes; `rise` bends them up (or down, negative)."""
    last = len(margin) - 1
    # None in the inner corner; towards the outer one they are longer.
    share = (0.10 + 0.88 * (np.arange(count) + rng.random(count)) / count) ** 0.9
    place = share * last
    low = np.minimum(place.astype(int), last - 1)
    part = (place - low)[:, None]

    def at(rows: np.ndarray) -> np.ndarray:
        return bust.points[rows[low]] * (1 - part) + bust.points[rows[low + 1]] * part

    root, tip = at(margin), at(tips)
    # The strip is rooted behind the margin that is seen.
    root = root + 0.30 * (tip - root)
    out = unit(
        tip
        - root
        + 0.12 * np.linalg.norm(tip - root, axis=1, keepdims=True) * rng.standard_normal((count, 3))
    )
    fan = np.sign(root[:, :1]) * (share[:, None] - 0.45) * np.array([0.5, 0.0, 0.0])
    size = length * (0.60 + 0.55 * share) * (1 + 0.15 * rng.standard_normal(count).clip(-2, 2))
    s = np.linspace(0, 1, 6)[None, :, None]
    direction = unit(out + fan + np.array([0.0, -0.35 * rise, 0.25]))
    course = direction[:, None] * s + np.array([0.0, rise, -0.1 * abs(rise)]) * s**2
    points = root[:, None] + size[:, None, None] * course * 0.85
    return points, np.broadcast_to(unit(out)[:, None], points.shape)


# The beard's upper edge on the cheek: template y by template z, from the corner of the mouth to the ear.
_CHEEK_Z = (0.50, 0.62, 0.74, 0.86, 0.97, 1.10, 1.25, 1.36, 1.60)
_CHEEK_Y = (6.75, 7.28, 7.30, 7.10, 6.93, 6.80, 6.71, 6.65, 6.60)


def beard_density(identity: Identity, names: tuple[str, ...] | None = None) -> np.ndarray:
    """Density [N] of beard roots at fine template vertices, 0..1.

    Args:
        names: which of "moustache", "chin", "cheeks" to include; by default those of the identity's beard.
    """
    chosen = names if names is not None else _REGIONS[BEARDS[identity.beard]]
    regions = _beard_regions()
    result = np.zeros(len(template().rest), np.float32)
    for name in chosen:
        result = np.maximum(result, regions[name])
    return result


_REGIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "stubble": ("moustache", "chin", "cheeks"),
    "moustache": ("moustache",),
    "goatee": ("moustache", "chin", "corners"),
    "short": ("moustache", "chin", "cheeks", "corners"),
    "full": ("moustache", "chin", "cheeks", "corners"),
}


@cache
def _beard_regions() -> dict[str, np.ndarray]:
    mesh = template()
    rest = mesh.rest
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    skin = np.zeros(len(rest), np.float32)
    skin[mesh.piece_vertices["body"]] = 1
    skin *= (
        (1 - mesh.masks["lips"] * 1.6).clip(0, 1)
        * (mesh.masks["ears"] < 0.2)
        * (mesh.masks["inside-mouth"] < 0.2)
    )

    def soft(low: float, high: float, value: np.ndarray) -> np.ndarray:
        t = ((value - low) / (high - low)).clip(0, 1)
        return t * t * (3 - 2 * t)

    top = np.interp(z, _CHEEK_Z, _CHEEK_Y)
    neck = 6.02 + 0.28 * (1.40 - z).clip(0, 1.1)
    cheeks = soft(0.05, -0.07, y - top) * soft(-0.06, 0.10, y - neck) * soft(0.45, 0.62, z + 0.15 * (y < 6.7))
    # Bare beside the mouth, between moustache and cheek.
    cheeks *= 1 - 0.85 * np.exp(-(((x - 0.13) / 0.10) ** 2) - (((y - 6.43) / 0.05) ** 2)) * (z > 1.2)
    lip_top = 6.815 - 0.30 * (x - 0.10).clip(0, 1)
    moustache = soft(0.02, -0.045, y - lip_top) * soft(0.33, 0.24, x) * soft(6.52, 6.64, y) * (z > 1.2)
    moustache *= 1 - 0.5 * np.exp(-((x / 0.025) ** 2)) * (y > 6.74)
    chin = soft(0.30, 0.20, x - 0.10 * (6.4 - y).clip(0, 0.3)) * soft(
        6.47, 6.38, y - 0.06 * np.exp(-((x / 0.06) ** 2))
    )
    chin *= soft(-0.06, 0.08, y - neck) * (z > 0.9)
    corners = np.exp(-(((x - 0.305) / 0.055) ** 2)) * soft(6.68, 6.60, y) * soft(6.25, 6.35, y) * (z > 1.2)
    maps = {"cheeks": cheeks, "moustache": moustache, "chin": chin, "corners": corners}
    return {name: (value * skin).astype(np.float32) for name, value in maps.items()}


_BEARD_STRANDS = {"stubble": 5000, "moustache": 1300, "goatee": 2600, "short": 6000, "full": 5500}


def grow_beard(identity: Identity, bust: Bust, rng: np.random.Generator) -> Strands | None:
    """The beard, if there is one."""
    name = BEARDS[identity.beard]
    if name == "none":
        return None
    # Denser around the mouth than on the cheeks.
    mouth = 1 + 0.9 * (template().rest[:, 2] > 1.22)
    roots = scatter(bust, beard_density(identity) * mouth, _BEARD_STRANDS[name], rng)
    count = len(roots.points)
    x, y, z = roots.rest.T
    side = np.sign(x)
    upper = (y > 6.62) & (np.abs(x) < 0.34) & (z > 1.25)  # moustache: outwards from the middle
    angle = np.where(upper, np.radians(-38) - 0.6 * (np.abs(x) < 0.03), np.radians(-80) - 0.35 * (z < 1.1))
    angle = angle + 0.28 * rng.standard_normal(count)
    base = {"stubble": 0.0026, "short": 0.5 * identity.beard_length + 0.004}.get(name, identity.beard_length)
    longer = 0.55 + 0.75 * np.clip((6.55 - y) / 0.35, 0, 1) * np.clip((z - 0.8) / 0.5, 0, 1)
    length = base * np.where(upper, np.minimum(0.75, 0.012 / max(base, 1e-4)), longer)
    length = length * (1 + 0.25 * rng.standard_normal(count).clip(-2, 2)).clip(0.3, 1.6)
    points = 8 if base > 0.006 else 3
    bend = 0.3 * rng.standard_normal(count)
    strands = _hugging(roots, side, angle, bend, length, lift=0.35, curvature=2.0, count=points)
    if points > 3:
        strands = _kinked(identity, strands, length, rng)
    tone = 0.45 * rng.standard_normal(count)
    return _strands(Material.BEARD, roots, strands, 0.00085 if points > 3 else 0.0005, 0.4, tone, 0.15)


def _kinked(
    identity: Identity, strands: np.ndarray, length: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Beard hair is wavy; with African hair it coils."""
    count, points = strands.shape[:2]
    t = np.linspace(0, 1, points)[None, :]
    turns = (0.7 + 2.0 * identity.african) * length[:, None] / 0.02
    phase = rng.uniform(0, 2 * np.pi, (count, 1))
    size = (0.0006 + 0.0011 * identity.african) * np.minimum(t * 3, 1)
    wave = np.stack(
        [np.cos(phase + 2 * np.pi * turns * t), np.sin(1.7 * phase + 2 * np.pi * turns * t)], axis=-1
    )
    offsets = np.zeros_like(strands)
    offsets[..., 0], offsets[..., 2] = size * wave[..., 0], np.abs(size * wave[..., 1])
    return strands + offsets
