"""Where hair grows on the head, and how each style cuts, combs and curls it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from ssgan_core.heads.bust import Bust
from ssgan_core.heads.sampler import HAIR_STYLES, HATS, Identity
from ssgan_core.heads.strand_growth import Combing, Roots
from ssgan_core.heads.template import template

HAT_BRIM = 7.75  # template y above which a hat covers the head
_AXIS = 0.25  # template z of the axis around which the hairline runs
# The hairline: template y by azimuth in degrees (0 = front, 180 = back): forehead, temple, sideburn, above the ear,
# behind it, nape.
_LINE_AT = (0, 12, 24, 33, 40, 45, 49, 54, 60, 66, 72, 85, 97, 106, 116, 130, 150, 180)
_LINE = (
    8.03,
    8.05,
    8.04,
    8.00,
    7.90,
    7.74,
    7.58,
    7.44,
    7.22,
    7.20,
    7.40,
    7.44,
    7.36,
    7.10,
    6.88,
    6.76,
    6.70,
    6.68,
)


@cache
def _line() -> np.ndarray:
    """Points [1000, 2] of the hairline, azimuth (radians) and template y, corners rounded."""
    at = np.linspace(0, 180, 1000)
    values = np.interp(at, _LINE_AT, _LINE)
    window = np.hanning(41)
    padded = np.pad(values, 20, mode="edge")
    return np.stack([np.radians(at), np.convolve(padded, window / window.sum(), "valid")], axis=-1)


def azimuth(rest: np.ndarray) -> np.ndarray:
    """Angle [...] of places [..., 3] on the template around the head, 0 in front, pi behind, the same on both sides."""
    return np.arctan2(np.abs(rest[..., 0]), rest[..., 2] - _AXIS)


def inside_hairline(rest: np.ndarray) -> np.ndarray:
    """Signed distance [...] (template units) of places [..., 3] from the template's hairline, positive on the scalp."""
    line = _line()
    radius = 0.85  # of the head, to compare angles with heights
    around, y = azimuth(rest), rest[..., 1]
    flat = np.stack([around.ravel() * radius, y.ravel()], axis=-1)
    nodes = line[::8] * np.array([radius, 1.0])
    square = ((flat[:, None, :] - nodes[None]) ** 2).sum(axis=-1).min(axis=1)
    above = flat[:, 1] > np.interp(flat[:, 0] / radius, line[:, 0], line[:, 1])
    return (np.sqrt(square) * np.where(above, 1, -1)).reshape(around.shape).astype(np.float32)


@cache
def _template_hairline() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`inside_hairline` and azimuth of fine template vertices [N], and whether they can carry hair at all."""
    mesh = template()
    body = np.zeros(len(mesh.rest), bool)
    body[mesh.piece_vertices["body"]] = True
    usable = body & (mesh.rest[:, 1] > 6.5) & (mesh.rest[:, 2] < 1.45)
    inside = np.full(len(mesh.rest), -9, np.float32)
    inside[usable] = inside_hairline(mesh.rest[usable])
    usable &= mesh.masks["ears"] < 0.15
    return inside, azimuth(mesh.rest), usable


def recession(identity: Identity) -> float:
    """How far the hairline of men has gone back, template units at the temples."""
    male = np.clip(1.6 * (1 - identity.female) - 0.6, 0, 1)
    return float(male * (0.06 + 0.5 * np.clip(identity.age - 0.30, 0, 0.6) * (0.4 + identity.hair_pattern)))


def _shift(identity: Identity, bust: Bust, around: np.ndarray) -> np.ndarray:
    """How far the identity's hairline lies above the template's [...], by azimuth, template units."""
    front = np.exp(-((around / math.radians(36)) ** 4))
    temple = np.exp(-(((around - math.radians(30)) / math.radians(14)) ** 2))
    return front * np.float32(identity.hairline / bust.scale) + np.float32(recession(identity)) * (
        temple + 0.45 * front
    )


def scalp_depth(identity: Identity, bust: Bust) -> np.ndarray:
    """How far inside the identity's hairline fine vertices lie [N] float32, template units; negative outside."""
    inside, around, usable = _template_hairline()
    depth = inside - _shift(identity, bust, around)
    if identity.female > 0.5:  # no sideburns
        sideburn = np.exp(-(((around - math.radians(62)) / math.radians(9)) ** 2)) * (
            template().rest[:, 1] < 7.5
        )
        depth = depth - np.float32(0.10) * sideburn
    return np.where(usable, depth, -9).astype(np.float32)


def ramp(low: float, high: float, x: np.ndarray | float) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((np.asarray(x) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass
class Style:
    """A head of hair before it grows.

    Attributes:
        combing: of every strand.
        points: of a strand.
        clump: 0..1, how closely the tips of a lock gather.
        clump_power: exponent of the gathering along a strand.
        radius, waves, flat, curl_begin: of curls, see strand_growth.curl; radius in world units.
        tidy: 0..1, how much less than usual strands stray.
        width: world, at the root.
        tip: share of the width that is left at the tip.
    """

    combing: Combing
    points: int = 12
    clump: float = 0.6
    clump_power: float = 1.0
    radius: float = 0.0
    waves: np.ndarray | float = 0.0
    flat: float = 0.0
    curl_begin: float = 0.05
    tidy: float = 0.0
    width: float = 0.00125
    tip: float = 0.35


@dataclass(frozen=True)
class Rooted:
    """What styling is decided by: n roots, and noise that the hairs of a lock share.

    Attributes:
        identity, bust: whose hair.
        roots: n of them.
        around: [n] azimuth, radians (see `azimuth`).
        side: [n] +1 left of the parting, -1 right of it.
        lock: [n, 4] normal noise that a lock shares; wisp: [n, 4] that several neighbouring locks share.
        own: [n, 4] normal noise of the strand.
        depth: [n] template units inside the identity's hairline.
    """

    identity: Identity
    bust: Bust
    roots: Roots
    around: np.ndarray
    side: np.ndarray
    lock: np.ndarray
    wisp: np.ndarray
    own: np.ndarray
    depth: np.ndarray

    @property
    def up(self) -> np.ndarray:
        """[n] template y of the roots."""
        return self.roots.rest[:, 1]

    @property
    def front(self) -> np.ndarray:
        """[n] 0..1, the part of the scalp that is combed over the forehead or away from it."""
        return ramp(0.55, 1.0, self.roots.rest[:, 2]) * ramp(7.75, 7.95, self.up)

    @property
    def top(self) -> np.ndarray:
        """[n] 0..1, above the sides that clippers shorten."""
        return ramp(7.85, 8.08, self.up)

    def length(self, base: np.ndarray | float, lock: float = 0.10, own: float = 0.06) -> np.ndarray:
        """Lengths [n] around `base`, longer or shorter by `identity.hair_length`."""
        spread = 1 + lock * self.lock[:, 0] + own * self.own[:, 0]
        return (base * np.exp(0.35 * self.identity.hair_length) * spread.clip(0.4, 1.5)).astype(np.float32)

    def world(self, x: float, y: float, z: float) -> np.ndarray:
        """World point [3] of a template point on this head."""
        return world_point(self.bust, x, y, z)


_EYES = np.array([0.0, 7.284, 1.235])  # template: between the eyes' centres


def world_point(bust: Bust, x: float, y: float, z: float) -> np.ndarray:
    """World point [3] of a template point, measured from the eyes (an identity's targets move it a little)."""
    return bust.eye_centres.mean(axis=0) + bust.scale * (np.array([x, y, z]) - _EYES)


def rest_of(bust: Bust, points: np.ndarray) -> np.ndarray:
    """Template points of world points [..., 3]: the inverse of `world_point`."""
    return (points - bust.eye_centres.mean(axis=0)) / bust.scale + _EYES


def depth_at(identity: Identity, bust: Bust, rest: np.ndarray) -> np.ndarray:
    """How far inside the identity's hairline template points [..., 3] lie, template units."""
    return inside_hairline(rest) - _shift(identity, bust, azimuth(rest))


def tangential(directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Directions [n, 3] without their part along the normals, unit."""
    flat = directions - (directions * normals).sum(axis=-1, keepdims=True) * normals
    return flat / (np.sqrt((flat * flat).sum(axis=-1, keepdims=True)) + 1e-6)


def _vector(count: int, x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(a, np.float32), count) for a in (x, y, z)], axis=-1)


def _from_whorl(r: Rooted, x: float = 0.12, swirl: float = 0.25) -> np.ndarray:
    """Unit directions [n, 3] away from the crown, a little round it: how hair grows."""
    sign = -1.0 if r.identity.hair_part > 0 else 1.0
    away = r.roots.rest - np.array([sign * x, 8.36, -0.02], np.float32)
    flat = tangential(away, r.roots.normals)
    round_ = np.cross(r.roots.normals, flat)
    return tangential(
        flat + sign * swirl * round_ + 0.16 * r.lock[:, :3] + 0.10 * r.wisp[:, :3], r.roots.normals
    )


def _combing(r: Rooted, early: np.ndarray, **changes: np.ndarray | float) -> Combing:
    values: dict[str, np.ndarray | float] = {
        "early": early, "late": early, "turn": np.array([0.3, 1.0], np.float32), "tie": np.zeros(3, np.float32),
        "tied": 0.0, "rise": 0.35, "inertia": 0.6, "gravity": 0.4, "length": 0.05, "lift": 0.008, "cling": 0.0,
        "floor": -9.0, "window": 0.0,
    }  # fmt: skip
    return Combing(**(values | changes))  # pyright: ignore[reportArgumentType]


def _lift(r: Rooted, base: np.ndarray | float, spread: float = 0.35) -> np.ndarray:
    """Heights [n] above the skin: by `hair_volume`, and different for every lock so that they overlap."""
    noise = 1 + spread * (0.6 * r.wisp[:, 3] + 0.5 * r.lock[:, 3]) + 0.12 * r.own[:, 3]
    return (base * r.identity.hair_volume * noise.clip(0.25, 2.0)).astype(np.float32)


def _above_brows(r: Rooted) -> np.ndarray:
    """World heights [n] below which hair from the forehead is cut."""
    over_face = (r.around < 0.95) & (r.up > 7.5)
    return np.where(over_face, r.world(0.0, 7.66, 1.4)[1] + 0.012 * r.lock[:, 2] + 0.004 * r.own[:, 2], -9.0)


def _buzz(r: Rooted) -> Style:
    early = _from_whorl(r, swirl=0.3) + 0.3 * r.own[:, :3]
    length = r.length(0.009 + 0.004 * r.top, lock=0.0, own=0.15)
    comb = _combing(r, early, rise=0.55, length=length, lift=0.006, gravity=0.1, inertia=0.8)
    return Style(comb, points=4, clump=0.0, width=0.0010, tidy=0.6, tip=0.5)


def _short(r: Rooted) -> Style:
    """Scissored on top, combed forward and aside; clippered round the ears."""
    lean = 0.5 * np.sign(r.identity.hair_part)
    early = _from_whorl(r, swirl=0.35) + r.front[:, None] * np.array([lean, 0.0, 0.1], np.float32)
    length = r.length(0.022 + 0.012 * ramp(7.4, 7.85, r.up) + 0.045 * r.top + 0.012 * r.front, 0.16)
    lift = _lift(r, 0.007 + 0.018 * r.top, 0.40)
    comb = _combing(
        r, early, rise=0.42 + 0.08 * r.lock[:, 1] * r.top, length=length, lift=lift, gravity=0.40, inertia=0.62,
        floor=_above_brows(r),
    )  # fmt: skip
    return Style(comb, points=9, clump=0.58, clump_power=0.9, tidy=0.2)


def _side_part(r: Rooted) -> Style:
    """Parted at the side, the longer top combed over and back."""
    aside = r.side
    early = tangential(
        _vector(len(aside), aside * (1.0 * r.top + 0.15), -0.35 * (1 - r.top), -0.42 * r.top + 0.05)
        + 0.12 * r.lock[:, :3]
        + 0.1 * r.wisp[:, :3],
        r.roots.normals,
    )
    # The hair at the forehead rises before it falls aside.
    length = r.length(0.026 + 0.012 * ramp(7.4, 7.85, r.up) + 0.11 * r.top, 0.10)
    lift = _lift(r, 0.007 + 0.017 * r.top + 0.012 * r.front, 0.32)
    comb = _combing(
        r, early, late=early + _vector(len(aside), 0, -0.5 * r.top, -0.35), rise=0.25 + 0.40 * r.front, length=length,
        lift=lift, gravity=0.32, inertia=0.68, cling=0.12,
    )  # fmt: skip
    return Style(comb, points=12, clump=0.62, tidy=0.35)


def _slick_back(r: Rooted) -> Style:
    back = _vector(
        len(r.side),
        0.30 * np.sign(r.roots.rest[:, 0]) * (1 - r.top),
        -0.40 * (1 - r.top) + 0.1 * r.front,
        -1.0,
    )
    early = tangential(back + 0.07 * r.lock[:, :3] + 0.06 * r.wisp[:, :3], r.roots.normals)
    length = r.length(0.045 + 0.02 * ramp(7.4, 7.85, r.up) + 0.12 * r.top, 0.06)
    lift = _lift(r, 0.007 + 0.012 * r.top + 0.006 * r.front, 0.35)
    comb = _combing(
        r, early, late=early + _vector(len(r.side), 0, -0.5, 0), rise=0.15 + 0.25 * r.front, length=length, lift=lift,
        gravity=0.15, inertia=0.6, cling=0.2,
    )  # fmt: skip
    return Style(comb, points=12, clump=0.7, clump_power=0.7, tidy=0.6)


def _quiff(r: Rooted) -> Style:
    """Short sides; the front stands up and rolls back."""
    lean = 0.35 * np.sign(r.identity.hair_part)
    early = _from_whorl(r) * (1 - r.top[:, None])
    early = (
        early
        + _vector(len(r.side), lean * r.top, 0.75 * r.top, -0.2 * r.top + 0.35 * r.front)
        + 0.13 * r.lock[:, :3]
    )
    late = (
        _vector(len(r.side), lean, -0.05 * r.top - 0.4 * (1 - r.top), -1.0 * r.top - 0.2)
        + 0.2 * r.lock[:, :3]
    )
    length = r.length(0.020 + 0.010 * ramp(7.4, 7.85, r.up) + 0.055 * r.top + 0.055 * r.front, 0.14)
    lift = _lift(r, 0.006 + 0.017 * r.top + 0.020 * r.front, 0.4)
    comb = _combing(
        r, early, late=late, turn=np.array([0.25, 0.75], np.float32), rise=0.35 + 0.35 * r.top, length=length,
        lift=lift, gravity=0.2, inertia=0.66,
    )  # fmt: skip
    return Style(comb, points=12, clump=0.7, clump_power=0.8)


def _fringe(r: Rooted) -> Style:
    """A bowl of hair to the ears or the chin with a fringe above the brows."""
    short = r.identity.female < 0.5
    brow = r.world(0.0, 7.60, 1.4)[1]
    forward = _from_whorl(r, swirl=0.15)
    early = forward + r.front[:, None] * _vector(len(r.side), 0.12 * np.sign(r.identity.hair_part), 0, 0.6)
    floor = (
        brow
        + 0.006
        + 0.008 * r.lock[:, 2]
        + 0.004 * r.own[:, 2]
        - 0.035 * ramp(0.10, 0.16, np.abs(r.roots.points[:, 0]))
    )
    in_fringe = (r.front > 0.3) & (np.abs(r.roots.rest[:, 0]) < 0.62)
    sides = (
        (r.world(0, 7.0, 1)[1] if short else r.world(0, 6.3, 1)[1])
        + 0.008 * r.lock[:, 2]
        + 0.05 * -r.identity.hair_length
    )
    base = np.where(in_fringe, 0.20, (0.11 if short else 0.45)) + 0.10 * r.top
    lift = _lift(r, 0.009 + 0.015 * r.top, 0.35)
    comb = _combing(
        r, early, late=early * 0.3 + _vector(len(r.side), -0.12 * np.sign(r.roots.rest[:, 0]), -0.6, 0), rise=0.2,
        turn=np.array([0.1, 0.5], np.float32), length=r.length(base, 0.05), lift=lift, gravity=0.8, inertia=0.5,
        cling=0.25,
        floor=np.where(in_fringe, floor, sides), window=np.where(in_fringe, 0.0, 1.0),
    )  # fmt: skip
    return Style(comb, points=12 if short else 15, clump=0.55, tidy=0.25)


def _falling(r: Rooted, lift: np.ndarray, floor: np.ndarray, length: float) -> Combing:
    """Parted hair that falls down both sides of the face."""
    count = len(r.side)
    aside = _vector(count, r.side * 1.0, -0.1, -0.55 * r.front - 0.10)
    # Away from the parting the crown's own direction wins.
    share = ramp(0.35, -0.15, r.roots.rest[:, 2])[:, None]
    early = aside * (1 - share) + share * _from_whorl(r) + 0.06 * r.lock[:, :3] + 0.07 * r.wisp[:, :3]
    early = tangential(early, r.roots.normals)
    # Some locks come to lie before the shoulder, some behind it; all close in on the neck.
    drift = 0.06 * r.lock[:, 1] + 0.12 * r.wisp[:, 1] + 0.04
    late = _vector(count, -0.10 * r.side * (r.around < 2.4) + 0.03 * r.lock[:, 0], -1.0, drift)
    return _combing(
        r, early, late=late, turn=np.array([0.08, 0.30], np.float32), rise=0.30, length=r.length(length, 0.05),
        lift=lift, gravity=0.6, inertia=0.70, cling=0.06, floor=floor,
        window=1.0 + 0.07 * r.wisp[:, 2] + 0.03 * r.lock[:, 2],
    )  # fmt: skip


def _bob(r: Rooted) -> Style:
    end = r.world(0, 6.42, 1)[1] - 0.05 * r.identity.hair_length
    floor = end + 0.006 * r.lock[:, 2] + 0.004 * r.own[:, 2] - 0.02 * ramp(0.2, 0.9, r.roots.rest[:, 2])
    comb = _falling(r, _lift(r, 0.012 + 0.020 * r.top, 0.4), floor, 0.55)
    return Style(comb, points=15, clump=0.5, radius=0.004, waves=1.2, flat=0.6, tidy=0.5)


def _long(r: Rooted) -> Style:
    floor = r.world(0, 5.3, 1)[1] - 0.1 * r.identity.hair_length + 0.03 * r.lock[:, 2] + 0.02 * r.own[:, 2]
    comb = _falling(r, _lift(r, 0.012 + 0.020 * r.top, 0.4), floor, 0.80)
    return Style(
        comb,
        points=16,
        clump=0.55,
        width=0.0014,
        radius=0.006,
        waves=1.5,
        flat=0.5,
        curl_begin=0.2,
        tidy=0.55,
    )


def _long_wavy(r: Rooted) -> Style:
    floor = r.world(0, 5.5, 1)[1] - 0.1 * r.identity.hair_length + 0.04 * r.lock[:, 2] + 0.02 * r.own[:, 2]
    comb = _falling(r, _lift(r, 0.016 + 0.024 * r.top, 0.45), floor, 0.75)
    waves = 4.2 * (1 + 0.08 * r.lock[:, 1])
    return Style(
        comb,
        points=26,
        clump=0.75,
        clump_power=0.6,
        radius=0.015,
        waves=waves,
        flat=0.45,
        curl_begin=0.12,
        tidy=0.6,
        width=0.0014,
    )


def _curly(r: Rooted) -> Style:
    """Loose ringlets to the jaw, or above the ears on men."""
    male = r.identity.female < 0.5
    early = _from_whorl(r) + 0.35 * r.lock[:, :3] + r.front[:, None] * np.array([0.0, 0.1, -0.2], np.float32)
    length = (0.06 + 0.07 * r.top) if male else (0.22 + 0.10 * r.top)
    floor = _above_brows(r) if male else r.world(0, 6.25, 1)[1] + 0.03 * r.lock[:, 2]
    lift = _lift(r, 0.014 + (0.030 if male else 0.035) * r.top, 0.6)
    comb = _combing(
        r, early, rise=0.55 if male else 0.4, length=r.length(length, 0.14), lift=lift,
        gravity=0.25 if male else 1.0, inertia=0.6 if male else 0.5,
        floor=floor, window=0.0 if male else 1.0,
    )  # fmt: skip
    waves = (2.6 if male else 4.8) * (1 + 0.12 * r.lock[:, 1])
    return Style(
        comb, points=16 if male else 20, clump=0.82, clump_power=0.55, radius=0.0095, waves=waves, tidy=0.5
    )


def _afro(r: Rooted) -> Style:
    """A ball of tight coils."""
    out = r.roots.normals + 0.30 * r.lock[:, :3] + 0.22 * r.own[:, :3] + np.array([0, 0.12, 0], np.float32)
    size = 0.115 * r.identity.hair_volume * math.exp(0.5 * r.identity.hair_length)
    shape = ramp(-0.02, 0.55, r.depth) * (0.75 + 0.25 * ramp(7.2, 8.0, r.up)) + 0.22
    length = size * shape * (1 + 0.05 * r.lock[:, 0] - np.abs(0.22 * r.own[:, 0])).clip(0.2, 1.3)
    comb = _combing(r, out, rise=0.7, length=length.astype(np.float32), lift=0.0, gravity=0.04, inertia=0.85)
    waves = 4.0 * (1 + 0.2 * r.own[:, 1])
    return Style(comb, points=16, clump=0.45, radius=0.0065, waves=waves, tidy=-0.8, tip=0.7, curl_begin=-0.1)


def _tied_back(r: Rooted, tie: np.ndarray) -> Combing:
    """Pulled over the head to a band at `tie` [3]."""
    towards = tangential(tie.astype(np.float32) - r.roots.points, r.roots.normals)
    # Pulled tight, yet combed back first: no hair crosses the forehead.
    early = tangential(towards + 0.05 * r.lock[:, :3] + 0.05 * r.wisp[:, :3], r.roots.normals)
    reach = np.sqrt(((tie - r.roots.points) ** 2).sum(axis=-1))
    lift = _lift(r, 0.006 + 0.010 * r.top, 0.5)
    spread = 0.010 * r.lock[:, :3] + 0.004 * r.own[:, :3]
    return _combing(
        r, early, rise=0.12, tie=(tie + spread).astype(np.float32), tied=0.75,
        length=(1.55 * reach + 0.02).astype(np.float32), lift=lift, gravity=0.0, inertia=0.5, cling=0.2,
    )  # fmt: skip


def bun_place(identity: Identity, bust: Bust) -> np.ndarray:
    """World point [3] of the band of a bun: on the crown, or at the back of the head."""
    return (
        world_point(bust, 0.0, 8.42, -0.10)
        if identity.hair_pattern > 0.5
        else world_point(bust, 0.0, 7.75, -0.46)
    )


def tail_place(identity: Identity, bust: Bust) -> np.ndarray:
    """World point [3] of the band of a ponytail."""
    return (
        world_point(bust, 0.0, 8.15, -0.40)
        if identity.hair_pattern > 0.5
        else world_point(bust, 0.0, 7.6, -0.56)
    )


def braid_places(bust: Bust) -> np.ndarray:
    """World points [2, 3] where two plaits begin, behind the ears, the subject's left first."""
    return np.stack([world_point(bust, side * 0.74, 6.95, 0.05) for side in (1.0, -1.0)])


def cornrowed(identity: Identity) -> bool:
    """Whether braids are cornrows, and not two plaits."""
    return HAIR_STYLES[identity.hair_style] == "braids" and identity.african > 0.35


def _bun(r: Rooted) -> Style:
    return Style(_tied_back(r, bun_place(r.identity, r.bust)), points=13, clump=0.35, tidy=0.7)


def _ponytail(r: Rooted) -> Style:
    return Style(_tied_back(r, tail_place(r.identity, r.bust)), points=13, clump=0.35, tidy=0.7)


def _braids(r: Rooted) -> Style:
    """Parted in the middle and pulled to two plaits."""
    places = braid_places(r.bust).astype(np.float32)
    tie = np.where(r.side[:, None] > 0, places[0], places[1])
    comb = _tied_back(r, tie)
    aside = _vector(len(r.side), r.side * 0.9, -0.1, -0.35)
    comb.early = tangential(aside + 0.05 * r.lock[:, :3], r.roots.normals)
    comb.tied = 0.55
    comb.gravity = 0.1
    return Style(comb, points=14, clump=0.4, tidy=0.6)


def _bald(r: Rooted) -> Style:
    """What is left around the head of an older man."""
    early = _from_whorl(r) + _vector(len(r.side), 0.0, -0.3, -0.3)
    comb = _combing(r, early, rise=0.3, length=r.length(0.022, 0.2), lift=_lift(r, 0.006), gravity=0.4)
    return Style(comb, points=6, clump=0.5, tip=0.4, width=0.0011)


STYLES: dict[str, Callable[[Rooted], Style]] = dict(
    zip(
        HAIR_STYLES,
        (
            _bald, _buzz, _short, _side_part, _slick_back, _quiff, _fringe, _bob, _long, _long_wavy, _curly, _afro,
            _bun, _ponytail, _braids,
        ),
        strict=True,
    )
)  # fmt: skip
# Locks that the hair falls into, and strands on the scalp.
LOCKS = {
    "bald": 260, "buzz": 60, "short": 750, "side-part": 480, "slick-back": 420, "quiff": 600, "fringe": 480,
    "bob": 420, "long": 400, "long-wavy": 300, "curly": 520, "afro": 800, "bun": 320, "ponytail": 320, "braids": 320,
}  # fmt: skip
STRANDS = {
    "bald": 2600, "buzz": 9000, "short": 7500, "side-part": 6500, "slick-back": 6500, "quiff": 7000, "fringe": 6000,
    "bob": 5200, "long": 5200, "long-wavy": 4300, "curly": 5500, "afro": 7500,
    "bun": 5000, "ponytail": 4600, "braids": 4600,
}  # fmt: skip


def hatted(identity: Identity) -> bool:
    """Whether something sits on the hair."""
    return HATS[identity.hat] != "none"


def flatten(style: Style, rooted: Rooted) -> None:
    """Press what grows under a hat to the head; in place."""
    comb = style.combing
    under = ramp(7.55, 7.75, rooted.up).astype(np.float32)
    comb.lift = (1 - under) * comb.lift + under * np.minimum(comb.lift, 0.008)
    comb.rise = (1 - under) * comb.rise + under * np.minimum(comb.rise, 0.15)
    comb.cling = np.maximum(comb.cling, 0.5 * under)
    comb.gravity = np.maximum(comb.gravity, 0.5 * under)
    style.radius *= 0.6
