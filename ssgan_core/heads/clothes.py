"""Clothes: a sheet over the shoulders with an opening for the neck, and the collar around it.

What shows where cloth ends follows from the identity's numbers; folds are drawn at random.

Lengths here are template units (decimetres) unless noted; `drop` and `angle` are those of torso.Torso.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import NECKLINES, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, between, blur_rows, join, oval, sheet, smoothstep, tube, unit
from ssgan_core.heads.torso import COLUMNS, Torso, torso_of

_STREAM = 7_301
_LOWEST = 2.45  # drop at which the sheet leaves the body and hangs
_ROWS = 32
_FABRIC_RADIUS = 0.62  # where the fabric coordinates put the ring around the neck
_EASE = 0.04  # of cloth above the torso's grid
_BUTTONED = 0.3  # opening of shirts up to which they are
_DRAWN_TIGHT = 0.3  # opening of hoods up to which no strings hang down


def clothes(identity: Identity, bust: Bust) -> Surface:
    """The garment that `identity.neckline` names, as one surface of Material.CLOTH."""
    rng = np.random.default_rng([identity.seed, identity.index, _STREAM])
    tailor = _TAILORS[NECKLINES[identity.neckline]]
    return join(Material.CLOTH, tailor(torso_of(bust), identity, rng), two_sided=True)


def _angles() -> np.ndarray:
    """[COLUMNS + 1] from the nape around the front back to the nape."""
    return np.linspace(-np.pi, np.pi, COLUMNS + 1)


def _around(angle: np.ndarray, front: float, side: float, back: float) -> np.ndarray:
    """A smooth closed curve through values in front, at both sides and behind."""
    cos = np.cos(angle)
    return side + 0.5 * (front - back) * cos + (0.5 * (front + back) - side) * cos * cos


Height = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _folds(rng: np.random.Generator, amplitude: float) -> Height:
    """Soft folds that run from neck to shoulders and chest: height by angle and drop."""
    count = 9
    where = rng.uniform(-np.pi, np.pi, count)
    slant = rng.normal(0, 0.55, count)
    width = rng.uniform(0.10, 0.24, count)
    start, end = rng.uniform(0.1, 0.7, count), rng.uniform(0.9, 2.2, count)
    size = amplitude * rng.uniform(0.35, 1.0, count) * np.where(rng.random(count) < 0.3, -0.6, 1.0)
    phase = rng.uniform(0, 2 * np.pi, 4)

    def height(angle: np.ndarray, drop: np.ndarray) -> np.ndarray:
        total = (
            amplitude
            * 0.35
            * np.sin(3.0 * angle + 2.1 * drop + phase[0])
            * np.sin(2.6 * drop + 2.0 * angle + phase[1])
        )
        total = total + amplitude * 0.2 * np.sin(7.0 * angle - 3.0 * drop + phase[2]) * np.sin(
            5.0 * drop + phase[3]
        )
        for i in range(count):
            apart = (angle - where[i] - slant[i] * (drop - 0.5) + np.pi) % (2 * np.pi) - np.pi
            along = smoothstep(start[i] - 0.35, start[i] + 0.1, drop) * smoothstep(
                end[i] + 0.4, end[i] - 0.2, drop
            )
            total = total + size[i] * along * np.exp(-((apart * (0.45 + 0.55 * drop) / width[i]) ** 2))
        return total

    return height


def _body(
    torso: Torso,
    opening: np.ndarray,
    folds: Height,
    ease: float = _EASE,
    gathered: tuple[float, float] = (0.0, 0.3),
    hem: float = 0.0,
) -> Part:
    """The sheet from its opening [COLUMNS + 1] down; folds grow between two distances from it.

    With a hem the cloth is turned in at the opening and stitched so far from the edge.
    """
    angle = _angles()
    far = (_LOWEST - opening) * np.linspace(0, 1, _ROWS)[:, None] ** 1.3
    # Folds never press the cloth into the skin.
    lift = (ease + folds(angle, opening + far) * smoothstep(*gathered, far)).clip(0.4 * ease)
    if hem:
        steps = [
            (0.16, -0.6), (0.02, -0.7), (0.0, -0.55), (0.0, -0.2), (0.015, 0.0), (0.8 * hem, 0.05), (hem, -0.12),
            (1.2 * hem, 0.05),
        ]  # fmt: skip
        first = np.array(steps)[:, :1] * np.ones(len(angle))
        edge = ease + np.array(steps)[:, 1:] * 0.03 * np.ones(len(angle))
        kept = far[:, 0] > 1.3 * hem
        far, lift = np.concatenate([first, far[kept]]), np.concatenate([edge, lift[kept]])
    drop = opening + far
    points = torso.at(angle, drop, lift)
    fall = (
        unit(points[-1:] - points[-2:-1])
        + np.array([0.0, -0.5, 0.0])
        + 0.45 * unit((points[-1:] - points[-1:].mean(axis=1)) * np.array([1.0, 0.0, 1.0]))
    )
    points = np.concatenate([points, points[-1:] + 1.3 * torso.scale * fall])
    chart = _fabric(torso, np.broadcast_to(angle, drop.shape), drop, 0.0)
    chart = np.concatenate([chart, chart[-1:] - np.array([0.0, torso.scale, 0.0])])
    return sheet(points, chart)


def _fabric(torso: Torso, angle: np.ndarray, drop: np.ndarray, mark: float) -> np.ndarray:
    """Fabric coordinates of the sheet: as if it were laid flat around the neck."""
    radius = (_FABRIC_RADIUS + drop) * torso.scale
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle), np.full_like(radius, mark)], axis=-1)


def _strip(torso: Torso, angle: np.ndarray, drop: np.ndarray, lift: np.ndarray, mark: float) -> Part:
    """A collar: rows of drops and lifts [rows, columns] over angles [columns] or [rows, columns]."""
    return _cloth_rows(torso, angle, torso.at(angle, drop, lift), mark)


def _cloth_rows(torso: Torso, angle: np.ndarray, points: np.ndarray, mark: float) -> Part:
    """Cloth through points [rows, columns, 3]; its fabric coordinates run along angles and rows."""
    run = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    up = np.concatenate([np.zeros((1, points.shape[1])), -np.cumsum(run, axis=0)])
    around = np.broadcast_to(angle * _FABRIC_RADIUS * torso.scale, up.shape)
    return sheet(points, np.stack([around, up, np.full_like(up, mark)], axis=-1))


def _profile(
    opening: np.ndarray, steps: list[tuple[float, float]], size: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Drops and lifts [rows, columns] of a profile: steps of (height above the opening, lift)."""
    height, lift = np.array(steps).T
    return opening - height[:, None] * size, np.broadcast_to(lift[:, None], (len(steps), len(opening)))


def _band(torso: Torso, opening: np.ndarray, width: np.ndarray | float, mark: float) -> Part:
    """A ribbed band sewn to the opening, standing up along the neck: inside, over the rounded top edge, down."""
    steps = [
        (-0.10, -0.025), (0.35, -0.035), (0.75, -0.04), (0.93, -0.036), (1.0, -0.022), (1.0, -0.004), (0.94, 0.012),
        (0.75, 0.020), (0.4, 0.020), (0.12, 0.018), (0.02, 0.010), (-0.05, -0.012),
    ]  # fmt: skip
    drop, lift = _profile(opening, steps, width)
    return _strip(torso, _angles(), drop, lift + _EASE, mark)


def _crew(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    loose = 0.10 * identity.neck_opening
    opening = _around(_angles(), 0.46 + 1.4 * loose, 0.28 + loose, 0.20 + 0.4 * loose)
    return [
        _body(torso, opening, _folds(rng, 0.06)),
        _band(torso, opening, between(0.15, 0.22, identity.collar_height), 1.0),
    ]


def _vee(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    angle = _angles()
    deep = between(0.85, 1.3, identity.neck_opening)
    base = _around(angle, 0.50, 0.34, 0.22)
    opening = base + (deep - 0.50) * (1 - np.abs(angle) / np.radians(70)).clip(0)
    # Blurred at the sides, where the slope begins; the point itself stays sharp.
    apart = smoothstep(0.3, 0.8, np.abs(angle))
    opening = opening + apart * (blur_rows(opening, 40) - opening)
    return [
        _body(torso, opening, _folds(rng, 0.055)),
        _band(torso, opening, between(0.12, 0.18, identity.collar_height), 1.0),
    ]


def _wide(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    scoop, side = between(0.7, 1.1, identity.neck_opening), between(0.8, 0.5, identity.collar_height)
    opening = _around(_angles(), scoop, side, 0.42)
    return [_body(torso, opening, _folds(rng, 0.045), ease=0.02, hem=0.07)]


def _turtleneck(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    angle = _angles()
    base = _around(angle, 0.40, 0.30, 0.26)
    top = _around(angle, -0.10, -0.27, -0.34) * between(0.8, 1.1, identity.collar_height)
    fold = top + between(0.42, 0.30, identity.neck_opening) + _around(angle, 0.0, 0.08, 0.10)
    loose = rng.uniform(0.4, 1.2)
    phase = rng.uniform(0, 2 * np.pi, 5)
    rows = []
    # (share of the way from the fold's lower edge to its top, lift)
    for share, lift in (
        (0.5, -0.03), (0.85, -0.03), (0.96, -0.02), (1.0, 0.005), (1.0, 0.03), (0.97, 0.048), (0.9, 0.058),
        (0.8, 0.062), (0.7, 0.064), (0.6, 0.066), (0.5, 0.068), (0.4, 0.07), (0.3, 0.07), (0.2, 0.07), (0.12, 0.07),
        (0.06, 0.068), (0.02, 0.06), (0.0, 0.045), (0.0, 0.03), (0.05, 0.015), (0.2, 0.0),
    ):  # fmt: skip
        soft = 0.020 * np.sin(2 * angle + phase[0] + 3 * share) + 0.010 * np.sin(
            5 * angle + phase[1] - 4 * share
        )
        crease = 0.010 * np.sin(11 * share + 1.6 * np.sin(2 * angle + phase[2]) + phase[3])
        crease = (
            crease * np.sin(2 * angle + phase[4]) * smoothstep(0.0, 0.2, share) * smoothstep(1.0, 0.8, share)
        )
        slack = (soft * (0.4 + 0.6 * (1 - share)) + crease) * loose
        rows.append((fold + (top - fold) * share, lift + (slack.clip(-0.03) if lift >= 0.03 else 0.0)))
    drop, lift = (np.stack(np.broadcast_arrays(*part)) for part in zip(*rows, strict=True))
    # Below the fold the tube goes down to the shoulders and widens.
    under = np.linspace(0, 1, 8)[:, None]
    tube_drop = (fold - 0.18) * (1 - under) + (base + 0.12) * under
    neck = _strip(torso, angle, tube_drop, np.full(tube_drop.shape, 0.03), 0.0)
    return [
        _body(torso, base - 0.02, _folds(rng, 0.055), ease=0.035, gathered=(0.1, 0.5)),
        neck,
        _strip(torso, angle, drop, lift + 0.02, 0.0),
    ]


def _shirt(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    angle = _angles()
    buttoned = identity.neck_opening < _BUTTONED
    undone = (identity.neck_opening - _BUTTONED) / (1 - _BUTTONED)
    # Half the angle at which the collar's ends stand apart.
    gap = 0.05 if buttoned else between(0.28, 0.42, undone)
    apex = 0.36 if buttoned else between(0.75, 1.15, undone)
    foot = (0.34, 0.25, 0.16)  # in front, at the sides, behind
    opening = _around(angle, *foot) + (apex - foot[0]) * (1 - np.abs(angle) / (gap + 0.05)).clip(0)
    parts = [_body(torso, opening, _folds(rng, 0.055), gathered=(0.35, 0.8))]
    # Stand and leaf in one piece from one end around the nape to the other: up inside, over the fold, down outside.
    t = np.linspace(-1, 1, 97)
    around, near = np.pi + t * (np.pi - gap), np.abs(t)
    base = _around(around, *foot)
    size = identity.collar_height
    stand = between(0.30, 0.38, size) - 0.16 * near**3
    leaf = between(0.44, 0.50, size) + between(0.26, 0.42, size) * smoothstep(0.6, 1.0, near)
    slant = np.sign(t) * -between(0.22, 0.40, size) * smoothstep(0.55, 1.0, near)
    inside = ((-0.35, -0.02), (0.0, -0.02), (0.4, -0.012), (0.8, 0.0), (0.95, 0.01))
    outside = (
        (0.0, 0.035), (0.03, 0.06), (0.09, 0.078), (0.2, 0.085), (0.35, 0.085), (0.5, 0.082), (0.65, 0.08),
        (0.8, 0.078), (0.92, 0.076), (0.985, 0.074), (1.0, 0.064), (0.985, 0.05), (0.9, 0.046), (0.5, 0.045),
    )  # fmt: skip
    rows = [(around, base - stand * share, np.full_like(t, lift)) for share, lift in inside]
    rows += [
        (around + slant * max(share, 0.0) ** 1.2, base - stand + leaf * share, np.full_like(t, lift))
        for share, lift in outside
    ]
    at, drop, lift = (np.stack(part) for part in zip(*rows, strict=True))
    parts.append(_strip(torso, at, drop, lift + _EASE, 1.0))
    parts += _placket(torso, apex)
    return parts


def _placket(torso: Torso, start: float) -> list[Part]:
    """The strip that buttons sit on, from `start` down."""
    x = np.array([-0.12, -0.118, -0.105, 0.105, 0.118, 0.12])
    lift = np.array([-0.01, 0.012, 0.02, 0.02, 0.012, -0.01])
    drop = np.linspace(start - 0.04, _LOWEST, 16)[:, None]
    across = x / (_FABRIC_RADIUS + drop * 0.2)
    points = torso.at(across, drop, lift + _EASE + 0.03)
    parts = [sheet(points, _fabric(torso, across, np.broadcast_to(drop, across.shape), 0.0))]
    for down in (0.08, 0.55):
        centre = torso.at(np.zeros(1), np.array([start + down]), _EASE + 0.055)[0]
        parts.append(ball(centre, np.array([0.05, 0.05, 0.02]) * torso.scale, 6, 12))
    return parts


def _hood(torso: Torso, identity: Identity, rng: np.random.Generator) -> list[Part]:
    angle = _angles()
    opening = _around(angle, 0.52, 0.30, 0.20)
    parts = [_body(torso, opening, _folds(rng, 0.075), ease=0.05, gathered=(0.1, 0.5))]
    # The hood lies folded around the neck: a soft roll that widens towards the nape, where the hood hangs down.
    size = between(0.85, 1.15, identity.collar_height)
    thick = _around(angle, 0.06, 0.15, 0.30) * size
    tall = _around(angle, 0.09, 0.19, 0.25) * size
    place = _around(angle, 0.54, 0.28, 0.20)
    foot = torso.at(angle, place, 0.02)
    outward = unit((foot - foot.mean(axis=0)) * np.array([1.0, 0.0, 1.0]))
    up = np.array([0.0, 1.0, 0.0])
    phase = rng.uniform(0, 2 * np.pi, 6)
    rings = [torso.at(angle, place, -0.02)]
    for turn in np.linspace(1.35 * np.pi, -0.6 * np.pi, 26):
        wave = 0.12 * np.sin(2 * angle + turn + phase[0]) + 0.10 * np.sin(5 * angle - 2 * turn + phase[1])
        crease = np.sin(
            3.5 * turn + phase[2] + 1.2 * np.sin(2 * angle + phase[3]) + 0.8 * np.sin(5 * angle + phase[4])
        )
        # Folds lie on the outside; the edge around the face is hemmed and even.
        wave = wave + 0.10 * crease * smoothstep(0.9 * np.pi, 0.5 * np.pi, np.asarray(turn))
        out = thick * (0.85 + np.cos(turn) * (1 + wave))
        rise = tall * (0.8 + np.sin(turn) * (1 + 0.8 * wave))
        out = out + 0.35 * (rise - 0.5 * tall).clip(0)
        rings.append(foot + torso.scale * (out[:, None] * outward + rise[:, None] * up))
    rings.append(torso.at(angle, place + 0.8 * thick + 0.08, 0.02))
    parts.append(_cloth_rows(torso, angle, np.stack(rings), 0.0))
    if identity.neck_opening > _DRAWN_TIGHT:  # drawstrings
        for side in (-1, 1):
            drop = np.linspace(0.48, 1.2 + 0.15 * rng.random(), 16)
            away = 0.22 + 0.03 * np.sin(3 * drop + phase[5])
            path = torso.at(side * away, drop, 0.12 - 0.02 * smoothstep(0.5, 0.9, drop))
            cord = tube(path, oval(8, 0.05, 0.05) * torso.scale, np.array([1.0, 0.0, 0.0]))
            parts.append(
                replace(cord, chart=cord.points * np.array([1.0, 1.0, 0.0]) + np.array([0.0, 0.0, 1.0]))
            )
    return parts


_TAILORS: dict[str, Callable[[Torso, Identity, np.random.Generator], list[Part]]] = {
    "crew": _crew,
    "v-neck": _vee,
    "turtleneck": _turtleneck,
    "shirt": _shirt,
    "hood": _hood,
    "wide": _wide,
}
