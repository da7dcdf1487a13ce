"""Colours: what light the samples of a picture send to the camera, linear, before the tone curve.

Every function takes the array library `xp` (numpy, or torch with tensors of one device), works on a list of n samples
of one material, and uses only what both libraries share; so the CPU and the GPU paint from the same source. Vectors
are [3, n], coordinates first: every operation then runs over contiguous rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ssgan_core.heads import textures

Array = Any  # numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class Samples:
    """Samples of one material.

    Attributes:
        position: [3, n] world.
        view: [3, n] unit, towards the camera.
        normal: [3, n] unit; of strands: away from what they grow on.
        chart: [3, n] texture address; of strands: their tangent.
        ambient: [3, n] irradiance of the surroundings over pi.
        extra: [6, n] what else a material wants to know; see the shaders.
        lamp: [n] share of the lamp's light that arrives, 0..1.
    """

    position: Array
    view: Array
    normal: Array
    chart: Array
    ambient: Array
    extra: Array
    lamp: Array


@dataclass(frozen=True)
class Palette:
    """An identity's numbers as the shaders want them: reflectances and directions [3, 1], and plain floats.

    `brow` [7, 3] is `facial_hair.brow_line`.
    """

    skin: Array
    hair: Array
    iris: Array
    cloth: Array
    trim: Array
    hat: Array
    lamp: Array
    lamp_colour: Array
    rim: Array
    rim_colour: Array
    gaze: Array
    eye_centres: Array
    brow: Array
    noise: Array
    curve: Array
    numbers: dict[str, float]
    constant: Callable[[Sequence[float]], Array]

    def one(self, values: Sequence[float]) -> Array:
        """Constants [3, 1] as a float32 array of the palette's library and device."""
        return self.constant(values)


def dot(a: Array, b: Array) -> Array:
    """Scalar products [n] of vectors [3, n] (or [3, 1])."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(xp: Any, a: Array) -> Array:
    """Vectors [3, n] of length one."""
    return a * (1.0 / xp.sqrt(dot(a, a) + 1e-12))


def ramp(xp: Any, low: float, high: float, x: Array) -> Array:
    """Smooth step from 0 at `low` to 1 at `high` (which may be the smaller one)."""
    t = xp.clip((x - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(
    xp: Any, chart: Array, centre: tuple[float, float, float], radius: tuple[float, float, float]
) -> Array:
    """A Gaussian hill [n] in the template's space, on both sides of the face."""
    x = (xp.abs(chart[0]) - centre[0]) * (1.0 / radius[0])
    y = (chart[1] - centre[1]) * (1.0 / radius[1])
    z = (chart[2] - centre[2]) * (1.0 / radius[2])
    return xp.exp(-(x * x + y * y + z * z))


def lookup(xp: Any, texture: Array, u: Array, v: Array, *channels: int) -> list[Array]:
    """Bilinear values [n] of channels of a repeating texture [C, S, S], S a power of two, at u, v in tiles."""
    size = texture.shape[-1]
    x, y = u * size, v * size
    left, top = xp.floor(x), xp.floor(y)
    fx, fy = x - left, y - top
    last = size - 1  # of a power of two: its bits wrap around cheaply, below zero too
    i, j = xp.asarray(left, dtype=xp.int32) & last, xp.asarray(top, dtype=xp.int32) & last
    i1, j1 = (i + 1) & last, (j + 1) & last
    corners = (j * size + i, j * size + i1, j1 * size + i, j1 * size + i1)
    weights = ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)
    result = []
    for channel in channels:
        flat = texture[channel].reshape(-1)
        terms = [flat[corner] * weight for corner, weight in zip(corners, weights, strict=True)]
        result.append(terms[0] + terms[1] + terms[2] + terms[3])
    return result


_SKIN_CHANNELS = (textures.MOTTLE, textures.GRAIN, textures.FRECKLES, textures.PORE_X, textures.PORE_Y)


def mix(a: Array, b: Array, t: Array) -> Array:
    return a + (b - a) * t


def highlight(xp: Any, s: Samples, p: Palette, normal: Array, power: float) -> Array:
    """Normalised Blinn-Phong highlight of the lamp [n], with Schlick's Fresnel term for skin and plastics."""
    half = unit(xp, s.view + p.lamp)
    cosine = xp.clip(dot(normal, half), 0.0, 1.0)
    grazing = 1.0 - xp.clip(dot(s.view, half), 0.0, 1.0)
    square = grazing * grazing  # powers of arrays are slow
    fresnel = 0.03 + 0.97 * square * square * grazing
    facing = xp.clip(dot(normal, p.lamp) * 4.0, 0.0, 1.0)
    return (power + 2.0) / 8.0 * cosine**power * fresnel * facing * s.lamp


def matte(xp: Any, s: Samples, p: Palette, albedo: Array, normal: Array, wrap: float = 0.0) -> Array:
    """Diffuse light of lamp, rim lamp and surroundings [3, n]."""
    lamp = xp.clip((dot(normal, p.lamp) + wrap) / (1.0 + wrap), 0.0, 1.0) * s.lamp
    rim = xp.clip(dot(normal, p.rim), 0.0, 1.0)
    return albedo * (lamp * p.lamp_colour + rim * p.rim_colour + s.ambient)


def sheen(xp: Any, s: Samples, normal: Array, power: float = 4.0) -> Array:
    """How grazing a surface is seen [n], 0..1."""
    return (1.0 - xp.clip(dot(normal, s.view), 0.0, 1.0)) ** power


def skin(xp: Any, s: Samples, p: Palette) -> Array:
    """Skin with lips, lids, spots, stubble and painted scalp.

    extra: scalp cover, beard cover, lips, eyelids, ears, mouth cavity, each 0..1.
    """
    n = p.numbers
    c = s.chart
    scalp, stubble, lips = s.extra[0], s.extra[1], ramp(xp, 0.25, 0.80, s.extra[2])
    lids, ears, cavity = s.extra[3], s.extra[4], ramp(xp, 0.3, 0.7, s.extra[5])
    around = xp.arctan2(c[0], c[2] + 0.3)
    shift = n["skin_pattern"]
    clouds, moles = lookup(
        xp, p.noise, around * 0.45 + shift, c[1] * 0.28 + shift * 7.0, textures.CLOUDS, textures.MOLES
    )
    mottle, grain, freckles, pore_x, pore_y = lookup(
        xp, p.noise, around * 1.9 + shift * 3.0, c[1] * 1.5, *_SKIN_CHANNELS
    )

    # Where blood is near the surface: cheeks, nose, chin, ears, around the eyes.
    red = 0.9 * bump(xp, c, (0.40, 6.93, 1.25), (0.20, 0.17, 0.5))
    red = (
        red
        + 0.8 * bump(xp, c, (0.0, 6.93, 1.62), (0.13, 0.14, 0.3))
        + 0.35 * bump(xp, c, (0.0, 6.28, 1.5), (0.2, 0.13, 0.4))
    )
    red = n["blush"] * red + 0.6 * ears + 0.12 * lids
    red = red * (0.6 + 0.8 * mottle) + 0.5 * (clouds - 0.5) + 0.35 * (mottle - 0.5)
    tone = 1.0 + 0.20 * (clouds - 0.5) + 0.12 * (mottle - 0.5) + 0.07 * (grain - 0.5)
    crease_of_lid = lids * bump(xp, c, (0.33, 7.36, 1.42), (0.16, 0.035, 0.3))
    hollow = 0.22 * crease_of_lid + bump(xp, c, (0.30, 7.13, 1.4), (0.16, 0.07, 0.3)) * (
        0.10 + 0.16 * n["age"]
    )
    tone = tone * (1.0 - hollow)
    albedo = p.skin * tone * (1.0 + p.one([0.05, -0.17, -0.15]) * red)

    face = ramp(xp, 0.6, 1.0, c[2])
    spots = n["freckles"] * freckles
    spots = spots * (0.25 + bump(xp, c, (0.28, 7.0, 1.4), (0.35, 0.25, 0.5))) * face
    spots = spots + 0.75 * moles * face * (n["skin_pattern"] > 0.4)
    albedo = albedo * (1.0 - xp.clip(spots, 0.0, 0.8) * p.one([0.42, 0.60, 0.72]))
    shadow = lids * n["makeup"] * ramp(xp, 7.25, 7.33, c[1])
    albedo = mix(albedo, albedo * p.one([0.45, 0.33, 0.36]), shadow)

    # Creases: forehead lines and crow's feet come with age.
    lines = xp.sin(c[1] * 42.0 + 3.0 * clouds + 0.8 * xp.cos(c[0] * 5.0))
    brow = bump(xp, c, (0.0, 7.78, 1.35), (0.42, 0.2, 0.5))
    crease = xp.clip(lines - 0.55, 0.0, 1.0) * brow
    feet = bump(xp, c, (0.56, 7.27, 1.15), (0.10, 0.12, 0.3)) * xp.clip(
        xp.sin(c[1] * 75.0 - c[2] * 20.0) - 0.35, 0.0, 1.0
    )
    crease = (crease + 0.8 * feet) * min(max((n["age"] - 0.3) / 0.6, 0.0), 1.0)
    albedo = albedo * (1.0 - 0.42 * crease)

    # Lips: the skin's own colour, redder and darker, with fine vertical lines.
    (ridges,) = lookup(xp, p.noise, c[0] * 6.0, c[1] * 0.9, textures.GRAIN)
    bare = p.skin * p.one([0.84, 0.60, 0.60]) + p.one([0.010, 0.002, 0.004])
    stick = p.one([0.36, 0.03, 0.045])
    lip = mix(bare, stick, 0.75 * n["lip_redness"]) * (0.86 + 0.28 * ridges)
    albedo = mix(albedo, lip, lips * (1.0 - cavity))
    # Stubble and scalp: hair too short or too dense to be drawn, grained.
    speck = xp.clip(0.35 + 1.3 * grain, 0.0, 1.0)
    under = p.skin * 0.35 + p.hair * 0.4
    albedo = mix(albedo, under, xp.clip(stubble * speck, 0.0, 0.85) * (1.0 - lips))
    albedo = mix(albedo, p.hair * 0.55 + 0.004, xp.clip(scalp * (0.6 + 0.5 * speck), 0.0, 1.0))
    albedo = mix(albedo, p.one([0.16, 0.035, 0.03]), cavity)

    # Pores tilt the normal.
    deep = 0.9 * (1.0 - lips) * face
    slope = xp.stack([pore_x, pore_y, 0.0 * pore_x])
    normal = unit(xp, s.normal - 0.55 * deep * slope - crease * p.one([0.0, 0.35, 0.0]) * xp.cos(c[1] * 42.0))

    # Light enters, reddens and leaves elsewhere: terminator and shadow edges are softer in red.
    cosine = dot(s.normal, p.lamp)
    wraps = (0.30, 0.12, 0.07)
    blends = (0.55, 0.25, 0.15)
    channels = []
    sharp = dot(normal, p.lamp)
    for wrap, blend in zip(wraps, blends, strict=True):
        soft = xp.clip((mix(sharp, cosine, blend) + wrap) / (1.0 + wrap), 0.0, 1.0)
        channels.append(soft ** (1.0 + wrap) * s.lamp ** (1.0 - 0.6 * blend))
    lamp = xp.stack(channels) * p.lamp_colour
    rim = xp.clip(dot(normal, p.rim) + 0.1, 0.0, 1.0) * p.rim_colour
    # Light between folds of skin takes its colour. Where none comes, rounding leaves a little less than none.
    ambient = xp.clip(s.ambient, 0.0, None) ** (1.0 - 0.22 * p.one([1.0, 0.5, 0.4]))
    colour = albedo * (lamp + rim + ambient) + p.one([0.022, 0.006, 0.005]) * cavity

    oily = bump(xp, c, (0.0, 7.75, 1.4), (0.3, 0.3, 0.6)) + bump(xp, c, (0.0, 7.05, 1.6), (0.13, 0.35, 0.4))
    shine = (
        (0.45 + 0.75 * oily)
        * (0.5 + n["skin_shine"])
        * (1.0 - 0.9 * xp.clip(scalp + 0.6 * stubble, 0.0, 1.0))
        * (0.75 + 0.5 * grain)
    )
    gloss = shine * (0.65 * highlight(xp, s, p, normal, 9.0) + 0.30 * highlight(xp, s, p, normal, 34.0))
    gloss = gloss + lips * (0.6 + 0.8 * n["makeup"]) * highlight(xp, s, p, normal, 60.0)
    graze = sheen(xp, s, s.normal, 3.5) * 0.16 * (1.0 - cavity)
    return colour + gloss * p.lamp_colour * 1.3 + graze * s.ambient + 0.02 * shine * s.ambient


def eye(xp: Any, s: Samples, p: Palette) -> Array:
    """Eyeball: white with vessels, iris with fibres and dark ring, pupil, and a wet, bulging cornea."""
    left = s.position[0] > 0.5 * float(p.eye_centres[0, 0] + p.eye_centres[0, 1])
    centre = mix(p.eye_centres[:, 1:2], p.eye_centres[:, 0:1], 1.0 * left)
    out = unit(xp, s.position - centre)
    # Eyes converge a little.
    gaze = unit(xp, p.gaze + mix(p.one([0.03, 0.0, 0.0]), p.one([-0.03, 0.0, 0.0]), 1.0 * left))
    along = dot(out, gaze)
    rest = out - along * gaze
    r = xp.sqrt(dot(rest, rest)) / 0.435  # 1 at the limbus
    angle = xp.arctan2(rest[1], rest[0])
    phase = p.numbers["hair_pattern"]
    (fibres,) = lookup(xp, p.noise, angle * (3.0 / math.pi), r * 0.12 + phase, textures.GRAIN)
    (veins,) = lookup(xp, p.noise, out[0] * 1.3, out[1] * 1.3, textures.LINES)
    corner = ramp(xp, 0.55, 1.0, xp.abs(out[0] - gaze[0]))
    white = p.one([0.46, 0.43, 0.405]) * (1.0 - corner * p.one([0.10, 0.26, 0.26]))
    white = white * (1.0 - 0.16 * veins * corner * p.one([0.2, 1.0, 1.0]))
    ring = ramp(xp, 1.0, 0.80, r)
    bright = (0.55 + 0.9 * fibres) * (0.42 + 0.58 * ring)
    inner = ramp(xp, 0.72, 0.42, r)
    grey = p.iris[1:2] * 0.5 + 0.5 * p.iris
    iris = grey * bright * (1.0 + 0.5 * inner) * 0.72 + 0.002
    iris = mix(iris, p.one([0.004, 0.004, 0.004]), ramp(xp, 0.40, 0.33, r))
    albedo = mix(white, iris, ramp(xp, 1.06, 0.94, r))
    inside = ramp(xp, 1.15, 0.85, r)
    normal = unit(xp, out + 0.55 * rest * inside)
    # Light that enters the cornea gathers on the iris' far side.
    caustic = 1.0 + 0.8 * inside * xp.clip(-dot(unit(xp, rest), p.lamp) * r, 0.0, 1.0)
    lit = 0.25 + 0.75 * s.lamp
    lamp = xp.clip(0.35 + 0.65 * dot(out, p.lamp), 0.0, 1.0) * lit * caustic
    colour = albedo * (lamp * p.lamp_colour + s.ambient * 0.92)
    # Mirror images of the lamp (a round window) and of a bright sky.
    mirror = 2.0 * dot(normal, s.view) * normal - s.view
    near = dot(mirror, p.lamp)
    window = ramp(xp, 0.955, 0.975, near) * (0.35 + 0.65 * s.lamp)
    sky = ramp(xp, 0.35, 0.9, mirror[1]) * 0.05
    strength = 0.5 + p.lamp_colour.sum() / 3.0
    return colour + 0.75 * window * strength * (0.4 + 0.6 * inside) + sky * s.ambient


def mouth(xp: Any, s: Samples, p: Palette) -> Array:
    """Teeth and tongue; extra[0] is 1 for teeth."""
    teeth = s.extra[0]
    lines = 0.75 + 0.25 * xp.abs(xp.cos(s.chart[0] * 36.0)) ** 0.35
    gum = ramp(xp, 6.80, 6.76, s.chart[1]) * ramp(xp, 6.46, 6.50, s.chart[1])
    enamel = mix(p.one([0.30, 0.09, 0.08]), p.one([0.84, 0.72, 0.54]) * lines, gum)
    albedo = mix(p.one([0.34, 0.10, 0.09]), enamel, teeth)
    colour = matte(xp, s, p, albedo, s.normal, 0.2)
    return colour + 0.6 * highlight(xp, s, p, s.normal, 60.0) * p.lamp_colour


def hair(xp: Any, s: Samples, p: Palette) -> Array:
    """Strands (Kajiya and Kay 1989, with two highlights).

    extra: place along the strand 0..1, tone -1..1, buried 0..1, kind (0 hair, 1 brow or lash, 2 beard).
    """
    n = p.numbers
    along, tone, buried, kind = (s.extra[i] for i in range(4))
    tangent = unit(xp, s.chart)
    short = xp.clip(kind, 0.0, 1.0)
    base = p.hair * (1.0 + (0.85 * n["brow_shade"] - 0.9) * short) + 0.003
    # Single short hairs are finer than a sample: skin shines through them.
    base = base + 0.14 * short * (p.skin - base)
    albedo = base * (1.0 + 0.34 * tone) * (0.80 + 0.28 * along) * (1.0 - 0.45 * buried)
    outward = dot(s.normal, p.lamp)
    tl, tv = dot(tangent, p.lamp), dot(tangent, s.view)
    sin_tl = xp.sqrt(xp.clip(1.0 - tl * tl, 0.0, 1.0))
    sin_tv = xp.sqrt(xp.clip(1.0 - tv * tv, 0.0, 1.0))
    facing = xp.clip(0.5 + 0.62 * outward, 0.0, 1.0)
    lit = s.lamp * facing
    light = 0.85 * sin_tl * lit * p.lamp_colour + 0.4 * xp.clip(dot(s.normal, p.rim), 0.0, 1.0) * p.rim_colour
    colour = albedo * (light + s.ambient * 0.95)

    # Cuticles tilt: the white highlight shifts towards the root, the coloured one towards the tip.
    def lobe(shift: float, power: float) -> Array:
        turned = unit(xp, tangent + shift * s.normal)
        tl, tv = dot(turned, p.lamp), dot(turned, s.view)
        a = xp.sqrt(xp.clip(1.0 - tl * tl, 0.0, 1.0)) * xp.sqrt(xp.clip(1.0 - tv * tv, 0.0, 1.0)) - tl * tv
        return xp.clip(a, 0.0, 1.0) ** power

    gloss = (1.0 - 0.75 * short) * (1.0 - 0.6 * buried) * (0.75 + 0.5 * tone)
    first = 0.11 * lobe(-0.10, 55.0)
    second = 0.75 * lobe(0.14, 16.0) * (albedo + 0.012)
    colour = colour + gloss * lit * (first + second) * p.lamp_colour
    # The surroundings gleam along the strands too.
    sky = (0.030 + 0.22 * albedo) * xp.clip(sin_tv, 0.0, 1.0) ** 4 * xp.clip(0.35 + s.normal[1], 0.0, 1.0)
    return colour + gloss * sky * s.ambient


def fabric(xp: Any, s: Samples, p: Palette, base: Array, pattern: float, knit: float) -> Array:
    """Cloth and hats; chart: around, up (world units), mark of trim.

    Args:
        base: reflectance.
        pattern: index of sampler.PATTERNS.
        knit: ribs a world unit, times pi; 0 for woven cloth.
    """
    n = p.numbers
    u, v, mark = s.chart[0], s.chart[1], s.chart[2]
    (broad,) = lookup(xp, p.noise, u * 2.2, v * 2.2, textures.CLOUDS)
    grain, pore_x, pore_y = lookup(
        xp, p.noise, u * 14.0, v * 14.0, textures.GRAIN, textures.PORE_X, textures.PORE_Y
    )
    trimmed = 0.0 * mark
    if pattern == 1.0:
        trimmed = ramp(xp, -0.2, 0.2, xp.sin(v * 190.0))
    elif pattern == 2.0:
        trimmed = 0.55 * (ramp(xp, 0.2, 0.5, xp.sin(u * 150.0)) + ramp(xp, 0.2, 0.5, xp.sin(v * 150.0)))
    elif pattern == 3.0:
        trimmed = 0.45 * ramp(xp, 0.45, 0.75, grain)
    trimmed = mix(trimmed, 1.0, mark * n["contrast_trim"])
    albedo = mix(base, p.trim, xp.clip(trimmed, 0.0, 1.0))
    weave = 0.88 + 0.16 * grain + 0.10 * (broad - 0.5)
    if knit > 0.0:
        weave = weave * (0.82 + 0.18 * xp.abs(xp.sin(u * knit)) ** 0.5)
    slope = xp.stack([pore_x, pore_y, 0.0 * pore_x])
    normal = unit(xp, s.normal + 0.9 * slope)
    colour = matte(xp, s, p, albedo * weave, normal, 0.12)
    return colour + 0.10 * sheen(xp, s, s.normal, 3.0) * s.ambient * (albedo + 0.08)


def hard(xp: Any, s: Samples, p: Palette, base: Array, mirror_share: float) -> Array:
    """Frames, lenses and metal: a coat or a metal that mirrors a simple room."""
    mirror = 2.0 * dot(s.normal, s.view) * s.normal - s.view
    room = 0.15 + 0.85 * ramp(xp, -0.2, 0.7, mirror[1]) + 0.25 * ramp(xp, 0.2, 0.9, mirror[0])
    fresnel = mirror_share + (1.0 - mirror_share) * sheen(xp, s, s.normal, 5.0)
    body = matte(xp, s, p, base, s.normal) * (1.0 - mirror_share)
    tint = 1.0 + (base * 1.6 - 1.0) * min(2.0 * mirror_share, 1.0)
    glint = 1.5 * highlight(xp, s, p, s.normal, 140.0)
    return body + fresnel * room * tint * s.ambient + glint * p.lamp_colour


_CURVE_STEPS = 4096


def curve_table() -> list[float]:
    """sRGB 0..1 of linear light: a gentle toe, a soft shoulder (Hable-like), then gamma.

    Entry i stands for the light x with sqrt(x / (1 + x)) = i / (entries - 1).
    """
    table = []
    for i in range(_CURVE_STEPS):
        t = (i / (_CURVE_STEPS - 1)) ** 2
        x = 1.18 * t / max(1.0 - t, 1e-6)
        curve = (x * (1.9 * x + 0.16)) / (x * (1.75 * x + 0.86) + 0.11)
        table.append(min(curve, 1.0) ** (1.0 / 2.2))
    return table


def tone_curve(xp: Any, table: Array, light: Array) -> Array:
    """Display values of linear light, by `curve_table` as an array of the library: far cheaper than powers."""
    x = xp.clip(light, 0.0, 1e4)
    place = xp.sqrt(x / (1.0 + x)) * (_CURVE_STEPS - 1) + 0.5
    return table[xp.asarray(place, dtype=xp.int32)]
