"""What a portrait is built of: surfaces and strands, each of one material."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """How something is shaded, and with `part_of_material` which part it is."""

    SKIN = 0  # divided into parts by where on the template a point lies
    EYE = 1
    MOUTH = 2  # teeth, tongue
    HAIR = 3
    BROW = 4
    BEARD = 5  # counts as skin, as in CelebAMask-HQ
    LASH = 6
    CLOTH = 7
    HAT = 8
    FRAME = 9
    LENS = 10  # tinted
    METAL = 11  # earrings
    CLEAR = 12  # lenses that are seen through, but count as glasses, as in CelebAMask-HQ


@dataclass(frozen=True)
class Surface:
    """Triangles of one material.

    Attributes:
        material: how it is shaded.
        points: [V, 3] float32, world.
        normals: [V, 3] float32, unit, outward.
        chart: [V, 3] float32, what its texture is addressed by: for skin the template's rest position; for cloth
            and hats two fabric coordinates in world units (along and up) and a mark (0 fabric, 1 trim); for the rest
            unused zeros.
        triangles: [T, 3] int32, counter-clockwise from outside.
        two_sided: whether its back is seen too (its normal is then turned to the viewer).
    """

    material: Material
    points: np.ndarray
    normals: np.ndarray
    chart: np.ndarray
    triangles: np.ndarray
    two_sided: bool = False


@dataclass(frozen=True)
class Strands:
    """Hairs of one material, drawn as ribbons that face the camera.

    Attributes:
        material: how they are shaded.
        points: [n, m, 3] float32, world, from root to tip.
        widths: [n, m] float32, world units.
        tone: [n] float32, -1..1, how much lighter a strand is than its neighbours.
        outward: [n, m, 3] float32, unit, away from what the hair grows on: tells lit from shaded sides.
        buried: [n, m] float32, 0..1, how deep inside the hair a point lies (0 = on its surface).
    """

    material: Material
    points: np.ndarray
    widths: np.ndarray
    tone: np.ndarray
    outward: np.ndarray
    buried: np.ndarray
