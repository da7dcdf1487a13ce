"""What the implicit surface and its colours are built of: blends, ramps, noise, map lookups, solids."""

from __future__ import annotations

import math

from ssgan_core.heads.jit import kernel

# Frontal maps: samples at (MAP_X0 + column STEP, MAP_Y0 + row STEP), rows upwards, world units.
MAP_X0, MAP_Y0, MAP_STEP, MAP_COLUMNS, MAP_ROWS = -0.30, -0.36, 0.0025, 241, 281
RELIEF, EYE_GAP, BROW, LIPS, MOUTH_GAP, NOSE_AREA, FACE_GAP, REDNESS, SHADE = range(9)


@kernel
def smooth_min(a, b, k):
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - 0.25 * h * h * k


@kernel
def smooth_max(a, b, k):
    h = max(k - abs(a - b), 0.0) / k
    return max(a, b) + 0.25 * h * h * k


@kernel
def ramp(low, high, value):
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@kernel
def lookup(maps, channel, x, y):
    """Bilinear sample of a frontal map, clamped at its edges."""
    u = min(max((x - MAP_X0) / MAP_STEP, 0.0), MAP_COLUMNS - 1.001)
    v = min(max((y - MAP_Y0) / MAP_STEP, 0.0), MAP_ROWS - 1.001)
    i, j = int(u), int(v)
    u, v = u - i, v - j
    low = maps[channel, j, i] * (1.0 - u) + maps[channel, j, i + 1] * u
    high = maps[channel, j + 1, i] * (1.0 - u) + maps[channel, j + 1, i + 1] * u
    return low * (1.0 - v) + high * v


@kernel
def hashed(i, j, k):
    """A repeatable number 0..1 of three integers."""
    n = (i * 73856093) ^ (j * 19349663) ^ (k * 83492791)
    n = (n ^ (n >> 13)) * 1274126177
    n = n ^ (n >> 16)
    return (n & 0xFFFFF) / 1048575.0


@kernel
def noise(x, y, z):
    """Smooth value noise, 0..1, one cell a unit."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    x, y, z = x - fx, y - fy, z - fz
    x, y, z = x * x * (3 - 2 * x), y * y * (3 - 2 * y), z * z * (3 - 2 * z)
    a = hashed(i, j, k) * (1 - x) + hashed(i + 1, j, k) * x
    b = hashed(i, j + 1, k) * (1 - x) + hashed(i + 1, j + 1, k) * x
    c = hashed(i, j, k + 1) * (1 - x) + hashed(i + 1, j, k + 1) * x
    d = hashed(i, j + 1, k + 1) * (1 - x) + hashed(i + 1, j + 1, k + 1) * x
    return (a * (1 - y) + b * y) * (1 - z) + (c * (1 - y) + d * y) * z


@kernel
def ellipsoid(x, y, z, rx, ry, rz):
    """First-order distance to an ellipsoid about the origin."""
    k0 = math.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2)
    k1 = math.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2 + (z / rz**2) ** 2)
    return k0 * (k0 - 1.0) / max(k1, 1e-9)


@kernel
def segment(x, y, z, ax, ay, az, bx, by, bz, ra, rb):
    """Distance to a segment from a to b whose radius runs from ra to rb."""
    px, py, pz, dx, dy, dz = x - ax, y - ay, z - az, bx - ax, by - ay, bz - az
    t = min(max((px * dx + py * dy + pz * dz) / (dx * dx + dy * dy + dz * dz), 0.0), 1.0)
    px, py, pz = px - t * dx, py - t * dy, pz - t * dz
    return math.sqrt(px * px + py * py + pz * pz) - ra - t * (rb - ra)
