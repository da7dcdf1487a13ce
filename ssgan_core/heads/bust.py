"""The body of one identity: its mesh in the world, where its features lie, and a hull that hair must not enter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from ssgan_core.heads.jit import entry
from ssgan_core.heads.sampler import Identity, traits
from ssgan_core.heads.template import EYE_PIECES, template

# Where EG3D's crop has the features of a frontal face, world x and y: eyes, nose tip, corners of the mouth.
_FEATURES = np.array([[0.083, 0.066], [-0.083, 0.066], [0.0, -0.030], [0.058, -0.096], [-0.058, -0.096]])
_EYE_DEPTH = 0.085  # world z of the eyes' centres
_CHIN_DOWN = 0.05  # radians: the base mesh looks up by so much, compared with what photographs call level
_CENTRE = np.array(
    [0.0, 0.12, -1.0]
)  # template units from between the eyes: about which the hull is star-shaped

# Facial actions a share of an expression drives.
_ACTIONS = {
    "jaw_open": (("jawOpen", 1.0), ("mouthUpperUpLeft", 0.4), ("mouthUpperUpRight", 0.4)),
    "frown": (("mouthFrownLeft", 0.6), ("mouthFrownRight", 0.6), ("browDownLeft", 0.4), ("browDownRight", 0.4)),
    "pucker": (("mouthPucker", 0.7),),
    "squint": (("eyeSquintLeft", 0.8), ("eyeSquintRight", 0.8)),
    "blink": (("eyeBlinkLeft", 1.0), ("eyeBlinkRight", 1.0)),
}  # fmt: skip


@dataclass(frozen=True)
class Hull:
    """Distance of the body's surface from a centre by direction: what hair lies on.

    Attributes:
        centre: [3] world.
        radius: [rows, columns] float32; rows by polar angle from +y (0 at the crown, pi below), columns by
            azimuth atan2(x, z) from -pi to pi.
        scale: world units a template unit.
    """

    centre: np.ndarray
    radius: np.ndarray
    scale: float

    def distance(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far points [..., 3] lie outside the hull along their radius [...], and unit radii [..., 3]."""
        local = points - self.centre.astype(points.dtype)
        length = np.sqrt((local**2).sum(axis=-1)).clip(1e-6)
        outward = local / length[..., None]
        rows, columns = self.radius.shape
        row = np.arccos(outward[..., 1].clip(-1, 1)) / math.pi * rows - 0.5
        column = (np.arctan2(outward[..., 0], outward[..., 2]) / (2 * math.pi) + 0.5) * columns - 0.5
        return length - _bilinear(self.radius, row, column), outward


@dataclass(frozen=True)
class Bust:
    """The body of one identity in the world; vertex order and triangles are the fine template's.

    Attributes:
        points: [N, 3] float32.
        normals: [N, 3] float32, unit, outward.
        eye_centres: [2, 3], the subject's left (+x) first.
        eye_radius: world units.
        scale: world units a template unit.
        hull: what hair lies on.
    """

    points: np.ndarray
    normals: np.ndarray
    eye_centres: np.ndarray
    eye_radius: float
    scale: float
    hull: Hull


def build_bust(identity: Identity) -> Bust:
    """Blend, subdivide, turn the shoulders, and place the head as EG3D's crop would see it."""
    mesh = template()
    coarse = mesh.vertices.copy()
    for name, share in target_shares(identity).items():
        rows, moves = mesh.targets[name]
        coarse[rows] += np.float32(share) * moves
    points = mesh.subdivide(coarse)
    points[_upper_teeth(), 1] += _longer_teeth()
    eyes = [points[mesh.piece_vertices[name]] for name in EYE_PIECES]
    centres = np.array([(eye.min(axis=0) + eye.max(axis=0)) / 2 for eye in eyes])
    # The helper eye bulges at the cornea; the ball behind it is as wide as it is high.
    radius = float(np.mean([np.ptp(eye[:, :2], axis=0) for eye in eyes]) / 2)
    centres[:, 2] = [eye[:, 2].min() + radius for eye in eyes]
    for name, centre in zip(EYE_PIECES, centres, strict=True):
        outward = points[mesh.piece_vertices[name]] - centre
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        points[mesh.piece_vertices[name]] = centre + radius * outward
    points = _turn_shoulders(points, identity.body_yaw, identity.body_pitch - _CHIN_DOWN)
    points, centres = (_nodded(values, centres.mean(axis=0), _CHIN_DOWN) for values in (points, centres))
    scale, shift = _placement(points, centres)
    world = (points * scale + shift).astype(np.float32)
    return Bust(
        points=world,
        normals=vertex_normals(world, mesh.triangles),
        eye_centres=centres * scale + shift,
        eye_radius=radius * scale,
        scale=scale,
        hull=_hull(world, (centres.mean(axis=0) + _CENTRE) * scale + shift, scale),
    )


def target_shares(identity: Identity) -> dict[str, float]:
    """The share of every target that an identity and its expression ask for."""
    shares: dict[str, float] = {}

    def add(name: str, share: float) -> None:
        if share != 0.0:
            shares[name] = shares.get(name, 0.0) + share

    ancestries = {
        "african": identity.african,
        "asian": identity.asian,
        "caucasian": 1 - identity.african - identity.asian,
    }
    sexes = {"female": identity.female, "male": 1 - identity.female}
    ages = {"young": 1 - identity.age, "old": identity.age}
    weights = {
        "minweight": max(1 - 2 * identity.weight, 0.0),
        "averageweight": 1 - abs(2 * identity.weight - 1),
        "maxweight": max(2 * identity.weight - 1, 0.0),
    }
    for (a, share_a), (s, share_s), (y, share_y) in product(ancestries.items(), sexes.items(), ages.items()):
        add(f"{a}-{s}-{y}", share_a * share_s * share_y)
    for (s, share_s), (y, share_y), (w, share_w) in product(sexes.items(), ages.items(), weights.items()):
        add(f"universal-{s}-{y}-averagemuscle-{w}", share_s * share_y * share_w)
    known = template().targets
    for spec in _controls():
        value = getattr(identity, spec[0])
        name = spec[1] if value < 0 else spec[2]
        for side in ("l", "r") if name.startswith("*") else ("",):
            add(name.replace("*", side), abs(value))
    for name, actions in _ACTIONS.items():
        for action, share in actions:
            add(f"act-{action}", share * getattr(identity, name))
    for side, sign in (("Left", 1), ("Right", -1)):
        smile = float(np.clip(identity.smile * (1 + sign * identity.smirk), 0, 1))
        add(f"act-mouthSmile{side}", 0.85 * smile)
        add(f"act-cheekSquint{side}", 0.6 * smile)
        add(f"act-mouthDimple{side}", 0.3 * smile)
        add(f"act-mouthUpperUp{side}", 0.6 * smile)
        add(f"act-mouthLowerDown{side}", 0.25 * smile)
        brow = identity.brow_raise
        add(f"act-browOuterUp{side}", max(brow, 0.0))
        add(f"act-browDown{side}", 0.7 * max(-brow, 0.0))
        # Lids follow the gaze.
        outwards = sign * identity.gaze_yaw
        add(f"act-eyeLook{'Out' if outwards > 0 else 'In'}{side}", min(abs(outwards) / 0.6, 1.0))
        up = identity.gaze_pitch
        add(f"act-eyeLook{'Up' if up > 0 else 'Down'}{side}", min(abs(up) / 0.4, 1.0))
    # Broad smiles part the teeth.
    add("act-jawOpen", 0.16 * max(identity.smile - 0.45, 0.0) / 0.55)
    add("act-browInnerUp", 0.8 * max(identity.brow_raise, 0.0))
    # The base mesh keeps its lips a hair apart.
    add("act-mouthClose", 0.10 * max(1 - 4 * identity.jaw_open - identity.smile, 0.0))
    # The base mesh looks tired: its lids hang lower than an awake person's.
    for side in ("Left", "Right"):
        add(f"act-eyeWide{side}", 0.36 * (1 - identity.blink) * (1 - 0.5 * identity.squint))
    return {name: share for name, share in shares.items() if name in known}


@cache
def _controls() -> tuple[tuple[str, str, str], ...]:
    return tuple((spec.name, *spec.metadata["targets"]) for spec in traits() if "targets" in spec.metadata)


@cache
def _upper_teeth() -> np.ndarray:
    """Fine vertices of the upper teeth."""
    mesh = template()
    teeth = mesh.piece_vertices["teeth"]
    centre = mesh.rest[teeth]
    # The arches meet aslant: the upper one lies in front and above.
    return teeth[centre[:, 1] > 6.565 + 0.10 * (1.25 - centre[:, 2])]


@cache
def _longer_teeth() -> np.ndarray:
    """How far the upper teeth move down: the helper's are so short that lips hide them."""
    return (0.24 * (template().rest[_upper_teeth(), 1] - 6.83)).astype(np.float32)


@cache
def _shoulder_share() -> np.ndarray:
    """How far a fine vertex follows the shoulders and not the head [N, 1], 0..1: gradually along the neck."""
    rest = template().rest
    height = rest[:, 1:2] + 0.3 * (rest[:, 2:3] - 0.2)  # the chin is head, the nape below it is not
    t = ((6.35 - height) / (6.35 - 5.5)).clip(0, 1)
    return t * t * (3 - 2 * t)


def _turn_shoulders(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Turn what lies below the jaw about the middle of the neck."""
    share = _shoulder_share()
    neck = (4 * share * (1 - share)) ** 4
    pivot = (neck * points).sum(axis=0) / neck.sum()
    x, y, z = ((points - pivot)[:, i : i + 1] for i in range(3))
    turn, tilt = yaw * share, pitch * share
    x, z = np.cos(turn) * x + np.sin(turn) * z, np.cos(turn) * z - np.sin(turn) * x
    y, z = np.cos(tilt) * y - np.sin(tilt) * z, np.sin(tilt) * y + np.cos(tilt) * z
    return np.concatenate([x, y, z], axis=1) + pivot


def _nodded(points: np.ndarray, pivot: np.ndarray, angle: float) -> np.ndarray:
    """Points [n, 3] turned about the x axis through a pivot, what is in front downwards."""
    x, y, z = (points - pivot).T
    sin, cos = np.sin(angle), np.cos(angle)
    return np.stack([x, cos * y - sin * z, sin * y + cos * z], axis=-1) + pivot


@cache
def _feature_vertices() -> tuple[int, int, int]:
    """Fine vertices at the nose tip and at the left and right corner of the mouth."""
    mesh = template()
    rest = mesh.rest
    body = np.zeros(len(rest), bool)
    body[mesh.piece_vertices["body"]] = True
    nose = body & (rest[:, 1] > 6.75) & (rest[:, 1] < 7.2) & (np.abs(rest[:, 0]) < 0.002)
    lips = body & (mesh.masks["lips"] > 0.5)
    tip = np.where(nose, rest[:, 2], -np.inf).argmax()
    left = np.where(lips, rest[:, 0], -np.inf).argmax()
    right = np.abs(rest - rest[left] * [-1, 1, 1]).sum(axis=1).argmin()  # masks are not quite symmetric
    return int(tip), int(left), int(right)


def _placement(points: np.ndarray, eye_centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and shift [3] that bring five features to where the crop has them (least squares in x and y)."""
    features = np.concatenate([eye_centres, points[list(_feature_vertices())]])[:, :2]
    mean, goal = features.mean(axis=0), _FEATURES.mean(axis=0)
    scale = float(((features - mean) * (_FEATURES - goal)).sum() / ((features - mean) ** 2).sum())
    shift = np.append(goal - scale * mean, _EYE_DEPTH - scale * eye_centres[:, 2].mean())
    return scale, shift


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3], float32."""
    return _normals(np.ascontiguousarray(points, np.float32), triangles)


@entry
def _normals(points, triangles):
    result = np.zeros(points.shape, np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
        vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            result[corner, 0] += nx
            result[corner, 1] += ny
            result[corner, 2] += nz
    for i in range(result.shape[0]):
        length = math.sqrt(result[i, 0] ** 2 + result[i, 1] ** 2 + result[i, 2] ** 2)
        if length > 0.0:
            result[i] /= length
    return result


_ROWS, _COLUMNS = 96, 128


def _hull(points: np.ndarray, centre: np.ndarray, scale: float) -> Hull:
    mesh = template()
    local = points - centre.astype(np.float32)
    edges = _skin_edges()
    middles = (local[edges[:, 0]] + local[edges[:, 1]]) * np.float32(0.5)
    skin = local[mesh.piece_vertices["body"]]
    radius = _farthest(np.concatenate([skin, middles]), np.zeros((_ROWS, _COLUMNS), np.float32))
    # Directions that no triangle covers (below the cut) take the farthest of their neighbours.
    for _ in range(_ROWS):
        empty = radius == 0
        if not empty.any():
            break
        padded = np.pad(radius, ((1, 1), (0, 0)), mode="edge")
        grown = np.maximum.reduce([padded[:-2], padded[2:], np.roll(radius, 1, 1), np.roll(radius, -1, 1)])
        radius = np.where(empty, grown, radius)
    return Hull(centre, radius, scale)


@cache
def _skin_edges() -> np.ndarray:
    """Fine vertices [E, 2] that are joined by an edge of the body's triangles."""
    mesh = template()
    body = mesh.triangles[mesh.pieces["body"]].astype(np.int64)
    ends = np.sort(np.concatenate([body[:, [0, 1]], body[:, [1, 2]], body[:, [2, 0]]]), axis=1)
    return np.stack(np.divmod(np.unique(ends[:, 0] * len(mesh.rest) + ends[:, 1]), len(mesh.rest)), axis=1)


@entry
def _farthest(points, radius):
    """Largest distance of points [P, 3] from the origin in every direction's cell."""
    rows, columns = radius.shape
    for p in range(points.shape[0]):
        x, y, z = points[p, 0], points[p, 1], points[p, 2]
        length = math.sqrt(x * x + y * y + z * z)
        row = int(math.acos(y / length) * np.float32(rows / math.pi))
        column = int((math.atan2(x, z) * np.float32(0.5 / math.pi) + np.float32(0.5)) * columns)
        row, column = min(row, rows - 1), min(column, columns - 1)
        if length > radius[row, column]:
            radius[row, column] = length
    return radius


def _bilinear(grid: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of a grid that wraps around in its columns, at fractional places."""
    rows, columns = grid.shape
    row = row.clip(0, rows - 1)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    v, u = (row - top).astype(np.float32), (column - left).astype(np.float32)
    bottom = np.minimum(top + 1, rows - 1)
    left, right = left % columns, (left + 1) % columns
    upper = grid[top, left] * (1 - u) + grid[top, right] * u
    lower = grid[bottom, left] * (1 - u) + grid[bottom, right] * u
    return upper * (1 - v) + lower * v
