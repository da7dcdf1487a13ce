"""One view of an identity: image, mask and depth from the same samples, nine a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ssgan_core import cameras
from ssgan_core.heads import raster, shading, textures
from ssgan_core.heads.backdrop import build_backdrop
from ssgan_core.heads.compose import Scene, build_scene
from ssgan_core.heads.jit import entry
from ssgan_core.heads.lighting import towards
from ssgan_core.heads.sampler import HATS, Identity
from ssgan_core.heads.scene import Material
from ssgan_core.heads.shading import Palette, Samples
from ssgan_core.parts import PORTRAIT

_SAMPLES = 3  # a side of a pixel; odd, so that one lies at its centre
_PART = {name: index for index, name in enumerate(PORTRAIT.names)}
_PART_OF_MATERIAL = {
    Material.EYE: "eyes",
    Material.MOUTH: "mouth",
    Material.HAIR: "hair",
    Material.BROW: "brows",
    Material.BEARD: "skin",
    Material.LASH: "eyes",
    Material.CLOTH: "cloth",
    Material.HAT: "hat",
    Material.FRAME: "glasses",
    Material.LENS: "glasses",
    Material.METAL: "earrings",
}


@dataclass(frozen=True)
class SyntheticView:
    """One rendered portrait.

    Attributes:
        image: sRGB [H, W, 3], uint8, the mean of nine samples a pixel.
        mask: ids of parts.PORTRAIT [H, W], uint8: what most of a pixel's samples show.
        depth: z_cam in world units [H, W], float32, of what the mask names: at the pixel's centre if it is seen
            there, else the mean of the samples that show it; 0 where there is background.
    """

    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


def render_portrait(identity: Identity, label: np.ndarray, size: int) -> SyntheticView:
    """Render an identity from a camera.

    Args:
        identity: who.
        label: camera label [25] (see ssgan_core.cameras); the portrait must lie at depths 2.05 to 3.35.
        size: pixels along each side, at least 8.
    """
    scene = build_scene(identity)
    pose, matrix = cameras.split_label(label)
    projection = raster.pinhole(pose, matrix, size * _SAMPLES)
    seen = draw(scene, projection)
    colours, parts = paint(np, scene, palette(identity, scene), seen, projection, build_backdrop(identity))
    return resolve(colours, parts, seen.depth(projection), size)


@dataclass(frozen=True)
class Drawn:
    """What every sample shows. S samples a side.

    Attributes:
        shown: triangle numbers [S, S] int32, -1 for none.
        nearness: [S, S] float32.
        screen: [V + 2 P, 3] float32 projected vertices: surfaces, then both sides of strand points.
        triangles: [T, 3] int32 of all triangles, into `screen`.
    """

    shown: np.ndarray
    nearness: np.ndarray
    screen: np.ndarray
    triangles: np.ndarray

    def depth(self, projection: raster.Projection) -> np.ndarray:
        """z_cam [S, S] float32; 0 where nothing is."""
        return np.where(self.shown >= 0, projection.depth(np.where(self.shown >= 0, self.nearness, 1)), 0)


def view_geometry(scene: Scene, projection: raster.Projection) -> tuple[np.ndarray, np.ndarray]:
    """All triangles of a view: points [V + 2 P, 3] in the world and triangles [T, 3].

    Hairs are ribbons that face the camera, at least one sample wide.
    """
    facing = scene.strand_points - projection.origin.astype(np.float32)
    sample = cameras.RADIUS / float(projection.scale[0])
    sides, ribbons = scene.ribbons(facing, 1.05 * sample)
    triangles = np.concatenate([scene.culled, scene.open, ribbons + np.int32(len(scene.points))])
    return np.concatenate([scene.points, sides]), triangles


def draw(scene: Scene, projection: raster.Projection) -> Drawn:
    """Project and rasterise a scene."""
    points, triangles = view_geometry(scene, projection)
    screen = projection.project(points)
    nearness, shown = raster.empty_buffers(projection.size)
    closed = len(scene.culled)
    raster.rasterise(screen, triangles[:closed], 0, True, nearness, shown)
    raster.rasterise(screen, triangles[closed:], closed, False, nearness, shown)
    return Drawn(shown, nearness, screen, triangles)


def palette(identity: Identity, scene: Scene) -> Palette:
    """The identity's numbers for the shaders, in NumPy."""
    lights = scene.lights
    names = (
        "age", "blush", "brow_shade", "freckles", "hair_pattern", "lip_redness", "makeup", "skin_pattern",
        "skin_shine",
    )  # fmt: skip
    numbers = {name: float(getattr(identity, name)) for name in names}
    numbers["pattern"] = float(identity.pattern)
    numbers["knit"] = 260.0 if HATS[identity.hat] == "beanie" else 0.0
    numbers["contrast_trim"] = float(identity.hair_pattern > 0.55)

    def column(values: Any) -> np.ndarray:
        return np.asarray(values, np.float32)[:, None]

    return Palette(
        **{name: column(identity.colour(name)) for name in ("skin", "hair", "iris", "cloth", "trim", "hat")},
        lamp=column(lights.lamp),
        lamp_colour=column(lights.lamp_colour),
        rim=column(lights.rim),
        rim_colour=column(lights.rim_colour),
        gaze=column(towards(identity.gaze_yaw, identity.gaze_pitch)),
        eye_centres=scene.eye_centres.T.copy(),
        noise=textures.noise(),
        curve=_curve(),
        numbers=numbers,
        constant=column,
    )


@cache
def _curve() -> np.ndarray:
    return np.array(shading.curve_table(), np.float32)


def paint(
    xp: Any,
    scene: Scene,
    palette: Palette,
    drawn: Drawn,
    projection: raster.Projection,
    backdrop: Any,
) -> tuple[Any, Any]:
    """Colours [3, S, S] (sRGB 0..1, float32) and part ids [S, S] of all samples."""
    size = projection.size
    colours = shading.tone_curve(
        xp, palette.curve, _enlarged(backdrop, size) * np.float32(scene.lights.exposure)
    )
    colours = colours.reshape(3, -1)
    parts = np.zeros(size * size, np.uint8)
    shown = drawn.shown.ravel()
    for material in Material:
        first, last = _range(scene.materials, material)
        if first == last:
            continue
        for chunk in _chunks(np.nonzero(_of_material(scene.materials, shown, material))[0]):
            samples = gather(scene, drawn, projection, chunk, shown[chunk])
            light = _SHADERS[material](xp, samples, palette)
            colours[:, chunk] = shading.tone_curve(
                xp, palette.curve, light * np.float32(scene.lights.exposure)
            )
            parts[chunk] = (
                skin_part(samples) if material == Material.SKIN else _PART[_PART_OF_MATERIAL[material]]
            )
    return colours.reshape(3, size, size), parts.reshape(size, size)


def _shade_cloth(xp: Any, s: Samples, p: Palette) -> Any:
    return shading.fabric(xp, s, p, p.cloth, p.numbers["pattern"], 0.0)


def _shade_hat(xp: Any, s: Samples, p: Palette) -> Any:
    return shading.fabric(xp, s, p, p.hat, 0.0, p.numbers["knit"])


def _shade_frame(xp: Any, s: Samples, p: Palette) -> Any:
    return shading.hard(xp, s, p, 0.12 * p.trim + 0.004, 0.04)


def _shade_lens(xp: Any, s: Samples, p: Palette) -> Any:
    return shading.hard(xp, s, p, p.one([0.012, 0.011, 0.011]), 0.09)


def _shade_metal(xp: Any, s: Samples, p: Palette) -> Any:
    gold = p.numbers["hair_pattern"] > 0.4
    return shading.hard(xp, s, p, p.one([0.80, 0.56, 0.22] if gold else [0.62, 0.62, 0.65]), 0.8)


_SHADERS = {
    Material.SKIN: shading.skin,
    Material.EYE: shading.eye,
    Material.MOUTH: shading.mouth,
    Material.HAIR: shading.hair,
    Material.BROW: shading.hair,
    Material.BEARD: shading.hair,
    Material.LASH: shading.hair,
    Material.CLOTH: _shade_cloth,
    Material.HAT: _shade_hat,
    Material.FRAME: _shade_frame,
    Material.LENS: _shade_lens,
    Material.METAL: _shade_metal,
}
_CHUNK = 1 << 14  # samples shaded at once: what they need fits into the cache


def _chunks(numbers: np.ndarray) -> list[np.ndarray]:
    return np.array_split(numbers, max(1, -(-len(numbers) // _CHUNK))) if len(numbers) else []


def _range(materials: np.ndarray, material: Material) -> tuple[int, int]:
    return (0, int((materials == material).sum()))


def _of_material(materials: np.ndarray, shown: np.ndarray, material: Material) -> np.ndarray:
    return (shown >= 0) & (materials[shown] == material)


def gather(
    scene: Scene, drawn: Drawn, projection: raster.Projection, chosen: np.ndarray, triangle: np.ndarray
) -> Samples:
    """Interpolate what shading needs at chosen samples [n] (flat numbers) that show triangles [n]."""
    size = projection.size
    corners = drawn.triangles[triangle]
    x = (chosen % size + 0.5).astype(np.float32)
    y = (chosen // size + 0.5).astype(np.float32)
    weights = perspective_weights(drawn.screen[corners], x, y)
    surface = len(scene.points)
    rows = np.where(corners < surface, corners, surface + (corners - surface) // 2)
    values = interpolate(scene.attributes, rows, weights)
    depth = projection.depth(drawn.nearness.ravel()[chosen])
    scale, centre = projection.scale.astype(np.float32), projection.centre.astype(np.float32)
    local = np.stack([(x - centre[0]) / scale[0] * depth, (y - centre[1]) / scale[1] * depth, depth])
    origin = projection.origin.astype(np.float32)[:, None]
    position = projection.rotation.T.astype(np.float32) @ local + origin
    view = shading.unit(np, origin - position)
    normal = shading.unit(np, values[0:3])
    closed, strands = len(scene.culled), len(scene.culled) + len(scene.open)
    turned = (shading.dot(normal, view) < 0) & (triangle >= closed) & (triangle < strands)
    normal = np.where(turned, -normal, normal)
    return Samples(
        position=position,
        view=view,
        normal=normal,
        chart=values[3:6],
        ambient=values[6:9],
        extra=values[9:],
        lamp=lamp_share(scene, position, normal),
    )


def perspective_weights(screen: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights [n, 3] of the corners of triangles [n, 3, 3] at x, y, corrected for perspective."""
    a, b, c = screen[:, 0], screen[:, 1], screen[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    area = np.where(area == 0, np.float32(1), area)  # slivers that rounding kept alive
    dx, dy = x - a[:, 0], y - a[:, 1]
    u = (dx * (c[:, 1] - a[:, 1]) - dy * (c[:, 0] - a[:, 0])) / area
    v = (dy * (b[:, 0] - a[:, 0]) - dx * (b[:, 1] - a[:, 1])) / area
    weights = np.stack([1 - u - v, u, v], axis=-1) * screen[:, :, 2]
    return weights / weights.sum(axis=-1, keepdims=True)


def interpolate(attributes: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted attributes [A, n] of three vertices: `rows` [n, 3] numbers, `weights` [n, 3]."""
    return _interpolate(attributes, rows, weights)


@entry
def _interpolate(attributes, rows, weights):
    result = np.empty((attributes.shape[1], rows.shape[0]), np.float32)
    for n in range(rows.shape[0]):
        a, b, c = rows[n, 0], rows[n, 1], rows[n, 2]
        u, v, w = weights[n, 0], weights[n, 1], weights[n, 2]
        for k in range(attributes.shape[1]):
            result[k, n] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
    return result


_TAPS = ((0.0, 0.0), (1.5, 0.5), (-0.5, 1.5), (-1.5, -0.5), (0.5, -1.5))
_SHADOW_BIAS = 0.006
_SHADOW_SOFTNESS = 0.008  # world: how far light enters hair (and the edge of skin's own shadow)


def lamp_share(scene: Scene, position: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Share [n] of the lamp's light that reaches points."""
    shadow = scene.shadow
    size = shadow.nearness.shape[0]
    place = shadow.rows[:, :3] @ (position + 0.003 * normal) + shadow.rows[:, 3:]
    flat = shadow.nearness.ravel()
    share = np.zeros(position.shape[1], np.float32)
    for dx, dy in _TAPS:
        column = (place[0] + np.float32(dx)).astype(np.int32).clip(0, size - 1)
        row = (place[1] + np.float32(dy)).astype(np.int32).clip(0, size - 1)
        behind = (flat[row * size + column] - place[2] - np.float32(_SHADOW_BIAS)).clip(0, 1)
        share += np.exp(behind * np.float32(-1 / _SHADOW_SOFTNESS))
    return share / len(_TAPS)


def skin_part(samples: Samples) -> np.ndarray:
    """Part ids [n] of skin samples, by where they lie on the template and what covers them."""
    x, y, z = np.abs(samples.chart[0]), samples.chart[1], samples.chart[2]
    extra = samples.extra
    width = np.interp(y, [6.78, 6.83, 6.95, 7.10, 7.28], [0.10, 0.185, 0.185, 0.095, 0.075])
    nose = (y > 6.80) & (y < 7.28) & (x < width) & (z > 1.2)
    jaw = 6.17 + 0.34 * (1.45 - z).clip(0, 1.15)
    result = np.full(len(x), _PART["skin"], np.uint8)
    result[y < jaw] = _PART["neck"]
    result[nose] = _PART["nose"]
    result[extra[4] > 0.5] = _PART["ears"]
    result[extra[0] > 0.5] = _PART["hair"]
    result[(extra[2] > 0.5) | (extra[5] > 0.5)] = _PART["mouth"]
    return result


def _enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """Bilinear enlargement of a square picture [s, s, 3] to [3, size, size]."""
    place = ((np.arange(size) + 0.5) / size * len(picture) - 0.5).clip(0, len(picture) - 1)
    low = np.floor(place).astype(int).clip(0, len(picture) - 2)
    matrix = np.zeros((size, len(picture)), np.float32)
    matrix[np.arange(size), low] = 1 - (place - low)
    matrix[np.arange(size), low + 1] = place - low
    return np.einsum("ai,ijc,bj->cab", matrix, picture, matrix, optimize=True)


def resolve(colours: np.ndarray, parts: np.ndarray, depth: np.ndarray, size: int) -> SyntheticView:
    """Pixels from their nine samples: colours [3, S, S], parts [S, S], depth [S, S]."""
    k = _SAMPLES
    middle = (slice(k // 2, None, k), slice(k // 2, None, k))
    places = [(slice(i, None, k), slice(j, None, k)) for i in range(k) for j in range(k)]
    image = sum(colours[(slice(None), *place)] for place in places) * np.float32(255 / k**2)
    centre = parts[middle]
    # What most samples show; between equals, what the middle one shows.
    mask, most = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    for part in range(len(_PART)):
        votes = sum((parts[place] == part).view(np.uint8) for place in places) * np.uint8(2)
        votes += centre == part
        mask = np.where(votes > most, np.uint8(part), mask)
        most = np.maximum(votes, most)
    total, count = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for place in places:
        named = parts[place] == mask
        total += np.where(named, depth[place], 0)
        count += named
    straight = np.where(centre == mask, depth[middle], total / count)
    return SyntheticView(
        np.ascontiguousarray((image + 0.5).astype(np.uint8).transpose(1, 2, 0)),
        mask,
        straight.astype(np.float32),
    )
