"""The canonical face: 468 points in the world frame, which cameras of photos are measured against.

`canonical_mesh.json` is this project's own; `tools/canonical_mesh.py` made it and its `provenance` entry says
from what. It stands in the world as method and data set assume: facing +z, symmetric in x, its eyes, nose tip
and mouth where they lie on average in EG3D's crops when the frontal camera looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from ssgan_core.files import read_json

_FILE = Path(__file__).with_name("canonical_mesh.json")

# Mesh points whose mean is one of the five points of face alignment. Right is the subject's right.
_RIGHT_EYE = (33, 133, 159, 145)
_LEFT_EYE = (263, 362, 386, 374)
_NOSE_TIP = (1, 4)
_RIGHT_MOUTH = (61,)
_LEFT_MOUTH = (291,)
_BASE_OF_NOSE = 2  # mouth, jaw and chin, which move with the expression, are below it


@dataclass(frozen=True)
class CanonicalMesh:
    """The canonical face.

    Attributes:
        points: [468, 3], world units.
        mirror: [468], the point that each becomes when left and right are exchanged.
        rigid: indices of the points that do not move with the expression.
        sha256: hex digest of points and mirror, kept with every data set that used them.
    """

    points: np.ndarray
    mirror: np.ndarray
    rigid: np.ndarray
    sha256: str


@lru_cache(maxsize=1)
def canonical_mesh() -> CanonicalMesh:
    """The shipped mesh."""
    content = read_json(_FILE)
    points = np.array(content["points"], np.float64)
    mirror = np.array(content["mirror"], np.int64)
    rigid = np.flatnonzero(points[:, 1] > points[_BASE_OF_NOSE, 1])
    for array in (points, mirror, rigid):  # shared by everyone
        array.setflags(write=False)
    digest = sha256(points.tobytes() + mirror.tobytes()).hexdigest()
    return CanonicalMesh(points, mirror, rigid, digest)


def five_points(points: np.ndarray) -> np.ndarray:
    """Right eye, left eye, nose tip, right and left mouth corner [5, D] of mesh points [468, D]."""
    groups = (_RIGHT_EYE, _LEFT_EYE, _NOSE_TIP, _RIGHT_MOUTH, _LEFT_MOUTH)
    return np.stack([points[list(group)].mean(axis=0) for group in groups])
