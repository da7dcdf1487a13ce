"""From an identity to the numbers and frontal maps that the implicit surface and the shading read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ssgan_core.heads import hairstyles, primitives
from ssgan_core.heads.sampler import EARRINGS, GLASSES, HATS, NECKLINES, Identity

_X = (primitives.MAP_X0 + primitives.MAP_STEP * np.arange(primitives.MAP_COLUMNS))[None, :].astype(np.float32)
_Y = (primitives.MAP_Y0 + primitives.MAP_STEP * np.arange(primitives.MAP_ROWS))[:, None].astype(np.float32)
_AX = np.abs(_X)


@dataclass(frozen=True)
class Sculpture:
    """What the kernels read.

    Attributes:
        numbers: a NumPy record of named float64 values.
        maps: frontal maps [9, MAP_ROWS, MAP_COLUMNS], float32.
        blobs: ellipsoids of the hair style [n, 7], float64.
    """

    numbers: np.void
    maps: np.ndarray
    blobs: np.ndarray


@lru_cache(maxsize=4)
def sculpt(identity: Identity) -> Sculpture:
    """The sculpture of one identity; a few are remembered, so that several views of one head share it."""
    numbers = _measures(identity)
    style = hairstyles.style(identity)
    numbers |= style.numbers
    numbers |= _colours(identity)
    maps = np.zeros((9, primitives.MAP_ROWS, primitives.MAP_COLUMNS), np.float32)
    eyes = _eye_gap(identity, numbers)
    lips, gap, line = _mouth(identity, numbers)
    maps[primitives.EYE_GAP] = eyes
    maps[primitives.BROW] = _brows(identity, numbers)
    maps[primitives.LIPS] = lips
    maps[primitives.MOUTH_GAP] = gap
    maps[primitives.NOSE_AREA] = _nose_area(identity, numbers)
    maps[primitives.FACE_GAP] = _distance(style.face_gap(_X, _Y))
    maps[primitives.RELIEF] = _relief(identity, numbers, lips, gap, line)
    maps[primitives.REDNESS] = _redness(identity, numbers)
    maps[primitives.SHADE] = _shade(identity, numbers, eyes, lips)
    record = np.zeros((), np.dtype([(name, np.float64) for name in numbers]))
    for name, value in numbers.items():
        record[name] = value
    return Sculpture(record.reshape(1)[0], maps, style.blobs)


def _measures(one: Identity) -> dict[str, float]:
    eye_x = 0.083 * one.eye_spacing
    half_width = 0.187 * one.head_width
    nose_y = -0.030 - one.nose_length
    nose_z = 0.135 + 0.052 * one.nose_forward
    tip = 0.0225 * one.nose_tip
    wing = 0.0205 * (0.5 + 0.5 * one.nose_tip)
    ear_y = 0.026
    return {
        "head_half_width": half_width,
        "head_y": 0.06,
        "head_z": -0.06,
        "head_up": 0.245 * one.head_height,
        "head_down": 0.262 + one.chin_length,
        "head_front": 0.213,
        "head_back": 0.225,
        "squareness": -0.42,
        "jaw_top": 0.06,
        "jaw_taper": 0.36 - 0.75 * (one.jaw_width - 1.0),
        "jaw_forward": 0.137 + one.chin_forward,
        "nasion_y": 0.070,
        "nasion_z": 0.1335 + 0.012 * (one.nose_bridge - 1.0),
        "nose_y": nose_y,
        "nose_z": nose_z,
        "bridge_radius": 0.0165 * (0.7 + 0.3 * one.nose_width),
        "tip_radius": tip,
        "wing_x": 0.0325 * one.nose_width,
        "wing_y": nose_y - 0.009,
        "wing_z": 0.163,
        "wing_radius": wing,
        "nostril_y": nose_y - 0.0245 * one.nose_tip,
        "nostril_z": 0.172,
        "eye_x": eye_x,
        "eye_y": 0.066,
        "eye_z": 0.0850,
        "eye_radius": 0.052,
        "eye_half_width": 0.0415 * one.eye_size,
        "eye_open": 0.0158 * one.eye_size * one.eye_open,
        "iris_radius": 0.0190 * (0.5 + 0.5 * one.eye_size),
        "gaze_yaw": one.gaze_yaw,
        "gaze_pitch": one.gaze_pitch,
        "mouth_y": -0.098 + one.mouth_height - 0.5 * one.nose_length,
        "mouth_half_width": 0.058 * one.mouth_width * (1.0 + 0.10 * one.smile),
        "ear_x": half_width + 0.006,
        "ear_y": ear_y,
        "ear_z": -0.078,
        "ear_size": one.ear_size,
        "ear_cos": float(np.cos(one.ear_angle)),
        "ear_sin": float(np.sin(one.ear_angle)),
        "temple_x": half_width + 0.003,
        "neck_radius": 0.112 * one.neck_width,
        "body_y": -0.505 + one.shoulder_height,
        "collar_kind": float(NECKLINES.index("crew") if one.neckline == 4 else one.neckline),
        "collar_width": 0.19 if NECKLINES[one.neckline] == "wide" else 0.142 * (0.5 + 0.5 * one.neck_width),
        "collar_y": -0.270 + one.shoulder_height,
        "glasses_kind": float(one.glasses),
        "glasses_z": 0.187,
        "hat_kind": float(one.hat),
        "hat_y": 0.155 if HATS[one.hat] == "beanie" else 0.170,
        "hat_tilt": -0.10 if HATS[one.hat] == "beanie" else -0.05,
        "hat_thickness": 0.030 if HATS[one.hat] == "beanie" else 0.026,
        "earring_kind": float(one.earrings),
        "lobe_x": half_width + (0.026 if EARRINGS[one.earrings] != "stud" else 0.022),
        "lobe_y": ear_y - 0.067 * one.ear_size,
        "lobe_z": -0.058,
        "part_x": one.hair_part,
        "phase": one.hair_pattern,
        "sunglasses": float(GLASSES[one.glasses] == "sunglasses"),
    }


def _colours(one: Identity) -> dict[str, float]:
    """Colours of the record: each a triple name_r, name_g, name_b in linear light."""
    skin = np.array([one.skin_r, one.skin_g, one.skin_b])
    hair = np.array([one.hair_r, one.hair_g, one.hair_b])
    rosy = skin * np.array([0.86, 0.52, 0.52])
    red = np.array([0.46, 0.055, 0.065]) * (0.45 + 0.9 * float(skin.mean()) ** 0.5)
    colours = {
        "skin": skin**1.06 * 0.84,
        "lip": rosy + one.lip_redness * (red - rosy),
        "brow": np.minimum(hair * one.brow_shade, skin * 0.5),
        "hair": hair,
        "iris": np.array([one.iris_r, one.iris_g, one.iris_b]),
        "cloth": np.array([one.cloth_r, one.cloth_g, one.cloth_b]),
        "trim": np.array([one.trim_r, one.trim_g, one.trim_b]),
        "hat": np.array([one.hat_r, one.hat_g, one.hat_b]),
        "back": np.array([one.back_r, one.back_g, one.back_b]),
        "back2": np.array([one.back2_r, one.back2_g, one.back2_b]),
    }
    numbers = {
        "pattern": float(one.pattern),
        "background": float(one.background),
        "freckles": one.freckles,
        "lashes": one.lashes,
        "strand_scale": one.hair_strands,
        "contrast": one.contrast,
        "light_x": float(np.sin(one.light_yaw) * np.cos(one.light_pitch)),
        "light_y": float(np.sin(one.light_pitch)),
        "light_z": float(np.cos(one.light_yaw) * np.cos(one.light_pitch)),
        "warmth": one.light_warmth,
    }
    for name, colour in colours.items():
        numbers |= {f"{name}_{channel}": float(value) for channel, value in zip("rgb", colour, strict=True)}
    return numbers


def _eye_gap(one: Identity, numbers: dict[str, float]) -> np.ndarray:
    """Distance to the almond between the lids, negative inside."""
    half, opening = numbers["eye_half_width"], numbers["eye_open"]
    dx = _AX - numbers["eye_x"]
    dy = _Y - numbers["eye_y"] - one.eye_tilt * dx
    s = dx / half
    squint = 1.0 - 0.18 * max(one.smile, 0.0)
    upper = opening * 1.05 * (1.0 - np.abs(s + 0.10 * (1 - s * s)) ** 2.3)
    lower = -opening * 0.78 * squint * (1.0 - np.abs(s - 0.12 * (1 - s * s)) ** 2.1)
    return _distance(np.maximum(dy - upper, lower - dy))


def _brows(one: Identity, numbers: dict[str, float]) -> np.ndarray:
    """Distance to the brows, negative inside: thick near the nose, tapering to the temple."""
    dx = _AX - numbers["eye_x"]
    s = dx / 0.056
    middle = 0.066 + 0.0475 + one.brow_height + 0.02 * (one.eye_open - 1.0)
    curve = middle + one.brow_angle * dx + 0.0075 * one.brow_arch * (1.0 - ((s - 0.25) / 1.1) ** 2)
    half = (
        0.0078 * one.brow_thickness * (0.95 - 0.38 * s) * np.sqrt(np.clip(1.0 - np.abs(s) ** 3.5, 0.0, 1.0))
    )
    return _distance(np.maximum(np.abs(_Y - curve) - half, (np.abs(s) - 1.0) * 0.05))


def _mouth(one: Identity, numbers: dict[str, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the lips' outline, to the opening between them, and the height above the mouth line."""
    s = _X / numbers["mouth_half_width"]
    bow = np.clip(1.0 - np.abs(s) ** 2, 0.0, None)
    line = numbers["mouth_y"] + 0.016 * one.smile * (s * s - 0.4) - 0.003 * np.exp(-((s / 0.16) ** 2))
    spread = 0.0125 * max(one.mouth_open - 0.15, 0.0)
    thin = 1.0 - 0.12 * max(one.smile, 0.0)
    upper = (
        0.0195
        * one.lip_fullness
        * thin
        * (1.0 - np.abs(s) ** 1.7)
        * (1.0 - 0.24 * np.exp(-((s / 0.17) ** 2)))
    )
    upper = upper + 0.55 * spread * bow
    lower = -(0.0255 * one.lip_fullness * thin * (1.0 - np.abs(s) ** 2.3) + 1.15 * spread * bow)
    height = _Y - line
    outline = _distance(np.maximum(height - upper, lower - height))
    inner = np.maximum(height - 0.55 * spread * bow, -1.15 * spread * bow - height)
    gap = _distance(np.where(np.abs(s) < 1, inner, np.maximum(inner, 0.002)))
    if spread == 0:  # closed: the distance to the seam, never inside
        gap = np.hypot(height, np.maximum(_AX - 0.97 * numbers["mouth_half_width"], 0.0)) + 0.0002
    return outline, gap, height


def _nose_area(one: Identity, numbers: dict[str, float]) -> np.ndarray:
    """Distance to the trapezium that the label class covers, negative inside."""
    top, bottom = 0.070, numbers["nose_y"] - 0.033
    t = np.clip((top - _Y) / (top - bottom), 0.0, 1.0)
    wing = numbers["wing_x"] + numbers["wing_radius"] * 0.95
    half = 0.016 + (wing - 0.016) * t**1.8
    return _distance(np.maximum(_AX - half, np.maximum(_Y - top, bottom + 3.5 * _AX**2 - _Y)))


def _relief(
    one: Identity, numbers: dict[str, float], lips: np.ndarray, gap: np.ndarray, line: np.ndarray
) -> np.ndarray:
    """Forward displacement of the skin over the plain head, world units."""
    eye_x, eye_y, mouth_y = numbers["eye_x"], numbers["eye_y"], numbers["mouth_y"]
    relief = 0.016 * _bump(0.0, 0.205, 0.15, 0.07)  # forehead
    relief = relief + 0.010 * one.brow_ridge * _bump(0.075, 0.112, 0.06, 0.020)
    relief -= 0.0235 * _bump(eye_x - 0.004, eye_y + 0.002, 0.042, 0.028)  # sockets
    relief -= 0.007 * _bump(0.030, 0.068, 0.020, 0.03)
    relief += 0.0105 * one.cheekbones * _bump(0.118, 0.012, 0.042, 0.030)
    relief += (0.006 + 0.005 * one.cheek_fullness) * _bump(0.098, -0.060, 0.045, 0.045)
    relief += 0.006 * max(one.smile, 0.0) * _bump(0.092, -0.022, 0.030, 0.024)
    relief += 0.014 * _bump(0.0, mouth_y + 0.01, 0.058, 0.040)  # muzzle
    relief -= 0.004 * _bump(0.0, mouth_y + 0.036, 0.008, 0.018)  # philtrum
    relief -= 0.010 * _bump(0.0, mouth_y - 0.042, 0.05, 0.014)  # below the lower lip
    relief += 0.017 * _bump(0.0, -0.172 - one.chin_length, 0.048, 0.030)  # chin
    corner = numbers["mouth_half_width"] * 1.10
    relief -= 0.0045 * _bump(corner, mouth_y + 0.008 * one.smile, 0.012, 0.014)
    fold = _AX - (0.045 + 0.30 * np.clip(-0.030 - _Y, 0.0, 0.08) * 1.0)
    relief -= (
        0.0030
        * (0.5 + max(one.smile, 0.0))
        * np.exp(-((fold / 0.011) ** 2))
        * _window(_Y, -0.088, -0.035, 0.02)
    )
    inside = np.clip(-lips / 0.009, 0.0, 1.0)
    pout = np.where(line > 0, 0.0070, 0.0095) * one.lip_fullness
    relief += pout * np.sin(inside * np.pi / 2) + 0.001 * np.exp(-((lips / 0.003) ** 2))
    wet = np.exp(-((line / 0.0035) ** 2)) if (gap > 0).all() else 0.0
    relief -= 0.0075 * wet * np.clip(-lips / 0.004 + 0.3, 0.0, 1.0)
    relief -= 0.011 * np.clip(-gap / 0.003, 0.0, 1.0)
    crease = _Y - eye_y - numbers["eye_open"] * 1.05 - 0.0095 + 5.5 * (_AX - eye_x) ** 2
    relief -= (
        0.0020 * one.eye_fold * np.exp(-((crease / 0.0035) ** 2)) * _bump(eye_x, eye_y + 0.02, 0.032, 0.03)
    )
    return relief


def _redness(one: Identity, numbers: dict[str, float]) -> np.ndarray:
    """Blood under the skin: cheeks, nose, ears, chin; 0..1."""
    red = 0.75 * _bump(0.108, -0.025, 0.042, 0.034) + 0.55 * _bump(0.0, numbers["nose_y"], 0.035, 0.028)
    red = red + 0.25 * _bump(0.0, -0.175, 0.04, 0.025) + 0.3 * _bump(numbers["eye_x"], 0.045, 0.035, 0.012)
    return np.clip(red * one.blush, 0.0, 1.5)


def _shade(one: Identity, numbers: dict[str, float], eyes: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """What darkens the skin's colour, 0 nothing to 1 black: lashes, lid creases, beard."""
    dx = _AX - numbers["eye_x"]
    above = _Y - numbers["eye_y"] - one.eye_tilt * dx > -0.002
    outer = 0.75 + 0.25 * np.clip(dx / 0.04, -1.0, 1.0)
    near = np.abs(dx) < 0.058
    lash = (
        np.exp(-((np.maximum(eyes, 0.0) / (0.0032 + 0.0012 * one.lashes)) ** 2)) * above * outer * one.lashes
    )
    lash = lash + 0.35 * np.exp(-((np.maximum(eyes, 0.0) / 0.003) ** 2)) * ~above
    lid = 0.22 * one.lashes * _bump(numbers["eye_x"], numbers["eye_y"] + 0.018, 0.038, 0.014)
    nostrils = 0.75 * _bump(0.60 * numbers["wing_x"], numbers["nostril_y"] + 0.003, 0.0062, 0.0036)
    shade = np.clip(1.4 * lash, 0.0, 0.92) * near + lid + nostrils
    jaw = np.clip((-0.045 - _Y) / 0.05, 0.0, 1.0) * np.clip((_AX - 0.03) / 0.05 + (_Y < -0.11), 0.0, 1.0)
    sideburn = _window(_AX, 0.145, 0.4, 0.015) * _window(_Y, -0.6, 0.04, 0.04)
    moustache = _bump(0.0, numbers["mouth_y"] + 0.031, 0.040, 0.009) * 1.2
    goatee = _bump(0.0, numbers["mouth_y"] - 0.062, 0.045, 0.03)
    beard = np.clip(np.maximum(np.maximum(jaw, sideburn), np.maximum(moustache, goatee)), 0.0, 1.0)
    beard = beard * np.clip(lips / 0.006, 0.0, 1.0) * 0.62 * one.beard
    return np.clip(shade + (1 - shade) * beard, 0.0, 0.95)


def _bump(x: float, y: float, width: float, height: float) -> np.ndarray:
    """A Gaussian on both sides of the face."""
    return np.exp(-0.5 * (((_AX - x) / width) ** 2 + ((_Y - y) / height) ** 2))


def _window(values: np.ndarray, low: float, high: float, soft: float) -> np.ndarray:
    return np.clip((values - low) / soft + 0.5, 0.0, 1.0) * np.clip((high - values) / soft + 0.5, 0.0, 1.0)


def _distance(level: np.ndarray) -> np.ndarray:
    """An implicit function rescaled to first-order distance, kept gentle where its gradient vanishes."""
    level = np.broadcast_to(level, (primitives.MAP_ROWS, primitives.MAP_COLUMNS))
    dy, dx = np.gradient(level, primitives.MAP_STEP)
    return np.clip(level / np.maximum(np.hypot(dx, dy), 0.5), -0.2, 0.2)
