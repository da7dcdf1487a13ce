"""The head that all portraits are made of: MakeHuman's bust, subdivided, with its targets (see pack/README.md).

Template units are decimetres, x to the subject's left, y up, z forward; the chin is near y = 6.2, the crown at 8.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ssgan_core.heads.jit import entry

PACK = Path(__file__).parent / "pack" / "head_pack.npz"

EYE_PIECES = ("left_eye", "right_eye")


@dataclass(frozen=True)
class Template:
    """The mesh before and after one Catmull-Clark step; V coarse and N fine vertices.

    Attributes:
        vertices: coarse positions [V, 3], float32.
        targets: displacement of vertices by name: (vertex numbers [n], displacements [n, 3], float32).
        stencil: sparse matrix N x V that subdivides: row starts [N + 1], columns, weights.
        rest: fine positions of the neutral mesh [N, 3], float32: what textures are addressed by.
        triangles: of the fine mesh [T, 3], int32, counter-clockwise from outside.
        coarse: the coarse mesh without lashes as triangles [., 3], int32; vertex v is fine vertex v too.
        pieces: name -> triangle numbers.
        piece_vertices: name -> numbers of fine vertices.
        masks: name -> value at fine vertices [N], float32, 0..1 ("lips", "ears", "eyelids", "face", "inside-mouth").
    """

    vertices: np.ndarray
    targets: dict[str, tuple[np.ndarray, np.ndarray]]
    stencil: tuple[np.ndarray, np.ndarray, np.ndarray]
    rest: np.ndarray
    triangles: np.ndarray
    coarse: np.ndarray
    pieces: dict[str, np.ndarray]
    piece_vertices: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]

    def subdivide(self, coarse: np.ndarray) -> np.ndarray:
        """Fine positions [N, 3], float32, of coarse ones [V, 3]."""
        return _multiply(*self.stencil, np.ascontiguousarray(coarse, np.float32))


@cache
def template() -> Template:
    """The shipped head pack, read once a process."""
    with np.load(PACK, allow_pickle=False) as pack:
        stored = {name: pack[name] for name in pack.files}
    vertices = stored["vertices"]
    starts = stored["target_starts"]
    deltas = stored["target_deltas"].astype(np.float32)
    targets = {
        str(name): (stored["target_vertices"][a:b].astype(np.int64), deltas[a:b])
        for name, a, b in zip(stored["target_names"], starts[:-1], starts[1:], strict=True)
    }
    stencil, quads = catmull_clark(len(vertices), stored["quads"].astype(np.int64))
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    piece_of_quad = np.repeat(stored["pieces"], 4)
    piece_of_triangle = np.concatenate([piece_of_quad, piece_of_quad])
    lashes = [i for i, name in enumerate(stored["piece_names"]) if str(name).endswith("lashes")]
    solid = stored["quads"][~np.isin(stored["pieces"], lashes)]
    pieces = {
        str(name): np.nonzero(piece_of_triangle == number)[0]
        for number, name in enumerate(stored["piece_names"])
    }
    masks = _multiply(*stencil, np.ascontiguousarray(stored["masks"].T.astype(np.float32) / 255))
    return Template(
        vertices=vertices,
        targets=targets,
        stencil=stencil,
        rest=_multiply(*stencil, vertices),
        triangles=triangles,
        coarse=np.concatenate([solid[:, [0, 1, 2]], solid[:, [0, 2, 3]]]).astype(np.int32),
        pieces=pieces,
        piece_vertices={name: np.unique(triangles[rows]) for name, rows in pieces.items()},
        masks={str(name): masks[:, i].copy() for i, name in enumerate(stored["mask_names"])},
    )


def catmull_clark(
    count: int, quads: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """One subdivision step (Catmull and Clark 1978) of a quad mesh with boundaries, as a sparse matrix.

    Args:
        count: vertices.
        quads: [F, 4] vertex numbers.

    Returns:
        row starts [N + 1], columns and weights of the N x count matrix, N = vertices + edges + quads;
        the new quads [4 F, 4], those of one old quad next to each other.
    """
    corners = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, edge_of_corner = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True)
    edge_of_corner = edge_of_corner.reshape(-1, 4)
    faces_at_edge = np.bincount(edge_of_corner.ravel(), minlength=len(edges))
    inner_edge = faces_at_edge == 2
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    weights: list[np.ndarray] = []

    def add(row: np.ndarray, column: np.ndarray, weight: np.ndarray | float) -> None:
        row, column, weight = (a.ravel() for a in np.broadcast_arrays(row, column, weight))
        rows.append(row)
        columns.append(column)
        weights.append(weight)

    first_edge, first_face = count, count + len(edges)
    # A new vertex in every face, its mean.
    add(first_face + np.arange(len(quads))[:, None], quads, 0.25)
    # A new vertex on every edge: mean of its ends and of the faces beside it; on a boundary, of its ends.
    at = first_edge + np.arange(len(edges))
    add(at[:, None], edges, np.where(inner_edge, 0.25, 0.5)[:, None])
    face_of_corner = np.repeat(np.arange(len(quads)), 4)
    inner_corner = inner_edge[edge_of_corner.ravel()]
    add(
        (first_edge + edge_of_corner.ravel()[inner_corner])[:, None],
        quads[face_of_corner[inner_corner]],
        0.0625,
    )
    # Old vertices move towards their neighbours; boundary vertices only along the boundary.
    valence = np.bincount(edges.ravel(), minlength=count)
    boundary_edges = edges[~inner_edge]
    on_boundary = np.zeros(count, bool)
    on_boundary[boundary_edges.ravel()] = True
    n = np.maximum(valence, 1).astype(float)
    add(np.arange(count), np.arange(count), np.where(on_boundary, 0.75, (n - 2) / n))
    ends = np.concatenate([edges, edges[:, ::-1]])
    inside = ~on_boundary[ends[:, 0]]
    add(ends[inside, 0], ends[inside, 1], 1 / n[ends[inside, 0]] ** 2)
    both = np.concatenate([boundary_edges, boundary_edges[:, ::-1]])
    add(both[:, 0], both[:, 1], 0.125)
    vertex_of_corner = quads.ravel()
    inside = ~on_boundary[vertex_of_corner]
    add(
        vertex_of_corner[inside][:, None],
        quads[face_of_corner[inside]],
        (0.25 / n[vertex_of_corner[inside]] ** 2)[:, None],
    )

    total = first_face + len(quads)
    keys = np.concatenate(rows) * count + np.concatenate(columns)
    unique, inverse = np.unique(keys, return_inverse=True)
    summed = np.bincount(inverse, weights=np.concatenate(weights)).astype(np.float32)
    starts = np.searchsorted(unique // count, np.arange(total + 1)).astype(np.int64)
    middle = first_face + np.arange(len(quads))
    edge_vertices = first_edge + edge_of_corner
    new_quads = np.stack(
        [
            quads,
            edge_vertices,
            np.broadcast_to(middle[:, None], quads.shape),
            np.roll(edge_vertices, 1, axis=1),
        ],
        axis=-1,
    ).reshape(-1, 4)
    return (starts, (unique % count).astype(np.int64), summed), new_quads


@entry
def _multiply(starts, columns, weights, values):
    """Sparse matrix [N, V] times values [V, C], float32."""
    result = np.zeros((len(starts) - 1, values.shape[1]), np.float32)
    for row in range(len(starts) - 1):
        for k in range(starts[row], starts[row + 1]):
            for c in range(values.shape[1]):
                result[row, c] += weights[k] * values[columns[k], c]
    return result
