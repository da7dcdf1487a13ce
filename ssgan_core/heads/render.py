"""One view of an identity: image, mask and depth from the same samples, nine a pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from ssgan_core import cameras
from ssgan_core.heads import raster, shading, textures
from ssgan_core.heads.backdrop import build_backdrop
from ssgan_core.heads.compose import ATTRIBUTES, Scene, build_scene
from ssgan_core.heads.facial_hair import brow_line
from ssgan_core.heads.jit import entry
from ssgan_core.heads.lighting import towards
from ssgan_core.heads.sampler import HATS, Identity
from ssgan_core.heads.scene import Material
from ssgan_core.heads.shading import Palette, Samples
from ssgan_core.parts import PORTRAIT

_SAMPLES = 3  # a side of a pixel; odd, so that one lies at its centre
_PART = {name: index for index, name in enumerate(PORTRAIT.names)}
_PART_OF_MATERIAL = {
    Material.SKIN: "skin",  # divided further by `skin_part`
    Material.EYE: "eyes",
    Material.MOUTH: "mouth",
    Material.HAIR: "hair",
    Material.BROW: "brows",
    Material.BEARD: "skin",
    Material.LASH: "skin",  # a few dark threads on the lid; as eyes they would fray the mask
    Material.CLOTH: "cloth",
    Material.HAT: "hat",
    Material.FRAME: "glasses",
    Material.LENS: "glasses",
    Material.METAL: "earrings",
    Material.CLEAR: "glasses",
}

# The outline of the nose on the template, upwards: y and half its width.
_NOSE = np.array(
    [
        *((6.815, 0.090), (6.830, 0.125), (6.850, 0.158), (6.875, 0.174), (6.910, 0.178), (6.950, 0.172)),
        *((6.984, 0.161), (7.040, 0.143), (7.097, 0.124), (7.154, 0.112), (7.210, 0.106), (7.360, 0.092)),
    ]
)
# Where lips meet, and how much lip there is where the upper and the lower one are seen to end.
_MOUTH_LINE, _UPPER_LIP, _LOWER_LIP = 6.61, 0.55, 0.80


@dataclass(frozen=True)
class SyntheticView:
    """One rendered portrait.

    Attributes:
        image: sRGB [H, W, 3], uint8, the mean of nine samples a pixel.
        mask: ids of parts.PORTRAIT [H, W], uint8: what most of a pixel's samples show.
            Clear lenses count as glasses, whatever is seen through them.
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
    projection = camera_samples(label, size)
    drawn = draw(scene, projection)
    colours, parts = paint(
        np,
        scene,
        palette(identity, scene),
        drawn,
        _backdrop(identity),
        partial(gather, scene, projection),
        CHUNK,
    )
    return SyntheticView(*resolve(np, colours, parts, drawn.depth(np)))


_backdrop = lru_cache(maxsize=2)(build_backdrop)  # as with scenes: views of one head share it


def camera_samples(label: np.ndarray, size: int) -> raster.Projection:
    """The projection of a camera [25] to the samples of size x size pixels."""
    return raster.pinhole(*cameras.split_label(label), size * _SAMPLES)


@dataclass(frozen=True)
class Geometry:
    """The triangles of a view, as arrays of any library.

    Attributes:
        points: [V + 2 P, 3] float32, world: surfaces, then both sides of strand points.
        triangles: [T, 3] int32: closed surfaces, open ones, ribbons.
        materials: [T] uint8.
    """

    points: Any
    triangles: Any
    materials: Any


@dataclass(frozen=True)
class Drawn:
    """What every sample shows, as arrays of any library. S samples a side.

    Attributes:
        shown: triangle numbers [S, S] int32, -1 for none.
        nearness: [S, S] float32; see raster.Projection.project.
        screen: [V + 2 P, 3] float32 projected points of the geometry.
        geometry: what was drawn.
        veil: [S, S] float32 nearness of the clear surface before what is shown, 0 for none; None if there is no such
            surface at all.
    """

    shown: Any
    nearness: Any
    screen: Any
    geometry: Geometry
    veil: Any | None = None

    def depth(self, xp: Any) -> Any:
        """z_cam [S, S] float32 of what the mask names; 0 where nothing is."""
        seen, nearness = self.shown >= 0, self.nearness
        if self.veil is not None:
            seen, nearness = seen | (self.veil > 0), xp.where(self.veil > 0, self.veil, nearness)
        return seen / xp.where(seen, nearness, 1.0)


def view_geometry(xp: Any, scene: Scene, projection: raster.Projection) -> Geometry:
    """All triangles of a view. Hairs are ribbons that face the camera.

    Ribbons finer than a sample are drawn about that wide, but only so many of them that they cover as much.
    """
    points, tangents = scene.strand_points, scene.strand_tangents
    x, y, z = (points[:, i] - float(projection.origin[i]) for i in range(3))
    tx, ty, tz = tangents[:, 0], tangents[:, 1], tangents[:, 2]
    side = xp.stack([ty * z - tz * y, tz * x - tx * z, tx * y - ty * x])
    least = 1.05 * cameras.RADIUS / float(projection.scale[0])
    width = xp.clip(scene.strand_widths, least, None) / (xp.sqrt(shading.dot(side, side)) + 1e-9)
    side = (side * (0.5 * width)).T
    sides = xp.stack([points - side, points + side], axis=1).reshape(-1, 3)

    wanted = scene.strand_rarity[scene.segments] * least < 1
    a = 2 * scene.segments[wanted] + len(scene.points)
    ribbons = xp.stack([a, a + 1, a + 2, a + 1, a + 3, a + 2], axis=-1).reshape(-1, 3)
    surfaces = len(scene.culled) + len(scene.open)
    of_segments = scene.materials[surfaces::2][wanted]
    return Geometry(
        xp.concatenate([scene.points, sides]),
        xp.concatenate([scene.culled, scene.open, ribbons]),
        xp.concatenate(
            [scene.materials[:surfaces], xp.stack([of_segments, of_segments], axis=-1).reshape(-1)]
        ),
    )


def draw(scene: Scene, projection: raster.Projection) -> Drawn:
    """Project and rasterise a scene."""
    geometry = view_geometry(np, scene, projection)
    screen = projection.project(np, geometry.points)
    nearness, shown = raster.empty_buffers(projection.size)
    closed = len(scene.culled)
    raster.rasterise(screen, geometry.triangles[:closed], 0, True, nearness, shown)
    raster.rasterise(screen, geometry.triangles[closed:], closed, False, nearness, shown)
    veil = None
    if len(scene.clear):
        veil, clear = nearness.copy(), np.full_like(shown, -1)
        raster.rasterise(screen, scene.clear, 0, False, veil, clear)
        veil[clear < 0] = 0
    return Drawn(shown, nearness, screen, geometry, veil)


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
        brow=np.stack(brow_line(identity), axis=1).astype(np.float32),
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
    backdrop: Any,
    gather: Callable[[Drawn, Any], Samples],
    chunk: int,
) -> tuple[Any, Any]:
    """Colours [3, S, S] (sRGB 0..1, float32) and part ids [S, S] uint8 of all samples.

    Args:
        xp: array library of the other arguments.
        backdrop: linear colours [s, s, 3] behind everything.
        gather: what shading needs at samples with flat numbers [n].
        chunk: how many samples to shade at once.
    """
    size = drawn.shown.shape[0]

    def displayed(light: Any) -> Any:
        return shading.tone_curve(xp, palette.curve, light * scene.lights.exposure)

    colours = _enlarged(xp, displayed(backdrop), size // _SAMPLES).reshape(3, -1)
    shown = drawn.shown.reshape(-1)
    materials = xp.where(shown >= 0, drawn.geometry.materials[xp.clip(shown, 0, None)], len(Material))
    part_of_material = xp.asarray([*(_PART[_PART_OF_MATERIAL[m]] for m in Material), 0], dtype=xp.uint8)
    parts = part_of_material[xp.asarray(materials, dtype=xp.int32)]
    copied = _copied(xp, (materials == int(Material.SKIN)).reshape(size, size))
    for shader, group in _SHADERS.items():
        inside = materials == int(group[0])
        for material in group[1:]:
            inside = inside | (materials == int(material))
        if shader is shading.skin:
            inside = inside & ~copied.reshape(-1)
        (where,) = xp.where(inside)
        for start in range(0, len(where), chunk):
            chosen = where[start : start + chunk]
            samples = gather(drawn, chosen)
            colours[:, chosen] = displayed(shader(xp, samples, palette))
            if shader is shading.skin:
                parts[chosen] = skin_part(xp, samples, palette.brow)
    colours, parts = colours.reshape(3, size, size), parts.reshape(size, size)
    for to, source in _COPIES:
        colours[:, to[0] :: _SAMPLES, to[1] :: _SAMPLES] = xp.where(
            copied[to[0] :: _SAMPLES, to[1] :: _SAMPLES],
            colours[:, source[0] :: _SAMPLES, source[1] :: _SAMPLES],
            colours[:, to[0] :: _SAMPLES, to[1] :: _SAMPLES],
        )
        parts[to[0] :: _SAMPLES, to[1] :: _SAMPLES] = xp.where(
            copied[to[0] :: _SAMPLES, to[1] :: _SAMPLES],
            parts[source[0] :: _SAMPLES, source[1] :: _SAMPLES],
            parts[to[0] :: _SAMPLES, to[1] :: _SAMPLES],
        )
    if drawn.veil is not None:
        parts = xp.where(drawn.veil > 0, part_of_material[int(Material.CLEAR)], parts)
    return colours, parts


# Within a pixel that shows nothing but skin: (row, column) of samples that copy another's colour and part.
_COPIES = (((0, 1), (0, 0)), ((1, 2), (0, 2)), ((2, 1), (2, 2)), ((1, 0), (2, 0)))


def _copied(xp: Any, skin: Any) -> Any:
    """Samples [S, S] bool that need no shading: skin is smooth, so that five samples of a pixel are enough.

    Args:
        skin: which samples show skin [S, S] bool.
    """
    k = _SAMPLES
    whole = skin[0::k, 0::k]
    for i in range(k):
        for j in range(k):
            whole = whole & skin[i::k, j::k]
    copied = xp.zeros_like(skin)
    for (i, j), _ in _COPIES:
        copied[i::k, j::k] = whole
    return copied


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


_SHADERS: dict[Callable[[Any, Samples, Palette], Any], tuple[Material, ...]] = {
    shading.skin: (Material.SKIN,),
    shading.eye: (Material.EYE,),
    shading.mouth: (Material.MOUTH,),
    shading.hair: (Material.HAIR, Material.BROW, Material.BEARD, Material.LASH),
    _shade_cloth: (Material.CLOTH,),
    _shade_hat: (Material.HAT,),
    _shade_frame: (Material.FRAME,),
    _shade_lens: (Material.LENS,),
    _shade_metal: (Material.METAL,),
}
CHUNK = 1 << 14  # samples that are shaded at once: what they need fits into the cache


def gather(scene: Scene, projection: raster.Projection, drawn: Drawn, chosen: np.ndarray) -> Samples:
    """Interpolate what shading needs at chosen samples [n] (flat numbers) that show something."""
    rows = _gathered(
        chosen,
        drawn.shown,
        drawn.nearness,
        drawn.screen,
        drawn.geometry.triangles,
        scene.attributes,
        np.array([len(scene.points), len(scene.culled), len(scene.culled) + len(scene.open)]),
        projection.rotation.astype(np.float32),
        projection.origin.astype(np.float32),
        np.concatenate([projection.scale, projection.centre]).astype(np.float32),
        scene.shadow.nearness,
        scene.shadow.rows,
    )
    return Samples(
        normal=rows[0:3],
        chart=rows[3:6],
        ambient=rows[6:9],
        extra=rows[9:ATTRIBUTES],
        position=rows[ATTRIBUTES : ATTRIBUTES + 3],
        view=rows[ATTRIBUTES + 3 : ATTRIBUTES + 6],
        lamp=rows[ATTRIBUTES + 6],
    )


# Where on the shadow map, in texels from the point, light is asked for.
TAPS = ((0.0, 0.0), (1.5, 0.5), (-0.5, 1.5), (-1.5, -0.5), (0.5, -1.5))
SHADOW_BIAS = 0.006
SHADOW_SOFTNESS = 0.008  # world: how far light enters hair (and the edge of skin's own shadow)
SHADOW_START = 0.003  # world: how far above the surface


@entry
def _gathered(
    chosen, shown, nearness, screen, triangles, attributes, counts, rotation, origin, lens, shadow, rows
):
    """[ATTRIBUTES + 7, n]: attributes, position, direction to the camera, share of the lamp's light."""
    size = shown.shape[0]
    count = attributes.shape[1]
    surface, closed, strands = counts[0], counts[1], counts[2]
    one, half = np.float32(1), np.float32(0.5)
    fall = np.float32(-1 / SHADOW_SOFTNESS)
    last = shadow.shape[0] - 1
    result = np.empty((count + 7, chosen.shape[0]), np.float32)
    for s in range(chosen.shape[0]):
        row, column = chosen[s] // size, chosen[s] % size
        t = shown[row, column]
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y = np.float32(column) + half, np.float32(row) + half
        # Barycentric weights, corrected for perspective.
        ux, uy = screen[b, 0] - screen[a, 0], screen[b, 1] - screen[a, 1]
        vx, vy = screen[c, 0] - screen[a, 0], screen[c, 1] - screen[a, 1]
        dx, dy = x - screen[a, 0], y - screen[a, 1]
        inverse = one / (ux * vy - uy * vx)
        v = (dx * vy - dy * vx) * inverse
        w = (dy * ux - dx * uy) * inverse
        u = (one - v - w) * screen[a, 2]
        v, w = v * screen[b, 2], w * screen[c, 2]
        inverse = one / (u + v + w)
        u, v, w = u * inverse, v * inverse, w * inverse
        # Both sides of a strand's point share its attributes.
        if a >= surface:
            a = surface + (a - surface) // 2
            b = surface + (b - surface) // 2
            c = surface + (c - surface) // 2
        for k in range(count):
            result[k, s] = u * attributes[a, k] + v * attributes[b, k] + w * attributes[c, k]
        depth = one / nearness[row, column]
        lx, ly = (x - lens[2]) / lens[0] * depth, (y - lens[3]) / lens[1] * depth
        px = rotation[0, 0] * lx + rotation[1, 0] * ly + rotation[2, 0] * depth
        py = rotation[0, 1] * lx + rotation[1, 1] * ly + rotation[2, 1] * depth
        pz = rotation[0, 2] * lx + rotation[1, 2] * ly + rotation[2, 2] * depth
        scale = -one / math.sqrt(px * px + py * py + pz * pz)
        ex, ey, ez = px * scale, py * scale, pz * scale
        px, py, pz = px + origin[0], py + origin[1], pz + origin[2]
        nx, ny, nz = result[0, s], result[1, s], result[2, s]
        scale = one / math.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
        # Open surfaces are seen from behind too.
        if t >= closed and t < strands and nx * ex + ny * ey + nz * ez < 0.0:
            scale = -scale
        nx, ny, nz = nx * scale, ny * scale, nz * scale
        result[0, s], result[1, s], result[2, s] = nx, ny, nz
        result[count, s], result[count + 1, s], result[count + 2, s] = px, py, pz
        result[count + 3, s], result[count + 4, s], result[count + 5, s] = ex, ey, ez
        start = np.float32(SHADOW_START)
        px, py, pz = px + start * nx, py + start * ny, pz + start * nz
        mx = rows[0, 0] * px + rows[0, 1] * py + rows[0, 2] * pz + rows[0, 3]
        my = rows[1, 0] * px + rows[1, 1] * py + rows[1, 2] * pz + rows[1, 3]
        mz = rows[2, 0] * px + rows[2, 1] * py + rows[2, 2] * pz + rows[2, 3] + np.float32(SHADOW_BIAS)
        share = np.float32(0)
        for dx, dy in TAPS:
            i = min(max(np.int32(my + np.float32(dy)), 0), last)
            j = min(max(np.int32(mx + np.float32(dx)), 0), last)
            behind = shadow[i, j] - mz
            share += math.exp(min(behind, one) * fall) if behind > 0.0 else one
        result[count + 6, s] = share * np.float32(1 / len(TAPS))
    return result


def skin_part(xp: Any, samples: Samples, brow: Any) -> Any:
    """Part ids [n] uint8 of skin samples, by where they lie on the template and what covers them.

    Outlines are those that annotators of CelebAMask-HQ draw: the nose reaches up to the eyes and ends with the
    nostrils, a brow is the whole area that its hairs grow on, eyes reach into their inner corners, lips end where
    their colour does.

    Args:
        brow: `facial_hair.brow_line` [7, 3]: x, y and half height of a brow from its inner end to its tail.
    """
    x, y, z = xp.abs(samples.chart[0]), samples.chart[1], samples.chart[2]
    extra = samples.extra
    wide = _between(xp, y, _NOSE[:, 0], _NOSE[:, 1])
    nose = (y > _NOSE[0, 0]) & (y < _NOSE[-1, 0]) & (x < wide) & (z > 1.2)
    # Between the lids, beside the eyeball; their outer sides lie farther in front.
    corner = (xp.abs(x - 0.197) < 0.021) & (xp.abs(y - 7.275) < 0.012) & (xp.abs(z - 1.356) < 0.022)
    middle, half = _between(xp, x, brow[:, 0], brow[:, 1]), _between(xp, x, brow[:, 0], brow[:, 2])
    brows = (x > brow[0, 0]) & (x < brow[-1, 0]) & (xp.abs(y - middle) < half) & (z > 1.1)
    lips = extra[2] > xp.where(y > _MOUTH_LINE, _UPPER_LIP, _LOWER_LIP)
    jaw = 6.17 + 0.34 * xp.clip(1.45 - z, 0.0, 1.15)
    result = xp.where(y < jaw, _PART["neck"], _PART["skin"])
    result = xp.where(nose, _PART["nose"], result)
    result = xp.where(corner, _PART["eyes"], result)
    result = xp.where(brows, _PART["brows"], result)
    result = xp.where(extra[4] > 0.5, _PART["ears"], result)
    # A cover of one half, as bald heads and cornrows have it, is skin, whatever rounding does.
    result = xp.where(extra[0] > 0.51, _PART["hair"], result)
    result = xp.where(lips | (extra[5] > 0.5), _PART["mouth"], result)
    return xp.asarray(result, dtype=xp.uint8)


def _between(xp: Any, x: Any, knots: Any, values: Any) -> Any:
    """Values [n] at x [n], linear between ascending knots [m] with values [m], constant beyond them."""
    result = values[0] + 0 * x
    for i in range(len(knots) - 1):
        slope = (values[i + 1] - values[i]) / (knots[i + 1] - knots[i])
        result = result + slope * (xp.clip(x, knots[i], knots[i + 1]) - knots[i])
    return result


def _enlarged(xp: Any, picture: Any, size: int) -> Any:
    """Bilinear enlargement of a square picture [s, s, 3] to samples [3, S, S], equal within each of `size` pixels."""
    small = picture.shape[0]
    place = xp.clip((xp.arange(size, dtype=xp.float32) + 0.5) * (small / size) - 0.5, 0.0, small - 1.0)
    low = xp.clip(xp.asarray(place, dtype=xp.int64), 0, small - 2)
    share = place - low
    planes = xp.moveaxis(picture, -1, 0)
    planes = planes[:, low] * (1.0 - share)[:, None] + planes[:, low + 1] * share[:, None]
    planes = planes[:, :, low] * (1.0 - share) + planes[:, :, low + 1] * share
    samples = xp.zeros((3, size, _SAMPLES, size, _SAMPLES), dtype=xp.float32)
    samples[:] = planes[:, :, None, :, None]
    return samples.reshape(3, size * _SAMPLES, size * _SAMPLES)


def resolve(xp: Any, colours: Any, parts: Any, depth: Any) -> tuple[Any, Any, Any]:
    """Image, mask and depth (see SyntheticView) from samples: colours [3, S, S], parts [S, S], depth [S, S]."""
    k = _SAMPLES
    size = parts.shape[0] // k
    image = xp.zeros((3, size, size), dtype=xp.float32)
    for i in range(k):
        for j in range(k):
            image += colours[:, i::k, j::k]
    image = xp.asarray(xp.stack([*image], axis=-1) * (255.0 / k**2) + 0.5, dtype=xp.uint8)

    part = [parts[i::k, j::k] + 0 for i in range(k) for j in range(k)]
    centre = part[k * k // 2]
    # What most samples show; between equals what the middle one shows, else the lowest id.
    votes = [xp.asarray(ids == centre, dtype=xp.uint8) for ids in part]
    for i in range(k * k):
        for j in range(i + 1, k * k):
            same = xp.asarray(part[i] == part[j], dtype=xp.uint8) * 2
            votes[i] += same
            votes[j] += same
    mask, most = centre, votes[k * k // 2]
    for ids, count in zip(part, votes, strict=True):
        better = (count > most) | ((count == most) & (ids < mask))
        mask = xp.where(better, ids, mask)
        most = xp.where(better, count, most)
    total, named = xp.zeros_like(image[..., 0], dtype=xp.float32), xp.zeros_like(mask)
    for n, ids in enumerate(part):
        agrees = ids == mask
        total += agrees * depth[n // k :: k, n % k :: k]
        named += agrees
    straight = xp.where(centre == mask, depth[k // 2 :: k, k // 2 :: k], total / named)
    return image, mask, straight
