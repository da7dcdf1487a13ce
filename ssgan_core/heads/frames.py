"""How the points of heads move against the mean head, by displacements linear in the heads' numbers.

Every vertex of the bust is the same point of every head. So the mean of its places is its place on the mean head, and
what it departs from there by follows from the head's numbers: shapes are sums of targets, and numbers are their shares.
What is left of it on heads that these displacements were not made of is a third (docs/experiments.md).

So it is with hats and clothes: every vertex of a shirt is the same point of every shirt, and of no hood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssgan_core.heads.bust import Bust, build_bust, vertex_normals
from ssgan_core.heads.clothes import clothes
from ssgan_core.heads.hats import hats
from ssgan_core.heads.latent import odd_numbers, option_numbers, population_numbers
from ssgan_core.heads.lighting import towards
from ssgan_core.heads.sampler import HATS, NECKLINES, Identity
from ssgan_core.heads.scene import Surface
from ssgan_core.heads.template import template

_PEOPLE = 400
_PENALTY = (
    1.0  # of squared displacements per number, in heads: it keeps numbers that move nothing from guessing
)
_LEAST_FACING = 0.1  # z of a surface's normal: what faces the front
_HIDDEN = 0.02  # world units behind what else lies within _BESIDE: inside of lids and lips
_BESIDE = 0.007
_REACH = 0.45  # world units: points further out are not asked
_NEAR = (0.008, 0.010)  # world units: Gaussians in which nodes follow the points of the body, and of the eyes
_IRIS = 1.2  # eye radii around the gaze that an eye's points cover
_IRIS_POINTS = 9  # a side
# Traits that choose what is worn, their options that are something, and its class.
_WARDROBE = (
    ("neckline", tuple(range(len(NECKLINES))), "cloth"),
    ("hat", tuple(kind for kind, name in enumerate(HATS) if name != "none"), "hat"),
)


@dataclass(frozen=True)
class FrameLayout:
    """Displacements d = (numbers, 1) @ shares @ fields: by how much a point lies elsewhere than on the mean head.

    Frame 0 is the body's, frame 1 the eyes', which turns with the gaze.

    Attributes:
        shares: [2, N + 1, rank] float32, by the whitened numbers of `latent.number_layout`.
        fields: [2, rank, 2, side, side] float32, world x and y at the nodes' centres; row 0 is the window's +y edge.
    """

    shares: np.ndarray
    fields: np.ndarray


@dataclass(frozen=True)
class WornLayout:
    """Displacements of what is worn, by kinds, which take the place of the body's frame on the part that they are.

    Attributes:
        shares: [W, N + 1, rank] float32, as those of FrameLayout.
        fields: [W, rank, 2, side, side] float32, likewise.
        options: [W] int64, which option, of all of `latent.choice_layout`, is each kind.
        classes: [W] class names of the parts that they are.
    """

    shares: np.ndarray
    fields: np.ndarray
    options: np.ndarray
    classes: tuple[str, ...]


def frame_layout(window: tuple[float, float, float, float], side: int, rank: int) -> FrameLayout:
    """The frames of the heads that this version draws.

    Args:
        window: rectangle (x0, y0, x1, y1) of the world's x, y plane that the nodes cover; as wide to the left as to the
            right, since a mirrored head moves as a mirror image.
        side: nodes along a side.
        rank: displacement fields that others are mixed of.
    """
    people, busts = _people()
    eyes = np.stack([eye_points(bust, person) for bust, person in zip(busts, people, strict=True)])
    both = zip((_surface(busts), eyes), _NEAR, strict=True)
    shares, fields = zip(*(_mixed(points, near, window, side, rank) for points, near in both), strict=True)
    return FrameLayout(np.stack(shares), np.stack(fields))


def worn_layout(window: tuple[float, float, float, float], side: int, rank: int) -> WornLayout:
    """The frames of all kinds of hats and clothes, each worn by everybody once; arguments as `frame_layout`'s."""
    people, busts = _people()
    found, options = [], []
    for trait, kinds, _ in _WARDROBE:
        for kind in kinds:
            pieces = [worn(person, bust, trait, kind) for person, bust in zip(people, busts, strict=True)]
            found.append(_mixed(_outside(pieces), _NEAR[0], window, side, rank))
            options.append(option_numbers(trait)[kind])
    classes = tuple(name for _, kinds, name in _WARDROBE for _ in kinds)
    shares, fields = zip(*found, strict=True)
    return WornLayout(np.stack(shares), np.stack(fields), np.array(options), classes)


def worn(person: Identity, bust: Bust, trait: str, kind: int) -> Surface:
    """A hat (`trait` "hat") or clothes ("neckline") of a kind, as the person would wear it."""
    dressed = replace(person, **{trait: kind})
    return hats(dressed, bust)[0] if trait == "hat" else clothes(dressed, bust)


def eye_points(bust: Bust, identity: Identity) -> np.ndarray:
    """World x, y [2 * 81, 2] of the same points on both eyes of every head: a square grid around what they look at."""
    ahead = bust.eye_centres[:, :2] + bust.eye_radius * towards(identity.gaze_yaw, identity.gaze_pitch)[:2]
    steps = np.linspace(-_IRIS, _IRIS, _IRIS_POINTS)
    around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return (ahead[:, None] + bust.eye_radius * around).reshape(-1, 2)


def visible_vertices(mean: np.ndarray) -> np.ndarray:
    """Numbers of the fine vertices of the body that face the front and that nothing beside them hides.

    Args:
        mean: [N, 3] places of all fine vertices.
    """
    mesh = template()
    return _visible(mean, mesh.triangles, mesh.piece_vertices["body"])


def _visible(mean: np.ndarray, triangles: np.ndarray, among: np.ndarray) -> np.ndarray:
    facing = vertex_normals(mean, triangles)[among, 2] > _LEAST_FACING
    chosen = among[facing & (np.abs(mean[among, :2]) < _REACH).all(axis=1)]
    place, height = mean[chosen, :2], mean[chosen, 2]
    seen = [
        z > height[((place - here) ** 2).sum(axis=1) < _BESIDE**2].max() - _HIDDEN
        for here, z in zip(place, height, strict=True)
    ]
    return chosen[np.array(seen)]


def _people() -> tuple[tuple[Identity, ...], list[Bust]]:
    people, _, _ = population_numbers(_PEOPLE)
    return people, [build_bust(person) for person in people]


def _surface(busts: list[Bust]) -> np.ndarray:
    """World x, y [people, V, 2] of what is seen of the body."""
    mean = np.mean([bust.points for bust in busts], axis=0)
    visible = visible_vertices(mean)
    return np.stack([bust.points[visible, :2] for bust in busts])


def _outside(pieces: list[Surface]) -> np.ndarray:
    """World x, y [people, V, 2] of what is seen of the same piece on all."""
    shared = min(pieces, key=lambda piece: len(piece.points))  # strings of hoods, which some have, come last
    points = np.stack([piece.points[: len(shared.points)] for piece in pieces])
    visible = _visible(points.mean(axis=0), shared.triangles, np.arange(len(shared.points)))
    return points[:, visible, :2]


def _mixed(
    points: np.ndarray, near: float, window: tuple[float, float, float, float], side: int, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shares [N + 1, rank] and fields [rank, 2, side, side] that move the people's points [people, V, 2]."""
    _, numbers, whitening = population_numbers(_PEOPLE)
    x0, y0, x1, y1 = window
    steps = (np.arange(side) + 0.5) / side
    nodes = np.stack(np.meshgrid(x0 + (x1 - x0) * steps, y1 + (y0 - y1) * steps), axis=-1)
    moves = _moves(points, numbers, nodes, near).reshape(len(whitening) + 1, -1)
    moves = np.concatenate([np.linalg.inv(whitening) @ moves[:-1], moves[-1:]])
    told = np.concatenate([numbers @ whitening, np.ones((len(numbers), 1))], axis=1)
    _, _, directions = np.linalg.svd(told @ moves, full_matrices=False)
    fields = directions[:rank].reshape(rank, 2, side, side)
    return (moves @ directions[:rank].T).astype(np.float32), fields.astype(np.float32)


def _moves(points: np.ndarray, numbers: np.ndarray, nodes: np.ndarray, near: float) -> np.ndarray:
    """Displacements [N + 1, 2, side, side] of nodes [side, side, 2] that a number of one adds, and in the last row what
    all heads share.

    Nodes follow the points around them. A mirrored head moves as a mirror image: numbers that change their sign in a
    mirror move points by odd fields, others by even ones.
    """
    mean = points.mean(axis=0)
    told = np.concatenate([numbers, np.ones((len(numbers), 1))], axis=1)
    normal = told.T @ told + _PENALTY * np.eye(told.shape[1])
    per_point = np.linalg.solve(normal, told.T @ (points - mean).reshape(len(points), -1))
    distance = ((nodes.reshape(-1, 1, 2) - mean) ** 2).sum(axis=2)
    weights = np.exp((distance.min(axis=1, keepdims=True) - distance) / (2 * near**2))
    weights /= weights.sum(axis=1, keepdims=True)
    moves = weights @ per_point.reshape(len(normal), -1, 2)
    moves = np.moveaxis(moves, 2, 1).reshape(-1, 2, *nodes.shape[:2])
    mirrored = moves[..., ::-1] * np.array([-1.0, 1.0])[:, None, None]
    signs = np.where(np.append(odd_numbers(), False), -1.0, 1.0)[:, None, None, None]
    return (moves + signs * mirrored) / 2
