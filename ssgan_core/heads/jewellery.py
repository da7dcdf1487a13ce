"""Earrings, at the lobes of both ears; lengths are world units."""

from __future__ import annotations

from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import EARRINGS, Identity
from ssgan_core.heads.scene import Material, Surface
from ssgan_core.heads.solids import Part, ball, join, oval, tube, unit
from ssgan_core.heads.template import template

_STREAM = 7_307
_DOWN = np.array([0.0, -1.0, 0.0])


def jewellery(identity: Identity, bust: Bust) -> list[Surface]:
    """METAL surfaces; nothing for those who wear no earrings."""
    name = EARRINGS[identity.earrings]
    if name == "none":
        return []
    parts: list[Part] = []
    for side in (1, -1):
        # The same numbers for both ears.
        rng = np.random.default_rng([identity.seed, identity.index, _STREAM])
        hole, tip = (bust.points[vertices].astype(float).mean(axis=0) for vertices in _lobe(side))
        outward = unit(bust.normals[_lobe(side)[0]].astype(float).mean(axis=0))
        parts += _JEWELLERS[name](hole, tip, outward, rng)
    return [join(Material.METAL, parts)]


def _stud(hole: np.ndarray, tip: np.ndarray, outward: np.ndarray, rng: np.random.Generator) -> list[Part]:
    size = rng.uniform(0.0052, 0.0088)
    return [ball(hole + 0.35 * size * outward, size, 10, 14)]


def _drop(hole: np.ndarray, tip: np.ndarray, outward: np.ndarray, rng: np.random.Generator) -> list[Part]:
    level = unit(outward * np.array([1.0, 0.0, 1.0]))
    # A hook through the lobe, links that hang straight down, and what they carry.
    start = hole + 0.003 * outward
    below = np.array([*(start + 0.002 * level)[[0]], min(tip[1], start[1]) - 0.003, start[2]])
    turn = np.linspace(0, 1, 8)[:, None]
    hook = start + turn * (below - start) + np.sin(np.pi * turn) * 0.0018 * level
    parts = [ball(start, 0.0034), tube(hook, oval(6, 0.0022, 0.0022), np.array([0.0, 0.0, 1.0]))]
    links = int(rng.integers(2, 6))
    for link in range(links):
        parts.append(ball(below + (0.0025 + 0.0048 * link) * _DOWN, np.array([0.0017, 0.0030, 0.0017]), 6, 8))
    at = below + (0.0012 + 0.0048 * links) * _DOWN
    shape = int(rng.integers(3))
    size = rng.uniform(0.0062, 0.0095)
    if shape == 0:  # a bead
        parts.append(ball(at + size * _DOWN, size, 10, 14))
    elif shape == 1:  # a teardrop
        length = 3.0 * size
        t = np.linspace(0, 1, 12)
        sizes = np.sqrt(t * (1 - t)).clip(0.04) * (0.35 + 1.3 * t)
        path = at + t[:, None] * length * _DOWN
        parts.append(tube(path, oval(12, 2.2 * size, 2.2 * size), np.array([0.0, 0.0, 1.0]), sizes))
    else:  # a disc
        parts.append(_disc(at + 1.15 * size * _DOWN, level, 1.15 * size))
    return parts


def _disc(centre: np.ndarray, axis: np.ndarray, radius: float) -> Part:
    """A thin lens of metal that faces along `axis`."""
    t = np.linspace(-1, 1, 7)
    path = centre + 0.0016 * t[:, None] * axis
    return tube(
        path, oval(18, 2 * radius, 2 * radius), np.array([0.0, 1.0, 0.0]), np.sqrt((1 - t**2).clip(0.02))
    )


def _hoop(hole: np.ndarray, tip: np.ndarray, outward: np.ndarray, rng: np.random.Generator) -> list[Part]:
    radius = rng.uniform(0.012, 0.034)
    wire = rng.uniform(0.0030, 0.0048)
    # It goes through the lobe, so the ring's plane holds the lobe's normal, and hangs from the hole.
    level = unit(outward * np.array([1.0, 0.0, 1.0]) + np.array([0.0, 0.0, 0.35]))
    middle = hole - 0.35 * radius * level + 0.94 * radius * _DOWN + 0.004 * outward
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None]
    ring = middle + radius * (np.cos(turn) * level - np.sin(turn) * _DOWN)
    return [tube(ring, oval(8, wire, wire), np.cross(level, _DOWN), closed=True)]


_JEWELLERS = {"stud": _stud, "drop": _drop, "hoop": _hoop}


@cache
def _lobe(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Fine vertices of an ear lobe: around the hole on its outer side, and at its lower edge."""
    mesh = template()
    x, y, _ = mesh.rest.T
    ear = (mesh.masks["ears"] > 0.5) & (side * x > 0)
    hole = np.array([0.755 * side, 6.90, 0.575])
    distance = np.where(ear, np.linalg.norm(mesh.rest - hole, axis=1), np.inf)
    lowest = np.where(ear, y, np.inf)
    return np.argsort(distance)[:6], np.argsort(lowest)[:6]
