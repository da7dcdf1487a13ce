"""Colours: what light a surface point sends to the camera, linear, before tone mapping."""

from __future__ import annotations

import math

from ssgan_core.heads import fields, primitives
from ssgan_core.heads.fields import strand_place
from ssgan_core.heads.jit import kernel
from ssgan_core.heads.primitives import lookup, noise, ramp
from ssgan_core.heads.tracing import lit, normal, openness


@kernel
def lambert(s, r, g, b, nx, ny, nz, shadow, ambient, bleed):
    """Diffuse light: wrapped key light that reddens at its edge by `bleed`, sky and ground, weak fill."""
    cosine = nx * s.light_x + ny * s.light_y + nz * s.light_z
    warm = 1.0 + 0.05 * s.warmth
    key = 1.65 * s.contrast
    soft_r, soft_g = 0.30 * bleed, 0.10 * bleed
    key_r = max(cosine + soft_r, 0.0) / (1.0 + soft_r) * (shadow + bleed * 0.45 * shadow * (1.0 - shadow))
    key_g = max(cosine + soft_g, 0.0) / (1.0 + soft_g) * shadow
    key_b = max(cosine + 0.5 * soft_g, 0.0) / (1.0 + 0.5 * soft_g) * shadow
    sky = 0.5 + 0.5 * ny
    fill = 0.26 * max(-0.6 * nx * s.light_x + 0.2 * ny + 0.75 * nz, 0.0)
    base = (0.22 + 0.30 * sky + fill) * ambient
    tint = 0.25 * ambient
    under = 0.05 * bleed * (1.0 - ambient)
    red = r * (key * warm * key_r + base * 0.98 + tint * s.back_r + under)
    green = g * (key * key_g + base + tint * s.back_g)
    blue = b * (key / warm * key_b + base * 1.05 + tint * s.back_b)
    return red, green, blue


@kernel
def gloss(s, nx, ny, nz, vx, vy, vz, power):
    """Blinn-Phong highlight of the key light; v points to the camera."""
    hx, hy, hz = s.light_x + vx, s.light_y + vy, s.light_z + vz
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    cosine = max((nx * hx + ny * hy + nz * hz) / length, 0.0)
    return cosine**power


@kernel
def mixed(a, b, t):
    return a + (b - a) * t


@kernel
def skin_colour(s, maps, part, x, y, z):
    """Reflectance of skin, lips, brows and teeth, and how glossy it is."""
    r, g, b = s.skin_r, s.skin_g, s.skin_b
    shine = 0.05
    mottle = 0.92 + 0.10 * noise(x * 24.0, y * 24.0, z * 24.0) + 0.06 * noise(x * 90.0, y * 90.0, z * 90.0)
    r, g, b = r * (0.5 + 0.5 * mottle), g * mottle, b * mottle
    if part == fields.EARS:
        g, b = g * 0.80, b * 0.80
    if part in (fields.EARS, fields.NECK) or z < 0.0:
        return r, g, b, shine
    red = lookup(maps, primitives.REDNESS, x, y)
    g, b = g * (1.0 - 0.24 * red), b * (1.0 - 0.20 * red)
    if s.freckles > 0.0:
        spots = ramp(0.70, 0.86, noise(x * 150.0, y * 150.0, 0.5)) * ramp(
            0.3, 0.8, red + 0.3 * noise(x * 30, y * 30, 3.5)
        )
        r, g, b = (
            r * (1 - 0.20 * spots * s.freckles),
            g * (1 - 0.38 * spots * s.freckles),
            b * (1 - 0.45 * spots * s.freckles),
        )
    lips = lookup(maps, primitives.LIPS, x, y)
    if lips < 0.004:
        inside = ramp(0.0016, -0.0034, lips)
        wrinkle = 0.94 + 0.10 * noise(x * 260.0, y * 30.0, 1.5)
        r, g, b = (
            mixed(r, s.lip_r * wrinkle, inside),
            mixed(g, s.lip_g * wrinkle, inside),
            mixed(b, s.lip_b * wrinkle, inside),
        )
        shine = mixed(shine, 0.20, inside)
        gap = lookup(maps, primitives.MOUTH_GAP, x, y)
        seam = 1.0 - 0.78 * math.exp(-((max(gap, 0.0) / 0.0026) ** 2))
        r, g, b = r * mixed(seam, 1.0, 0.15), g * seam, b * seam
        if gap < 0.0:
            side = abs(x) / s.mouth_half_width
            bite = ramp(0.0, 0.0035, -gap) * (1.0 - ramp(0.45, 0.95, side))
            bite *= ramp(-0.021, -0.012, y - s.mouth_y - 0.016 * side * side) * 0.9 + 0.1
            tooth = 0.90 + 0.10 * abs(math.cos(x * 215.0))
            r, g, b = (
                mixed(0.09, 0.62 * tooth, bite),
                mixed(0.02, 0.58 * tooth, bite),
                mixed(0.02, 0.52 * tooth, bite),
            )
            return r, g, b, 0.12
    brow = lookup(maps, primitives.BROW, x, y)
    if brow < 0.004:
        hairs = noise(abs(x) * 420.0 - y * 380.0, y * 80.0 + abs(x) * 60.0, 7.5)
        cover = ramp(0.0030, -0.0045, brow + 0.0035 * (hairs - 0.5)) * (0.80 + 0.28 * hairs)
        cover = min(cover, 0.96)
        r, g, b = mixed(r, s.brow_r, cover), mixed(g, s.brow_g, cover), mixed(b, s.brow_b, cover)
        shine *= 1.0 - cover
    dark = lookup(maps, primitives.SHADE, x, y)
    if y < -0.02:  # stubble is grained
        dark *= 0.72 + 0.56 * noise(x * 330.0, y * 330.0, 2.5)
    r, g, b = mixed(r, 0.035, dark), mixed(g, 0.026, dark), mixed(b, 0.024, dark)
    return r, g, b, shine


@kernel
def shade_skin(s, maps, part, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient):
    r, g, b, shine = skin_colour(s, maps, part, x, y, z)
    light = shine * (0.25 + 0.75 * shadow)
    red, green, blue = lambert(s, r, g, b, nx, ny, nz, shadow, ambient, 1.0)
    facing = max(nx * vx + ny * vy + nz * vz, 0.0)
    edge = 0.06 * (1.0 - facing) ** 4 * ambient
    high = light * (
        1.5 * gloss(s, nx, ny, nz, vx, vy, vz, 22.0)
        + 2.2 * gloss(s, nx, ny, nz, vx, vy, vz, 90.0) * (shine > 0.1)
    )
    return red + high + edge, green + high + edge, blue + high + edge


@kernel
def shade_eye(s, maps, x, y, z, vx, vy, vz, shadow, ambient):
    centre = s.eye_x if x > 0 else -s.eye_x
    nx, ny, nz = (x - centre) / s.eye_radius, (y - s.eye_y) / s.eye_radius, (z - s.eye_z) / s.eye_radius
    gx = math.sin(s.gaze_yaw) * math.cos(s.gaze_pitch)
    gy = math.sin(s.gaze_pitch)
    gz = math.cos(s.gaze_yaw) * math.cos(s.gaze_pitch)
    towards = nx * gx + ny * gy + nz * gz
    px, py, pz = nx - towards * gx, ny - towards * gy, nz - towards * gz
    rho = s.eye_radius * math.sqrt(px * px + py * py + pz * pz) / s.iris_radius
    inside = -lookup(maps, primitives.EYE_GAP, x, y)
    r, g, b = 0.66, 0.63, 0.61
    vein = ramp(0.9, 2.2, rho)
    g, b = g - 0.12 * vein, b - 0.12 * vein
    iris = ramp(1.04, 0.96, rho)
    if iris > 0.0:
        angle = math.atan2(py, px)
        streak = 0.75 + 0.5 * noise(angle * 7.0, rho * 2.5, 4.5)
        bright = (
            (1.15 + 1.1 * max(-py * s.eye_radius / s.iris_radius, 0.0))
            * streak
            * (0.45 + 0.75 * ramp(0.98, 0.70, rho))
        )
        ring = ramp(0.30, 0.62, rho)
        bright *= 0.7 + 0.6 * (1 - ring)
        pupil = ramp(0.40, 0.46, rho)
        r, g, b = (
            mixed(r, 0.004 + 1.5 * s.iris_r * bright * pupil, iris),
            mixed(g, 0.004 + 1.5 * s.iris_g * bright * pupil, iris),
            mixed(b, 0.004 + 1.5 * s.iris_b * bright * pupil, iris),
        )
    lid = math.exp(-max(inside, 0.0) / (0.0055 if y > s.eye_y else 0.0022))
    shut = (1.0 - 0.72 * lid) if y > s.eye_y else (1.0 - 0.35 * lid)
    red, green, blue = lambert(s, r, g, b, nx, ny, nz, 0.35 + 0.65 * shadow, 0.55 + 0.45 * ambient, 0.4)
    # two fixed catchlights: a window on the key light's side and its dim echo below
    cx, cy = px * s.eye_radius / s.iris_radius, py * s.eye_radius / s.iris_radius
    side = 0.34 if s.light_x > 0 else -0.34
    window = ramp(0.27, 0.17, math.sqrt((cx - side) ** 2 + (cy - 0.36) ** 2))
    echo = ramp(0.22, 0.05, math.sqrt((cx + side) ** 2 + (cy + 0.40) ** 2))
    high = 1.6 * window + 0.10 * echo
    return red * shut + high, green * shut + high * 0.98, blue * shut + high


@kernel
def shade_hair(s, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient):
    scale = s.strand_scale
    if s.flow == fields.FLOW_CURLS:
        f = s.lock_frequency
        fine = noise(x * 5.0 * f, y * 5.0 * f, z * 5.0 * f)
        tone = 0.60 + 0.5 * fine + 0.5 * (noise(x * 1.9 * f, y * 1.9 * f, z * 1.9 * f) - 0.3)
        red, green, blue = lambert(
            s, s.hair_r * tone, s.hair_g * tone, s.hair_b * tone, nx, ny, nz, shadow, ambient * ambient, 0.3
        )
        high = 0.10 * gloss(s, nx, ny, nz, vx, vy, vz, 14.0) * shadow * fine
        return red + high * (0.3 + s.hair_r), green + high * (0.3 + s.hair_g), blue + high * (0.3 + s.hair_b)
    u, v = strand_place(s, x, y, z)
    coarse = noise(u * 95.0 * scale, v * 7.0, s.phase * 50.0)
    fine = noise(u * 300.0 * scale, v * 12.0, s.phase * 50.0 + 9.0)
    grain = 0.55 * coarse + 0.45 * fine
    tone = 0.52 + 0.95 * grain
    # strand direction: the flow projected on the surface
    if s.flow == fields.FLOW_BACK:
        tx, ty, tz = 0.15 * x, 0.5 * y, -1.0
    elif s.flow == fields.FLOW_SIDE:
        tx, ty, tz = (1.0 if x > s.part_x else -1.0), -0.6, 0.1
    else:
        tx, ty, tz = 1.2 * x, -1.0, 0.8 * (z - s.head_z)
    along = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - along * nx, ty - along * ny, tz - along * nz
    length = max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-6)
    tx, ty, tz = tx / length, ty / length, tz / length
    hx, hy, hz = s.light_x + vx, s.light_y + vy + 0.25, s.light_z + vz
    length = math.sqrt(hx * hx + hy * hy + hz * hz)
    shift = 0.30 * (grain - 0.5)
    across = (tx * hx + ty * hy + tz * hz) / length + shift
    sheen = max(1.0 - across * across, 0.0)
    first = sheen**60.0
    second = max(1.0 - (across + 0.14) ** 2, 0.0) ** 14.0
    red, green, blue = lambert(
        s, s.hair_r * tone, s.hair_g * tone, s.hair_b * tone, nx, ny, nz, shadow, ambient, 0.35
    )
    lamp = (
        (0.25 + 0.75 * shadow) * ambient * ramp(-0.25, 0.5, nx * s.light_x + ny * s.light_y + nz * s.light_z)
    )
    white = 0.16 * first * lamp * (0.4 + 0.9 * fine)
    tint = 0.55 * second * lamp * (0.3 + coarse)
    return (
        red + white + tint * (s.hair_r + 0.025),
        green + white + tint * (s.hair_g + 0.02),
        blue + white + tint * (s.hair_b + 0.018),
    )


@kernel
def shade_cloth(s, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient):
    r, g, b = s.cloth_r, s.cloth_g, s.cloth_b
    dz = z + 0.075
    from_neck = math.sqrt(x * x + dz * dz)
    trimmed = 0.0
    if s.pattern == 1.0:
        trimmed = ramp(-0.25, 0.25, math.sin(y * 200.0 + from_neck * 60.0))
    elif s.pattern == 2.0:
        trimmed = ramp(0.030, 0.026, from_neck - s.collar_width)
    r, g, b = mixed(r, s.trim_r, trimmed), mixed(g, s.trim_g, trimmed), mixed(b, s.trim_b, trimmed)
    weave = 0.90 + 0.10 * noise(x * 260.0, y * 260.0, z * 260.0) + 0.10 * noise(x * 40.0, y * 40.0, z * 40.0)
    red, green, blue = lambert(s, r * weave, g * weave, b * weave, nx, ny, nz, shadow, ambient, 0.15)
    fuzz = 0.10 * (1.0 - max(nx * vx + ny * vy + nz * vz, 0.0)) ** 3 * ambient
    return red + fuzz * (r + 0.1), green + fuzz * (g + 0.1), blue + fuzz * (b + 0.1)


@kernel
def shade_hat(s, x, y, z, nx, ny, nz, shadow, ambient):
    r, g, b = s.hat_r, s.hat_g, s.hat_b
    level = y - s.hat_y + s.hat_tilt * z
    weave = 0.92 + 0.16 * noise(x * 220.0, y * 220.0, z * 220.0)
    if s.hat_kind == 1.0:
        weave *= 0.86 + 0.14 * math.cos(math.atan2(x, z + 0.06) * 90.0)
    elif s.hat_kind == 3.0 and 0.006 < level < 0.050:
        r, g, b = s.trim_r * 0.6, s.trim_g * 0.6, s.trim_b * 0.6
    return lambert(s, r * weave, g * weave, b * weave, nx, ny, nz, shadow, ambient, 0.15)


@kernel
def shade_hard(s, part, x, y, nx, ny, nz, vx, vy, vz, shadow, ambient):
    """Glasses and earrings: a coat or a metal that mirrors a simple room."""
    facing = nx * vx + ny * vy + nz * vz
    ry = 2.0 * facing * ny - vy
    room = 0.12 + 0.9 * ramp(-0.1, 0.75, ry)
    high = 1.2 * gloss(s, nx, ny, nz, vx, vy, vz, 120.0) * shadow
    if part == fields.EARRINGS:
        gold = s.phase > 0.4
        r, g, b = (0.80, 0.56, 0.22) if gold else (0.72, 0.72, 0.75)
        return (
            r * (room + 0.25) * ambient + high,
            g * (room + 0.25) * ambient + high,
            b * (room + 0.25) * ambient + high,
        )
    r, g, b = 0.35 * s.trim_r, 0.35 * s.trim_g, 0.35 * s.trim_b
    if s.sunglasses > 0.0:
        r, g, b = 0.016, 0.014, 0.014
        fade = 0.05 * ramp(0.03, -0.04, y - s.eye_y)
        return r + fade + 0.16 * room + high, g + fade + 0.16 * room + high, b + fade + 0.18 * room + high
    red, green, blue = lambert(s, r, g, b, nx, ny, nz, shadow, ambient, 0.0)
    return red + 0.10 * room + high, green + 0.10 * room + high, blue + 0.10 * room + high


@kernel
def surface_normal(s, maps, blobs, part, x, y, z):
    """Unit normal, a little smoothed on hair and cloth."""
    width = 0.0022 if part in (fields.HAIR, fields.CLOTH, fields.HAT) else 0.0013
    return normal(s, maps, blobs, x, y, z, width)


@kernel
def reach(s, maps, blobs, x, y, z, nx, ny, nz):
    """Shares of the key light and of the ambient light that reach a surface point."""
    ambient = openness(s, maps, blobs, x, y, z, nx, ny, nz)
    shadow = 0.0
    if nx * s.light_x + ny * s.light_y + nz * s.light_z > -0.25:
        shadow = lit(
            s, maps, blobs, x + 0.004 * nx, y + 0.004 * ny, z + 0.004 * nz, s.light_x, s.light_y, s.light_z
        )
    return shadow, ambient


@kernel
def shade(s, maps, part, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient):
    """Linear colour of a surface point; `part` is its painted mask id, v the unit vector to the camera."""
    if part == fields.EYES:
        return shade_eye(s, maps, x, y, z, vx, vy, vz, shadow, ambient)
    if part == fields.HAIR:
        return shade_hair(s, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient)
    if part == fields.CLOTH:
        return shade_cloth(s, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient)
    if part == fields.HAT:
        return shade_hat(s, x, y, z, nx, ny, nz, shadow, ambient)
    if part in (fields.GLASSES, fields.EARRINGS):
        return shade_hard(s, part, x, y, nx, ny, nz, vx, vy, vz, shadow, ambient)
    return shade_skin(s, maps, part, x, y, z, nx, ny, nz, vx, vy, vz, shadow, ambient)


@kernel
def backdrop(s, u, v):
    """Linear background colour at image coordinates u, v in 0..1 (v downwards)."""
    t = ramp(0.0, 1.0, 0.7 * v + 0.3 * u)
    if s.background == 1.0:
        t = ramp(0.30, 0.70, noise(u * 2.6 + s.phase * 40.0, v * 2.6, 0.5 + s.phase * 9.0))
    elif s.background == 2.0:
        t = ramp(0.10, 0.75, math.sqrt((u - 0.5) ** 2 + (v - 0.42) ** 2))
    glow = 0.9 + 0.2 * noise(u * 3.0, v * 3.0, s.phase * 20.0)
    return (
        0.8 * glow * mixed(s.back_r, s.back2_r, t),
        0.8 * glow * mixed(s.back_g, s.back2_g, t),
        0.8 * glow * mixed(s.back_b, s.back2_b, t),
    )


@kernel
def display(value):
    """sRGB 0..255 of linear light: a soft shoulder, then gamma."""
    value = max(value, 0.0)
    value = value * (1.0 + 0.16 * value) / (1.0 + 0.62 * value) * 1.06
    return 255.0 * min(value, 1.0) ** (1.0 / 2.2)
