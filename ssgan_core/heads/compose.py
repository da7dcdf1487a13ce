"""Everything that stands before the camera, in the few arrays that drawing wants; independent of the view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ssgan_core.heads.bust import Bust, build_bust
from ssgan_core.heads.hair import beard_cover, grow_hair, scalp_cover
from ssgan_core.heads.lighting import LampView, Lights, Surroundings, build_lights, shadow_map
from ssgan_core.heads.sampler import Identity
from ssgan_core.heads.scene import Material, Strands, Surface
from ssgan_core.heads.template import EYE_PIECES, template
from ssgan_core.heads.wardrobe import dress

EXTRA = 6  # numbers a vertex carries beside normal, chart and ambient light; see shading's functions
ATTRIBUTES = 9 + EXTRA
_BODY = {
    "body": Material.SKIN,
    **dict.fromkeys(EYE_PIECES, Material.EYE),
    "teeth": Material.MOUTH,
    "tongue": Material.MOUTH,
}
_STRAND_KINDS = {Material.HAIR: 0.0, Material.BROW: 1.0, Material.LASH: 1.0, Material.BEARD: 2.0}


@dataclass(frozen=True)
class Scene:
    """One portrait without a camera. V surface vertices, P strand points.

    Attributes:
        points: [V, 3] float32.
        attributes: [V + P, ATTRIBUTES] float32: normal (of strands: outward), chart (of strands: tangent),
            ambient light, extra.
        culled, open: triangles [., 3] int32 of closed surfaces, and of those whose back is seen too.
        clear: triangles [., 3] int32 of what is seen through but has a part and a depth.
        strand_points: [P, 3]; strand_tangents: [P, 3] unit; strand_widths: [P].
        strand_rarity: [P] 1 / (the least width at which a strand is still drawn), the same along a strand.
        segments: [Q] int32: strand points that are followed by another of the same strand.
        materials: [T] uint8 of all triangles: culled, open, then two for each segment.
        lights: what shines.
        shadow: of the lamp.
        eye_centres: [2, 3] float32, the subject's left (+x) first.
    """

    points: np.ndarray
    attributes: np.ndarray
    culled: np.ndarray
    open: np.ndarray
    clear: np.ndarray
    strand_points: np.ndarray
    strand_tangents: np.ndarray
    strand_widths: np.ndarray
    strand_rarity: np.ndarray
    segments: np.ndarray
    materials: np.ndarray
    lights: Lights
    shadow: LampView
    eye_centres: np.ndarray


def ribbon_triangles(segments: np.ndarray) -> np.ndarray:
    """Triangles [2 Q, 3] int32 between the sides of points s and s + 1 of every segment s."""
    a = 2 * segments
    quads = np.stack([a, a + 1, a + 2, a + 1, a + 3, a + 2], axis=-1)
    return quads.reshape(-1, 3).astype(np.int32)


@lru_cache(maxsize=2)
def build_scene(identity: Identity) -> Scene:
    """The scene of an identity; the last two are remembered, so that several views of one head share it."""
    bust = build_bust(identity)
    body, garments = _body(bust), dress(identity, bust)
    surfaces = [*body, *garments]
    strands = grow_hair(identity, bust)
    lights = build_lights(identity)

    offsets = np.cumsum([0] + [len(surface.points) for surface in surfaces])
    placed = list(zip(surfaces, offsets, strict=False))
    see_through = [(s, o) for s, o in placed if s.material is Material.CLEAR]
    closed = [(s, o) for s, o in placed if not s.two_sided]
    both = [(s, o) for s, o in placed if s.two_sided and s.material is not Material.CLEAR]
    culled, open_, clear = (
        np.concatenate([np.zeros((0, 3), np.int32), *(s.triangles + np.int32(o) for s, o in group)])
        for group in (closed, both, see_through)
    )
    tangents = [_tangents(strand) for strand in strands]
    materials = [(len(s.triangles), s.material) for s, _ in closed + both]
    materials += [(2 * len(s.points) * (s.points.shape[1] - 1), s.material) for s in strands]
    sky = Surroundings(lights.sky, *_occluders(bust, garments, strands, _SKY_THINNING, _SKY_POINTS))
    light = [
        *_body_light(sky, bust),
        *(sky.received(s.points, s.normals) for s in garments),
        *(_strand_light(sky, s) for s in strands),
    ]
    columns = (
        [*(s.normals for s in surfaces), *(s.outward.reshape(-1, 3) for s in strands)],
        [*(s.chart for s in surfaces), *tangents],
        light,
        [_surface_extra(identity, bust, surfaces), *(_strand_extra(s) for s in strands)],
    )
    return Scene(
        points=np.concatenate([surface.points for surface in surfaces]),
        attributes=np.concatenate([np.concatenate(column) for column in columns], axis=1),
        culled=culled,
        open=open_,
        clear=clear,
        strand_points=np.concatenate([strand.points.reshape(-1, 3) for strand in strands]),
        strand_tangents=np.concatenate(tangents),
        strand_widths=np.concatenate([strand.widths.ravel() for strand in strands]),
        strand_rarity=np.concatenate([_rarity(strand) for strand in strands]),
        segments=_segments(strands),
        materials=np.concatenate([np.full(count, material, np.uint8) for count, material in materials]),
        lights=lights,
        shadow=shadow_map(
            lights.lamp, *_occluders(bust, garments, strands, _SHADOW_THINNING, _SHADOW_POINTS)
        ),
        eye_centres=bust.eye_centres.astype(np.float32),
    )


def _body(bust: Bust) -> list[Surface]:
    """Skin, eyeballs, teeth and tongue."""
    mesh = template()
    surfaces = []
    for name, material in _BODY.items():
        used = mesh.piece_vertices[name]
        renumber = np.zeros(len(mesh.rest), np.int32)
        renumber[used] = np.arange(len(used))
        surfaces.append(
            Surface(
                material,
                bust.points[used],
                bust.normals[used],
                mesh.rest[used],
                renumber[mesh.triangles[mesh.pieces[name]]],
            )
        )
    return surfaces


def _surface_extra(identity: Identity, bust: Bust, surfaces: list[Surface]) -> np.ndarray:
    """[V, EXTRA]: for skin the covers and masks, for teeth a one."""
    mesh = template()
    skin = mesh.piece_vertices["body"]
    scalp, beard = scalp_cover(identity, bust)[skin], beard_cover(identity, bust)[skin]
    masks = (mesh.masks[name][skin] for name in ("lips", "eyelids", "ears", "inside-mouth"))
    rows = [np.stack([scalp, beard, *masks], axis=-1)]
    for number, surface in enumerate(surfaces[1:], start=1):
        row = np.zeros((len(surface.points), EXTRA), np.float32)
        row[:, 0] = number == 3  # the teeth, as `_body` orders them
        rows.append(row)
    return np.concatenate(rows)


def _strand_extra(strands: Strands) -> np.ndarray:
    """[n m, EXTRA]: along, tone, buried, kind."""
    n, m = strands.points.shape[:2]
    extra = np.zeros((n, m, EXTRA), np.float32)
    extra[..., 0] = np.linspace(0, 1, m, dtype=np.float32)
    extra[..., 1] = strands.tone[:, None]
    extra[..., 2] = strands.buried
    extra[..., 3] = _STRAND_KINDS[strands.material]
    return extra.reshape(-1, EXTRA)


def _tangents(strands: Strands) -> np.ndarray:
    """Unit tangents [n m, 3] at the points of strands."""
    p = strands.points
    along = np.empty_like(p)
    along[:, 1:-1] = p[:, 2:] - p[:, :-2]
    along[:, 0], along[:, -1] = p[:, 1] - p[:, 0], p[:, -1] - p[:, -2]
    return _unit(along.reshape(-1, 3))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n, 3] of length one."""
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]  # NumPy's sums over three numbers are slow
    return vectors * (1 / (np.sqrt(x * x + y * y + z * z) + 1e-9))[:, None]


def _rarity(strands: Strands) -> np.ndarray:
    """[n m]: drawn at random among its kind, the finer the rarer."""
    n, m = strands.points.shape[:2]
    lottery = np.random.default_rng([n, m]).random(n, np.float32)
    return np.repeat(lottery / strands.widths.max(axis=1), m)


def _segments(strands: list[Strands]) -> np.ndarray:
    result, offset = [], 0
    for strand in strands:
        n, m = strand.points.shape[:2]
        numbers = np.arange(n * m, dtype=np.int32).reshape(n, m)[:, :-1] + offset
        result.append(numbers.ravel())
        offset += n * m
    return np.concatenate(result).astype(np.int32)


_SKY_THINNING, _SHADOW_THINNING = 9, 3  # one strand in so many hides light, so much wider
_SKY_POINTS, _SHADOW_POINTS = 6, 32  # and at most about so many points of each
_LIGHT_KNOTS = 3  # places along a strand at which light is gathered


def _occluders(
    bust: Bust, garments: list[Surface], strands: list[Strands], thinning: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """What hides light: points [P, 3] and triangles [T, 3] of the coarse body, of clothes and of some hair.

    Hair lies flat on what it grows on; brows and lashes are too fine to matter.
    """
    mesh = template()
    points, triangles = [bust.points[: len(mesh.vertices)]], [mesh.coarse]
    offset = len(mesh.vertices)
    for garment in garments:
        if garment.material is Material.CLEAR:
            continue
        points.append(garment.points)
        triangles.append(garment.triangles + np.int32(offset))
        offset += len(garment.points)
    for strand in strands:
        if strand.material not in (Material.HAIR, Material.BEARD):
            continue
        m = strand.points.shape[1]
        knots = np.linspace(0, m - 1, min(m, most)).round().astype(int)
        chosen = Strands(
            strand.material,
            strand.points[::thinning, knots],
            strand.widths[::thinning, knots],
            strand.tone[::thinning],
            strand.outward[::thinning, knots],
            strand.buried[::thinning, knots],
        )
        side = _unit(np.cross(_tangents(chosen), chosen.outward.reshape(-1, 3)))
        side *= (0.5 * thinning * chosen.widths).reshape(-1, 1)
        middle = chosen.points.reshape(-1, 3)
        points.append(np.stack([middle - side, middle + side], axis=1).reshape(-1, 3))
        triangles.append(ribbon_triangles(_segments([chosen])) + np.int32(offset))
        offset += 2 * len(middle)
    return np.concatenate(points).astype(np.float32), np.concatenate(triangles)


def _body_light(sky: Surroundings, bust: Bust) -> list[np.ndarray]:
    """Light of the surroundings on the body's pieces [., 3]: gathered coarsely, subdivided as the mesh is."""
    mesh = template()
    coarse = len(mesh.vertices)
    fine = mesh.subdivide(sky.received(bust.points[:coarse], bust.normals[:coarse]))
    return [fine[mesh.piece_vertices[name]] for name in _BODY]


def _strand_light(sky: Surroundings, strands: Strands) -> np.ndarray:
    """Light of the surroundings at strand points [n m, 3]: gathered at a few of each, linear between them."""
    n, m = strands.points.shape[:2]
    knots = np.linspace(0, m - 1, min(m, _LIGHT_KNOTS)).round().astype(int)
    points, outward = (values[:, knots].reshape(-1, 3) for values in (strands.points, strands.outward))
    light = sky.received(points, outward, fibres=True).reshape(n, len(knots), 3)
    after = np.searchsorted(knots, np.arange(m)).clip(1)
    share = (np.arange(m) - knots[after - 1]) / (knots[after] - knots[after - 1])
    share = share.astype(np.float32)[:, None]
    return (light[:, after - 1] * (1 - share) + light[:, after] * share).reshape(-1, 3)
