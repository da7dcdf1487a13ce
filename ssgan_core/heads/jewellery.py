"""Earrings, at the lobes of both ears."""

from __future__ import annotations

from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import EARRINGS, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, join, oval, tube
from ssgan_core.heads.template import template


def jewellery(identity: Identity, bust: Bust) -> list[Surface]:
    """METAL surfaces; nothing for those who wear no earrings."""
    name = EARRINGS[identity.earrings]
    if name == "none":
        return []
    rng = np.random.default_rng([identity.seed, identity.index, 404])
    size = rng.uniform(0.0, 1.0)
    parts: list[Part] = []
    for side, vertices in zip((1, -1), _lobes(), strict=True):
        lobe = bust.points[vertices].astype(float)
        anchor = lobe.mean(axis=0) + np.array([0.004 * side, 0.0, 0.004])
        if name == "stud":
            parts.append(ball(anchor, 0.0055 + 0.003 * size))
        elif name == "drop":
            parts.append(ball(anchor, 0.0038))
            length = 0.016 + 0.024 * size
            down = np.array([0.0, -1.0, 0.0])
            parts.append(
                tube(
                    np.stack([anchor, anchor + length * down]),
                    oval(6, 0.0024, 0.0024),
                    np.array([0.0, 0.0, 1.0]),
                )
            )
            heavy = 0.006 + 0.003 * size
            parts.append(ball(anchor + (length + heavy) * down, np.array([heavy, 1.5 * heavy, heavy])))
        else:
            radius = 0.014 + 0.018 * size
            turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
            middle = anchor - np.array([0.0, radius, 0.0])
            # The hoop hangs in a plane that turns a little to the front, so that it shows from there too.
            across = np.array([0.45 * side, 0.0, 0.89])
            ring = middle + radius * (
                np.sin(turn)[:, None] * across + np.cos(turn)[:, None] * np.array([0.0, 1.0, 0.0])
            )
            parts.append(tube(ring, oval(7, 0.0042, 0.0042), np.cross(across, [0.0, 1.0, 0.0]), closed=True))
    return [join(Material.METAL, parts)]


@cache
def _lobes() -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices of the outer side of the left and right ear lobe."""
    mesh = template()
    ear = (mesh.masks["ears"] > 0.5) & (mesh.rest[:, 1] < 6.93)
    result = []
    for side in (1, -1):
        x = side * mesh.rest[:, 0]
        mine = ear & (x > 0)
        result.append(np.nonzero(mine & (x > np.quantile(x[mine], 0.5)))[0])
    return result[0], result[1]
