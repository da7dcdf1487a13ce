"""The portrait as an implicit surface: distances to skin, eyes, hair, clothes and accessories.

Every function takes a world point and returns an estimate of the signed distance to a surface, negative
inside. They are estimates because domains are bent and maps are looked up; `tracing` steps with a safety
factor and refines hits by bisection. `s` is a scene record and `maps` the stack of frontal maps of `sculpt`,
`blobs` [n, 7] the ellipsoids of the hair style (centre, radii, blending width).
"""

from __future__ import annotations

import math

from ssgan_core.heads.jit import kernel
from ssgan_core.heads.primitives import (
    BROW,
    EYE_GAP,
    FACE_GAP,
    LIPS,
    MOUTH_GAP,
    NOSE_AREA,
    RELIEF,
    ellipsoid,
    lookup,
    noise,
    ramp,
    segment,
    smooth_max,
    smooth_min,
)

# Mask ids, as in parts.PORTRAIT (a test holds them together).
SKIN, EYES, BROWS, MOUTH, NOSE, EARS, HAIR, NECK, CLOTH, GLASSES, HAT, EARRINGS = range(1, 13)

FLOW_DOWN, FLOW_BACK, FLOW_SIDE, FLOW_CURLS = range(4)


@kernel
def skull(s, x, y, z):
    """The head without relief: a squarish ellipsoid that narrows and comes forward towards the chin."""
    t = min(max((s.jaw_top - y) / 0.25, 0.0), 1.2)
    t = t * t / (t + 0.35)
    width = s.head_half_width * (1.0 - s.jaw_taper * t * t)
    dz = z - s.head_z - s.jaw_forward * t
    dy = y - s.head_y
    height = s.head_up if dy > 0 else s.head_down
    depth = s.head_front if dz > 0 else s.head_back
    xx, yy, zz = (x / width) ** 2, (dy / height) ** 2, (dz / depth) ** 2
    total = max(xx + yy + zz, 1e-9)
    cross = xx * yy + yy * zz + zz * xx
    q = total + s.squareness * cross / total
    common = s.squareness / total
    gx = x / width**2 * (1.0 + common * (yy + zz - cross / total))
    gy = dy / height**2 * (1.0 + common * (xx + zz - cross / total))
    gz = dz / depth**2 * (1.0 + common * (xx + yy - cross / total))
    k = math.sqrt(q)
    return (k - 1.0) * k / max(math.sqrt(gx * gx + gy * gy + gz * gz), 1e-9)


@kernel
def nose(s, x, y, z):
    ax = abs(x)
    d = segment(
        x, y, z, 0.0, s.nasion_y, s.nasion_z, 0.0, s.nose_y, s.nose_z, s.bridge_radius, s.tip_radius * 0.8
    )
    d = smooth_min(
        d,
        ellipsoid(x, y - s.nose_y, z - s.nose_z, s.tip_radius * 1.06, s.tip_radius * 0.92, s.tip_radius),
        0.016,
    )
    wing = ellipsoid(
        ax - s.wing_x,
        y - s.wing_y,
        z - s.wing_z,
        s.wing_radius * 0.82,
        s.wing_radius * 0.86,
        s.wing_radius * 1.45,
    )
    d = smooth_min(d, wing, 0.010)
    hole = ellipsoid(ax - s.wing_x * 0.52, y - s.nostril_y, z - s.nostril_z, 0.0092, 0.0080, 0.0130)
    return smooth_max(d, -hole, 0.004)


@kernel
def face(s, maps, x, y, z, plain):
    """Skin of the head: the skull, `plain` away, with relief, nose and eyelids, the eye openings cut out."""
    d = plain
    if d > 0.13:
        return d - 0.07
    if z > -0.06:
        d = skull(s, x, y, z - lookup(maps, RELIEF, x, y) * ramp(-0.06, 0.06, z))
    if z > 0.03 and abs(x) < 0.16 and abs(y) < 0.16:
        if abs(x) < 0.09 and abs(y) < 0.12 and z > 0.09:
            d = smooth_min(d, nose(s, x, y, z), 0.022)
        if y > -0.02:
            ex = abs(x) - s.eye_x
            ey = y - s.eye_y
            ez = z - s.eye_z
            lid = math.sqrt(ex * ex + ey * ey + ez * ez) - s.eye_radius - 0.0042
            d = smooth_min(d, lid, 0.012)
            d = smooth_max(d, -lookup(maps, EYE_GAP, x, y), 0.004)
    return d


@kernel
def eyeball(s, x, y, z):
    ex, ey, ez = abs(x) - s.eye_x, y - s.eye_y, z - s.eye_z
    return math.sqrt(ex * ex + ey * ey + ez * ez) - s.eye_radius


@kernel
def ear(s, x, y, z):
    """A tilted plate with a raised rim, a bowl and a lobe."""
    px, py, pz = abs(x) - s.ear_x, y - s.ear_y, z - s.ear_z
    far = math.sqrt(px * px + py * py + pz * pz) - 0.11 * s.ear_size
    if far > 0.05:
        return far
    px, py, pz = px / s.ear_size, py / s.ear_size, pz / s.ear_size
    py, pz = py * 0.97 + pz * 0.24, pz * 0.97 - py * 0.24  # top leans back
    out = px * s.ear_cos + pz * s.ear_sin  # normal of the plate: outwards and forwards
    along = -px * s.ear_sin + pz * s.ear_cos  # towards the face
    d = ellipsoid(out, py - 0.012, along, 0.017, 0.068, 0.046)
    d = smooth_min(d, ellipsoid(out, py + 0.052, along - 0.012, 0.013, 0.024, 0.022), 0.02)
    d = smooth_max(d, -ellipsoid(out - 0.020, py - 0.016, along - 0.004, 0.017, 0.047, 0.029), 0.008)
    d = smooth_min(d, ellipsoid(out - 0.002, py + 0.006, along - 0.034, 0.010, 0.016, 0.010), 0.012)
    return d * s.ear_size


@kernel
def neck(s, x, y, z):
    t = min(max((-0.10 - y) / 0.22, 0.0), 1.0)
    rx = s.neck_radius * (1.0 + 0.10 * t * t)
    dz = z + 0.062 + 0.02 * t
    return math.sqrt(x * x + dz * dz * 0.92) - rx + 0.3 * max(y - 0.05, 0.0)


@kernel
def body(s, x, y, z):
    """Shoulders and chest, blended into the neck."""
    d = ellipsoid(x, y - s.body_y, z + 0.085, 0.44, 0.235, 0.185)
    return smooth_min(d, neck(s, x, y, z), 0.085)


@kernel
def cloth(s, x, y, z, bare):
    """The garment over the body, whose distance is `bare`."""
    d = bare
    if d > 0.08:
        return d - 0.05
    d -= 0.012 + 0.004 * math.sin(46.0 * x + 18.0 * y) * ramp(0.12, 0.3, abs(x))
    dz = z + 0.075
    reach = s.collar_width
    if s.collar_kind == 2.0:  # turtleneck: a tube with a rolled edge
        tube = bare - 0.014 - 0.005 * math.sin((y - s.collar_y) * 95.0)
        tube = smooth_max(tube, y - s.collar_y - 0.112 + 0.20 * max(dz, 0.0), 0.02)
        return smooth_min(d, tube, 0.02)
    gap = math.sqrt(x * x + dz * dz) - reach
    if s.collar_kind == 1.0:
        gap = min(gap, (abs(x) - 0.72 * max(y - s.collar_y + 0.17, 0.0)) * 0.81 if dz > 0 else 1.0)
    d = smooth_max(d, -gap, 0.006)
    if s.collar_kind == 3.0:  # hood: a thick roll behind and beside the neck
        roll = math.sqrt(x * x + (dz + 0.02) ** 2 * 0.9) - reach - 0.028
        dy = y - s.collar_y - 0.022 + 0.34 * max(dz, 0.0)
        return smooth_min(d, math.sqrt(roll * roll + dy * dy) - 0.040, 0.02)
    if s.collar_kind == 0.0:
        ring = math.sqrt(x * x + dz * dz) - reach
        edge = abs(bare - 0.012)
        d = min(d, math.sqrt(ring * ring + edge * edge * 2.5) - 0.0085)
    return d


@kernel
def strand_place(s, x, y, z):
    """Coordinates of the hair's flow: across the strands and along them, world units."""
    if s.flow == FLOW_BACK:
        return math.atan2(x, y - 0.02) * 0.2, z
    if s.flow == FLOW_SIDE:
        return z + 0.2 * y + 0.12 * abs(x - s.part_x), abs(x - s.part_x) - y
    return math.atan2(x - s.part_x * 0.7 * ramp(0.0, 0.25, y), z - s.head_z + 0.02) * 0.2, y


@kernel
def cap_thickness(s, maps, x, y, z, gap):
    """How far hair stands off the skull; `gap` is the distance to the face opening."""
    rise = s.hair_edge + (1.0 - s.hair_edge) * ramp(0.0, 0.075, gap)
    t = s.hair_thickness + s.hair_top * ramp(0.05, 0.30, y)
    if s.hair_parted > 0.0:
        groove = (x - s.part_x) / 0.011
        t -= s.hair_parted * math.exp(-groove * groove) * ramp(0.16, 0.24, y) * ramp(-0.12, 0.02, z)
    nape = ramp(s.nape_y - 0.05, s.nape_y + 0.06, y)
    return (t * rise + 0.012) * nape - 0.012


@kernel
def hair(s, maps, blobs, x, y, z, far, best):
    """Hair, given the skull's distance `far`: a cap, a hanging curtain, ellipsoids, cut open for the face.

    Where something at the distance `best` is surely nearer, any number above `best` is returned.
    """
    if far > s.hair_reach + 0.06:
        return far - s.hair_reach
    gap = lookup(maps, FACE_GAP, x, y)
    opening = max(gap, s.hair_cut_z + s.hair_cut_slope * (y - 0.05) - z)
    if -opening > best:
        return -opening
    d = far - cap_thickness(s, maps, x, y, z, max(opening, 0.0))
    if z > -0.06:  # above the forehead's relief
        d -= 0.9 * max(lookup(maps, RELIEF, x, y), 0.0) * ramp(-0.06, 0.06, z)
    if s.curtain_width > 0.0:
        bend = s.wave * math.sin(y * 34.0 + s.phase * 6.0 + (1.5 if x > 0 else 0.0))
        width = s.curtain_width + s.curtain_flare * (0.1 - y) + bend
        depth = s.curtain_depth + bend
        dz = z + 0.075
        side = (math.sqrt((x / width) ** 2 + (dz / depth) ** 2) - 1.0) * min(width, depth)
        middle = 0.5 * (0.16 + s.curtain_end)
        tips = s.curtain_curl * ramp(0.12, 0.0, y - s.curtain_end)
        side = smooth_max(side + tips, abs(y - middle) - (0.16 - middle), 0.10)
        d = smooth_min(d, side, 0.07)
    for i in range(blobs.shape[0]):
        b = blobs[i]
        d = smooth_min(d, ellipsoid(x - b[0], y - b[1], z - b[2], b[3], b[4], b[5]), b[6])
    if d < 0.05:
        if s.flow == FLOW_CURLS:
            f = s.lock_frequency
            d -= s.lock_height * (2.0 * abs(2.0 * noise(x * f, y * f + s.phase * 9.0, z * f) - 1.0) - 0.6)
            d -= 0.4 * s.lock_height * (noise(2.3 * f * x, 2.3 * f * y, 2.3 * f * z) - 0.5)
        else:
            u, v = strand_place(s, x, y, z)
            u = u * s.lock_frequency + s.phase * 20.0
            sway = 0.9 * math.sin(v * 16.0 + s.phase * 9.0) + 0.5 * math.sin(u * 0.31 + v * 9.0)
            calm = 0.25 + 0.75 * ramp(0.0, 0.04, opening)
            d -= (
                calm * s.lock_height * (0.6 * math.sin(u + sway) + 0.4 * math.sin(2.3 * u + 1.7 - 1.4 * sway))
            )
    d = smooth_max(d, -opening, s.hair_round)
    if s.hat_kind > 0.0:
        d = max(d, y - s.hat_y + s.hat_tilt * z - 0.012)
    return d


@kernel
def hat(s, x, y, z, plain):
    dome = plain - s.hat_thickness
    if dome > 0.30:
        return dome - 0.25
    level = y - s.hat_y + s.hat_tilt * z
    if s.hat_kind == 1.0:  # beanie with a rolled band
        rib = 0.0022 * math.cos(math.atan2(x, z + 0.06) * 90.0)
        d = smooth_max(dome - rib, -level, 0.01)
        band = max(abs(level - 0.030) - 0.034, abs(dome - 0.004 - rib) - 0.007)
        return smooth_min(d, band, 0.012)
    d = smooth_max(dome, -level, 0.01)
    if s.hat_kind == 2.0:  # cap: the peak looks forward
        bent = level + 1.6 * x * x
        peak = ellipsoid(x, bent - 0.006, z - 0.12, 0.165, 0.3, 0.20)
        return min(d, smooth_max(peak, abs(bent - 0.004) - 0.006, 0.008))
    bent = level + 0.5 * x * x - 0.10 * ramp(0.1, 0.35, abs(x)) * abs(x)
    disc = math.sqrt(x * x * 0.94 + (z + 0.03) ** 2) - 0.345
    ribbon = max(abs(level - 0.026) - 0.022, dome - 0.005)
    return min(min(d, ribbon), smooth_max(disc, abs(bent - 0.002) - 0.006, 0.008))


@kernel
def glasses(s, x, y, z):
    ax = abs(x)
    dz = z - s.glasses_z + 0.9 * ax * ax
    px, py = ax - s.eye_x - 0.001, y - s.eye_y + 0.004
    if s.glasses_kind == 1.0:
        outline = math.sqrt(px * px + py * py * 1.12) - 0.050
    else:
        qx, qy = abs(px) - 0.035 - 0.08 * py, abs(py) - 0.021
        outside = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2)
        outline = outside + min(max(qx, qy), 0.0) - 0.019
    if s.glasses_kind == 3.0:
        lens = max(outline - 0.004, abs(dz) - 0.0035)
    else:
        lens = math.sqrt(max(abs(outline) - 0.0022, 0.0) ** 2 + max(abs(dz) - 0.003, 0.0) ** 2) - 0.0016
    bridge_y = s.eye_y + 0.010 + 4.0 * max(0.0006 - ax * ax, 0.0)
    bridge = math.sqrt((y - bridge_y) ** 2 + dz * dz) - 0.0036
    bridge = max(bridge, ax - s.eye_x + 0.048)
    hinge = s.eye_x + 0.052
    front = s.glasses_z - 0.9 * hinge * hinge
    low, high = s.eye_y + 0.004, s.eye_y + 0.012
    arm = segment(ax, y, z, hinge, high, front, s.temple_x, low, s.ear_z + 0.01, 0.0036, 0.0036)
    return min(min(lens, bridge), arm)


@kernel
def earring(s, x, y, z):
    px, py, pz = abs(x) - s.lobe_x, y - s.lobe_y, z - s.lobe_z
    d = math.sqrt(px * px + py * py + pz * pz) - 0.0105
    if s.earring_kind == 2.0:
        d = min(d, ellipsoid(px, py + 0.045, pz, 0.013, 0.024, 0.013))
        d = min(d, max(math.sqrt(px * px + pz * pz) - 0.0022, abs(py + 0.02) - 0.02))
    elif s.earring_kind == 3.0:
        ring = math.sqrt((py + 0.034) ** 2 + (pz * 0.8 + px * 0.6) ** 2) - 0.036
        off = px * 0.8 - pz * 0.6
        d = math.sqrt(ring * ring + off * off) - 0.0042
    return d


@kernel
def solids(s, maps, blobs, x, y, z):
    """`scene` without glasses, whose thin frames would draw scribbles of shadow on the face."""
    plain = skull(s, x, y, z)
    d = face(s, maps, x, y, z, plain)
    part = SKIN
    if d < 0.12:
        other = neck(s, x, y, z)
        if y < -0.05 and other < d:
            part = NECK
        d = smooth_min(d, max(other, y + 0.02), 0.03)
        if z > 0.0 and y > 0.0:
            other = eyeball(s, x, y, z)
            if other < d:
                d, part = other, EYES
        other = ear(s, x, y, z)
        if other < d:
            part = EARS
        d = smooth_min(d, other, 0.012)
    if y < -0.12:
        bare = body(s, x, y, z)
        if bare < d:
            d, part = bare, NECK
        other = cloth(s, x, y, z, bare)
        if other < d:
            d, part = other, CLOTH
    if s.has_hair > 0.0:
        other = hair(s, maps, blobs, x, y, z, plain, d)
        if other < d:
            d, part = other, HAIR
    if s.hat_kind > 0.0:
        other = hat(s, x, y, z, plain)
        if other < d:
            d, part = other, HAT
    if s.earring_kind > 0.0:
        other = earring(s, x, y, z)
        if other < d:
            d, part = other, EARRINGS
    return d, part


@kernel
def scene(s, maps, blobs, x, y, z):
    """Distance to the nearest surface and the id of the part it belongs to (painted parts as skin)."""
    d, part = solids(s, maps, blobs, x, y, z)
    if s.glasses_kind > 0.0:
        other = glasses(s, x, y, z)
        if other < d:
            d, part = other, GLASSES
    return d, part


@kernel
def painted(s, maps, part, x, y, z):
    """The mask id of a surface point: brows, lips and nose are painted on the skin."""
    if part != SKIN or z < 0.02:
        return part
    if lookup(maps, MOUTH_GAP, x, y) < 0.0 or lookup(maps, LIPS, x, y) < 0.0:
        return MOUTH
    if lookup(maps, BROW, x, y) < 0.0:
        return BROWS
    if lookup(maps, NOSE_AREA, x, y) < 0.0:
        return NOSE
    return SKIN
