"""Hairs as curves: where they root, how they bend over the body, gather into locks and curl."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.jit import entry, kernel
from ssgan_core.heads.template import template

_CELL = 0.02  # world, of the distance grid
_LOW = np.array([-0.56, -0.42, -0.56], np.float32)  # its corner
_SHAPE = (57, 52, 42)
_BAND = 3  # cells around the surface in which distance is known
_FAR = _BAND * _CELL  # what the grid says outside the band
_CLOTH = 0.026  # world: how far clothes stand off the shoulders
_STEP = 0.019  # world, of growth
_INERTIA_STEP = 0.011  # world, to which a hair's inertia refers


Values = np.ndarray | float  # one number for all hairs, or [n]


@dataclass(frozen=True)
class Roots:
    """Where n hairs leave the skin.

    Attributes:
        points: [n, 3] float32, world.
        normals: [n, 3] float32, unit.
        rest: [n, 3] float32, the same places on the neutral template.
        corners: [n, 3] fine template vertices around each; weights: [n, 3] float32, theirs.
    """

    points: np.ndarray
    normals: np.ndarray
    rest: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    def take(self, chosen: np.ndarray) -> Roots:
        """Some of the roots, by number or by a mask."""
        return Roots(*(getattr(self, spec.name)[chosen] for spec in fields(self)))

    def at(self, values: np.ndarray) -> np.ndarray:
        """Values [n] at the roots of values [N] at fine template vertices."""
        return (values[self.corners] * self.weights).sum(axis=1)


def scatter(bust: Bust, weights: np.ndarray, count: int, rng: np.random.Generator) -> Roots:
    """Roots spread over the body's skin.

    Args:
        weights: [N] density at fine template vertices, at least 0; its scale does not matter.
        count: how many.
    """
    mesh = template()
    body = mesh.triangles[mesh.pieces["body"]]
    density = (weights[body[:, 0]] + weights[body[:, 1]] + weights[body[:, 2]]) / 3
    body, density = body[density > 0], density[density > 0]
    a, b, c = (bust.points[body[:, k]] for k in range(3))
    share = np.cumsum(density * np.linalg.norm(np.cross(b - a, c - a), axis=1), dtype=np.float64)
    # One root in every equal share of the area: fewer gaps than by independent draws.
    place = (np.arange(count) + rng.random(count)) / count * share[-1]
    corners = body[np.searchsorted(share, place).clip(0, len(body) - 1)]
    u, v = np.sqrt(rng.random(count)), rng.random(count)
    parts = np.stack([1 - u, u * (1 - v), u * v], axis=-1).astype(np.float32)
    points, normals, rest = (
        _blend(values, corners, parts) for values in (bust.points, bust.normals, mesh.rest)
    )
    return Roots(points, unit(normals), rest, corners, parts)


@entry
def _blend(values, corners, weights):
    """Values [n, 3] at places inside triangles."""
    result = np.zeros((corners.shape[0], 3), np.float32)
    for n in range(corners.shape[0]):
        for k in range(3):
            for c in range(3):
                result[n, c] += weights[n, k] * values[corners[n, k], c]
    return result


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length one."""
    return vectors / (np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True)) + 1e-9)


@cache
def _grid_vertices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of the skin that hair can meet, how far clothes raise them [.], and which belong to the ears."""
    mesh = template()
    rest = mesh.rest
    used = np.zeros(len(rest), bool)
    used[mesh.piece_vertices["body"]] = True
    used[len(mesh.vertices) :] = False  # every old vertex of the coarse mesh is dense enough
    used &= mesh.masks["inside-mouth"] < 0.3
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    used &= ~((x < 0.55) & (np.abs(y - 7.28) < 0.2) & (z < 1.27) & (z > 0.8))  # sockets
    numbers = np.nonzero(used)[0]
    cloth = _CLOTH * ((6.05 - rest[numbers, 1]) / 0.3).clip(0, 1)
    return numbers, cloth.astype(np.float32), mesh.masks["ears"][numbers] > 0.2


def distance_grid(bust: Bust, ears: bool) -> np.ndarray:
    """Signed distance [57, 52, 42] float32 from skin and clothes near the surface, world units; for `nearest`.

    Args:
        ears: whether ears count; hair that is tucked behind them ignores them.
    """
    numbers, cloth, of_ear = _grid_vertices()
    chosen = slice(None) if ears else ~of_ear
    numbers, cloth = numbers[chosen], cloth[chosen]
    normals = bust.normals[numbers]
    return _distances(
        bust.points[numbers] + cloth[:, None] * normals, normals, np.full(_SHAPE, np.float32(_FAR))
    )


@entry
def _distances(points, normals, grid):
    best = np.full(grid.shape, np.float32(1e9))
    for n in range(points.shape[0]):
        i0 = int((points[n, 0] - _LOW[0]) / _CELL)
        j0 = int((points[n, 1] - _LOW[1]) / _CELL)
        k0 = int((points[n, 2] - _LOW[2]) / _CELL)
        for i in range(max(i0 - _BAND, 0), min(i0 + _BAND + 2, grid.shape[0])):
            x = _LOW[0] + i * _CELL - points[n, 0]
            for j in range(max(j0 - _BAND, 0), min(j0 + _BAND + 2, grid.shape[1])):
                y = _LOW[1] + j * _CELL - points[n, 1]
                for k in range(max(k0 - _BAND, 0), min(k0 + _BAND + 2, grid.shape[2])):
                    z = _LOW[2] + k * _CELL - points[n, 2]
                    square = x * x + y * y + z * z
                    if square < best[i, j, k]:
                        best[i, j, k] = square
                        height = x * normals[n, 0] + y * normals[n, 1] + z * normals[n, 2]
                        grid[i, j, k] = min(height, _FAR)
    return grid


@kernel
def _nearest(grid, x, y, z):
    """Signed distance at a point and its gradient (the outward normal, not quite unit); far points: _FAR, 0."""
    u = (x - _LOW[0]) / _CELL
    v = (y - _LOW[1]) / _CELL
    w = (z - _LOW[2]) / _CELL
    i, j, k = math.floor(u), math.floor(v), math.floor(w)
    if i < 0 or j < 0 or k < 0 or i >= grid.shape[0] - 1 or j >= grid.shape[1] - 1 or k >= grid.shape[2] - 1:
        return _FAR, 0.0, 0.0, 0.0
    u -= i
    v -= j
    w -= k
    a, b = grid[i, j, k], grid[i, j, k + 1]
    c, d = grid[i, j + 1, k], grid[i, j + 1, k + 1]
    e, f = grid[i + 1, j, k], grid[i + 1, j, k + 1]
    g, h = grid[i + 1, j + 1, k], grid[i + 1, j + 1, k + 1]
    low_x = (a * (1 - w) + b * w) * (1 - v) + (c * (1 - w) + d * w) * v
    high_x = (e * (1 - w) + f * w) * (1 - v) + (g * (1 - w) + h * w) * v
    low_y = (a * (1 - w) + b * w) * (1 - u) + (e * (1 - w) + f * w) * u
    high_y = (c * (1 - w) + d * w) * (1 - u) + (g * (1 - w) + h * w) * u
    low_z = (a * (1 - v) + c * v) * (1 - u) + (e * (1 - v) + g * v) * u
    high_z = (b * (1 - v) + d * v) * (1 - u) + (f * (1 - v) + h * v) * u
    value = low_x * (1 - u) + high_x * u
    return value, (high_x - low_x) / _CELL, (high_y - low_y) / _CELL, (high_z - low_z) / _CELL


@entry
def heights(grid, points):
    """Signed distances [n] of points [n, 3] from what a distance grid was made of; at most 0.06."""
    result = np.empty(points.shape[0], np.float32)
    for n in range(points.shape[0]):
        result[n] = _nearest(grid, points[n, 0], points[n, 1], points[n, 2])[0]
    return result


@dataclass
class Combing:
    """How n hairs are combed. Every attribute is an array [n] or [n, 3], or what broadcasts to it.

    Attributes:
        early, late: [n, 3] direction in which they are combed at the root and towards the tip, length = how strongly.
        turn: [n, 2] shares of the length at which `late` begins to, and wholly does, replace `early`.
        tie: [n, 3] world point towards which they are pulled instead while `tied`.
        tied: 0..1, how strongly.
        rise: 0 = leaves the skin flat, 1 = along the normal.
        inertia: 0..1, how much of its direction a hair keeps over 0.011 world units.
        gravity: pull downwards, against combing.
        length: world.
        lift: world, height above the skin at which it comes to lie.
        cling: 0..1, how much it is drawn down to that height.
        floor: world y at which it is cut.
        window: half width of the face that it must leave free, relative to the head; 0 = may cover it.
    """

    early: np.ndarray
    late: np.ndarray
    turn: np.ndarray
    tie: np.ndarray
    tied: Values
    rise: Values
    inertia: Values
    gravity: Values
    length: Values
    lift: Values
    cling: Values
    floor: Values
    window: Values

    def numbers(self, count: int) -> np.ndarray:
        """[n, 20] float32, columns in the order of the attributes."""
        width = {"early": 3, "late": 3, "turn": 2, "tie": 3}
        columns = []
        for spec in fields(self):
            values = np.asarray(getattr(self, spec.name), np.float32)
            if spec.name in width:
                columns.append(np.broadcast_to(values, (count, width[spec.name])))
            else:
                columns.append(np.broadcast_to(values, count)[:, None])
        return np.ascontiguousarray(np.concatenate(columns, axis=1))


def grow(grid: np.ndarray, roots: Roots, combing: Combing, points: int) -> np.ndarray:
    """Strands [n, points, 3] float32 from roots over the surface of a distance grid."""
    numbers = combing.numbers(len(roots.points))
    return _grow(grid, roots.points, roots.normals, numbers, points)


@kernel
def _free(window, y, z):
    """Half width of the face that stays free at a height and depth, world units."""
    if z < -0.02 or y > 0.28 or y < -0.30:
        return 0.0
    reach = 0.28 if y > 0.0 else 0.30
    return window * 0.162 * math.sqrt(1.0 - (y / reach) ** 2) * min((z + 0.02) / 0.06, 1.0)


@entry
def _grow(grid, roots, normals, numbers, count):
    n = roots.shape[0]
    result = np.empty((n, count, 3), np.float32)
    path = np.empty((128, 3), np.float64)
    for s in range(n):
        row = numbers[s]
        ex, ey, ez, lx, ly, lz = row[0], row[1], row[2], row[3], row[4], row[5]
        begin, end = row[6], row[7]
        tx, ty, tz, tied = row[8], row[9], row[10], row[11]
        rise, inertia, gravity, length = row[12], row[13], row[14], row[15]
        lift, cling, floor, window = row[16], row[17], row[18], row[19]
        x, y, z = float(roots[s, 0]), float(roots[s, 1]), float(roots[s, 2])
        strength = math.sqrt(ex * ex + ey * ey + ez * ez) + 1e-6
        dx = rise * normals[s, 0] + (1 - rise) * ex / strength
        dy = rise * normals[s, 1] + (1 - rise) * ey / strength
        dz = rise * normals[s, 2] + (1 - rise) * ez / strength
        scale = 1.0 / (math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6)
        dx, dy, dz = dx * scale, dy * scale, dz * scale
        steps = min(max(int(length / _STEP) + 1, count - 1), 127)
        step = length / steps
        inertia = inertia ** (step / _INERTIA_STEP)
        side = 1.0 if ex + 3.0 * x > 0.0 else -1.0
        path[0, 0], path[0, 1], path[0, 2] = x, y, z
        last = steps
        for k in range(steps):
            along = k * step
            t = (k / steps - begin) / (end - begin)
            t = min(max(t, 0.0), 1.0)
            t = t * t * (3 - 2 * t)
            ax, ay, az = ex + (lx - ex) * t, ey + (ly - ey) * t, ez + (lz - ez) * t
            if tied > 0.0:
                px, py, pz = tx - x, ty - y, tz - z
                left = math.sqrt(px * px + py * py + pz * pz) + 1e-6
                ax += (px / left - ax) * tied
                ay += (py / left - ay) * tied
                az += (pz / left - az) * tied
                if left < 1.5 * step and k > 0:  # arrived
                    last = k
                    break
            ay -= gravity * min(along / 0.08, 1.0)
            if window > 0.0:
                free = _free(window, y, z)
                if abs(x) < free:  # out of the face first
                    ax, ay, az = side, -0.2, -0.45
            ux, uy, uz = (
                inertia * dx + (1 - inertia) * ax,
                inertia * dy + (1 - inertia) * ay,
                inertia * dz + (1 - inertia) * az,
            )
            scale = step / (math.sqrt(ux * ux + uy * uy + uz * uz) + 1e-6)
            qx, qy, qz = x + ux * scale, y + uy * scale, z + uz * scale
            height, gx, gy, gz = _nearest(grid, qx, qy, qz)
            wanted = lift * (1.0 - math.exp(-(along + step) / (0.6 * lift + 0.01)))
            move = 0.0
            if height < wanted:
                move = wanted - height
                if move > 0.8 * step:
                    move = max(0.8 * step, -height)
            elif height < _FAR and cling > 0.0:
                move = cling * (wanted - height)
            if move != 0.0:
                scale = move / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-6)
                qx, qy, qz = qx + gx * scale, qy + gy * scale, qz + gz * scale
            if window > 0.0:
                free = _free(window, qy, qz)
                if abs(qx) < free or qx * side < 0.0:
                    qx += min(max(side * free - qx, -0.9 * step), 0.9 * step)
            dx, dy, dz = qx - x, qy - y, qz - z
            scale = 1.0 / (math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-9)
            dx, dy, dz = dx * scale, dy * scale, dz * scale
            x, y, z = qx, qy, qz
            path[k + 1, 0], path[k + 1, 1], path[k + 1, 2] = x, y, z
            if y < floor and k > 0:
                last = k + 1
                break
        for m in range(count):
            place = m * last / (count - 1.0)
            low = min(int(place), max(last - 1, 0))
            share = place - low
            high = min(low + 1, last)
            for c in range(3):
                result[s, m, c] = path[low, c] * (1 - share) + path[high, c] * share
    return result


@entry
def nearest_of(points, guides):
    """Number [n] of the guide [g, 3] that lies nearest to each point [n, 3]."""
    result = np.empty(points.shape[0], np.int64)
    for n in range(points.shape[0]):
        best = 1e30
        for g in range(guides.shape[0]):
            x = points[n, 0] - guides[g, 0]
            y = points[n, 1] - guides[g, 1]
            z = points[n, 2] - guides[g, 2]
            square = x * x + y * y + z * z
            if square < best:
                best = square
                result[n] = g
    return result


@entry
def gather_locks(strands, leader, strength, power):
    """Draw strands [n, m, 3] towards the leader of their lock, more so towards the tip; in place.

    Args:
        leader: [n] number of the strand that leads each.
        strength: [n] share of the distance that is left out at the tip.
        power: exponent of the share along the strand.
    """
    n, m = strands.shape[0], strands.shape[1]
    first = strands.copy()
    for s in range(n):
        g = leader[s]
        for k in range(1, m):
            share = strength[s] * (k / (m - 1.0)) ** power
            for c in range(3):
                strands[s, k, c] += share * (first[g, k, c] - first[s, k, c])


@entry
def curl(strands, radius, waves, phase, flat, begin):
    """Wind strands [n, m, 3] about their course, in place.

    Args:
        radius: [n] world; it grows from the root over the first third.
        waves: [n] turns along the strand.
        phase: [n] radians.
        flat: 0 = a helix, 1 = a wave in one plane.
        begin: share of the length before which hair stays straight.
    """
    n, m = strands.shape[0], strands.shape[1]
    turned = np.empty((m, 3), np.float64)
    for s in range(n):
        # A frame that is carried along without twist; all begin alike, so that a lock waves as one.
        bx, by, bz = 0.25, 0.15, 1.0
        for k in range(m):
            low, high = max(k - 1, 0), min(k + 1, m - 1)
            ax = strands[s, high, 0] - strands[s, low, 0]
            ay = strands[s, high, 1] - strands[s, low, 1]
            az = strands[s, high, 2] - strands[s, low, 2]
            scale = 1.0 / (math.sqrt(ax * ax + ay * ay + az * az) + 1e-9)
            ax, ay, az = ax * scale, ay * scale, az * scale
            along = bx * ax + by * ay + bz * az
            bx, by, bz = bx - along * ax, by - along * ay, bz - along * az
            scale = 1.0 / (math.sqrt(bx * bx + by * by + bz * bz) + 1e-9)
            bx, by, bz = bx * scale, by * scale, bz * scale
            cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            t = k / (m - 1.0)
            grown = min(max((t - begin) / 0.3, 0.0), 1.0)
            angle = phase[s] + 2 * math.pi * waves[s] * t
            u = radius[s] * grown * math.cos(angle)
            v = radius[s] * grown * math.sin(angle) * (1 - flat)
            turned[k, 0] = strands[s, k, 0] + u * bx + v * cx
            turned[k, 1] = strands[s, k, 1] + u * by + v * cy
            turned[k, 2] = strands[s, k, 2] + u * bz + v * cz
        for k in range(m):
            for c in range(3):
                strands[s, k, c] = turned[k, c]


@entry
def ruffle(strands, noise, size):
    """Add smooth noise to strands [n, m, 3] that grows towards the tip, in place.

    Args:
        noise: [n, knots, 3] displacement at evenly spaced places, about -1..1.
        size: [n] world, at the tip.
    """
    n, m, knots = strands.shape[0], strands.shape[1], noise.shape[1]
    for s in range(n):
        for k in range(1, m):
            t = k / (m - 1.0)
            place = t * (knots - 1)
            low = min(int(place), knots - 2)
            share = place - low
            share = share * share * (3 - 2 * share)
            for c in range(3):
                value = noise[s, low, c] * (1 - share) + noise[s, low + 1, c] * share
                strands[s, k, c] += size[s] * t**0.7 * value


@entry
def keep_off(grid, strands, least, most, brim, centre):
    """Move points of strands [n, m, 3] out of the body, and down to it under a hat; in place.

    Args:
        least: world, the height above the skin of the tips.
        most: world, the greatest height under a hat.
        brim: world y above which the hat covers; large without one.
        centre: [3] of the skull.
    """
    for s in range(strands.shape[0]):
        for k in range(1, strands.shape[1]):
            for _ in range(8):
                x, y, z = strands[s, k, 0], strands[s, k, 1], strands[s, k, 2]
                height, gx, gy, gz = _nearest(grid, x, y, z)
                if y > brim and height > 0.9 * _FAR:  # outside the grid's band
                    gx, gy, gz = x - centre[0], y - centre[1], z - centre[2]
                floor = least * min(k / 4.0, 1.0)
                move = 0.0
                if height < floor:
                    move = floor - height
                elif y > brim - 0.05:
                    allowed = most + max(brim - y, 0.0)
                    if height > allowed:
                        move = allowed - height
                if move == 0.0:
                    break
                scale = move / (math.sqrt(gx * gx + gy * gy + gz * gz) + 1e-6)
                strands[s, k, 0] += gx * scale
                strands[s, k, 1] += gy * scale
                strands[s, k, 2] += gz * scale


_AROUND, _UP = 96, 72  # cells of the shell
_TOP = 0.55  # world, above the axis


def shell(strands: np.ndarray, centre: np.ndarray, soft: float) -> tuple[np.ndarray, np.ndarray]:
    """How hair lies in the whole head of hair.

    Args:
        strands: [n, m, 3].
        centre: [3] of the skull; below it distance is measured from the vertical axis.
        soft: world, the depth at which hair counts as wholly buried.

    Returns:
        outward: [n, m, 3] float32, unit; buried: [n, m] float32, 0..1.
    """
    return _shell(strands, centre.astype(np.float32), np.float32(soft))


@entry
def _shell(strands, centre, soft):
    n, m = strands.shape[0], strands.shape[1]
    outward = np.empty((n, m, 3), np.float32)
    buried = np.empty((n, m), np.float32)
    farthest = np.zeros((_UP, _AROUND), np.float32)
    cells = np.empty((n, m, 2), np.int32)
    for s in range(n):
        for k in range(m):
            x, y, z = strands[s, k, 0] - centre[0], strands[s, k, 1] - centre[1], strands[s, k, 2] - centre[2]
            # A sphere above the centre, a cylinder below it, without a crease between them.
            flat = max(y, 0.0)
            length = math.sqrt(x * x + flat * flat + z * z) + 1e-6
            outward[s, k, 0], outward[s, k, 1], outward[s, k, 2] = x / length, flat / length, z / length
            column = int((math.atan2(x, z) / (2 * math.pi) + 0.5) * _AROUND) % _AROUND
            if y > 0.0:
                row = int(_UP // 2 + math.atan2(y, math.sqrt(x * x + z * z)) / (0.5 * math.pi) * (_UP // 2))
            else:
                row = int(_UP // 2 + y / _TOP * (_UP // 2))
            row = min(max(row, 0), _UP - 1)
            cells[s, k, 0], cells[s, k, 1] = row, column
            if length > farthest[row, column]:
                farthest[row, column] = length
            buried[s, k] = length
    smooth = np.empty((_UP, _AROUND), np.float32)
    for row in range(_UP):
        for column in range(_AROUND):
            total, count = 0.0, 0
            for i in range(max(row - 1, 0), min(row + 2, _UP)):
                for j in range(-1, 2):
                    value = farthest[i, (column + j) % _AROUND]
                    if value > 0.0:
                        total += value
                        count += 1
            smooth[row, column] = total / max(count, 1)
    for s in range(n):
        for k in range(m):
            depth = smooth[cells[s, k, 0], cells[s, k, 1]] - buried[s, k]
            buried[s, k] = min(max(depth / soft, 0.0), 1.0)
    return outward, buried
