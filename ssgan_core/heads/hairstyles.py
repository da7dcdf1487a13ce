"""Hair styles: each is a few numbers for `fields.hair`, ellipsoids, and the outline of the uncovered face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssgan_core.heads import fields
from ssgan_core.heads.sampler import HAIR_STYLES, HATS, Identity

_NO_BLOBS = np.zeros((0, 7))


@dataclass(frozen=True)
class HairStyle:
    """Numbers of the scene record, blobs [n, 7], and face_gap(x [1, w], y [h, 1]), negative over the face."""

    numbers: dict[str, float]
    blobs: np.ndarray
    face_gap: Callable[[np.ndarray, np.ndarray], np.ndarray]


def style(one: Identity) -> HairStyle:
    """The hair style of an identity, flattened under a hat."""
    name = HAIR_STYLES[one.hair_style]
    numbers = _numbers(one, name)
    blobs = _blobs(one, name)
    if HATS[one.hat] != "none":
        numbers |= {
            "hair_thickness": min(numbers["hair_thickness"], 0.020),
            "hair_top": 0.0,
            "hair_parted": 0.0,
        }
        blobs = _NO_BLOBS
    curtain = numbers["curtain_width"] > 0
    hairline = 0.198 + one.hairline - (0.035 if name in ("bob", "long", "wavy") else 0.0)
    fringe = name == "fringe"
    cropped = name == "short"
    covered = curtain or name == "afro"  # the ears

    def face_gap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if fringe or cropped:
            teeth = (
                (0.012 if cropped else 0.006) * np.abs(((x / 0.034 + 3.0 * one.hair_pattern) % 1.0) - 0.5) * 2
            )
            top = (0.176 if cropped else 0.142) + 0.5 * one.hairline + 0.5 * x * x + teeth
            lean = 0.0
        else:
            top = hairline + 0.0 * x
            lean = one.hair_part * (1.2 if numbers["hair_parted"] > 0 else 0.4)
            top = (
                top
                - 0.55 * np.abs(x - lean) ** 1.5
                + (0.012 * np.exp(-(((np.abs(x) - 0.085) / 0.03) ** 2)) if not curtain else 0)
            )
        half = 0.150 if covered else 0.163
        side = half - 0.12 * np.clip(y - 0.10, 0.0, None) ** 1.2
        if not covered:  # sideburns end at the ear
            side = side + 0.35 * np.clip((0.035 - y) / 0.05, 0.0, 1.0)
        else:
            side = side - numbers["curtain_hug"] * np.clip((-0.02 - y) / 0.14, 0.0, 1.0)
        a, b = np.abs(x) - side, y - top
        corner = 0.025 if fringe or cropped else 0.070
        outside = np.hypot(np.maximum(a + corner, 0.0), np.maximum(b + corner, 0.0))
        return outside + np.minimum(np.maximum(a, b) + corner, 0.0) - corner

    return HairStyle(numbers, blobs, face_gap)


def _numbers(one: Identity, name: str) -> dict[str, float]:
    volume, longer = one.hair_volume, one.hair_length
    numbers = {
        "has_hair": float(name != "bald"),
        "hair_thickness": 0.014 * volume,
        "hair_top": 0.018 * volume,
        "hair_edge": 0.25,
        "hair_parted": 0.0,
        "nape_y": -0.10,
        "hair_cut_z": -0.118,
        "hair_cut_slope": 0.25,
        "hair_round": 0.010,
        "hair_reach": 0.11,
        "curtain_width": 0.0,
        "curtain_flare": 0.0,
        "curtain_depth": 0.15,
        "curtain_end": -0.2,
        "curtain_curl": 0.0,
        "curtain_hug": 0.0,
        "wave": 0.0,
        "flow": float(fields.FLOW_DOWN),
        "lock_frequency": 150.0,
        "lock_height": 0.0022,
    }
    if name == "buzz":
        numbers |= {
            "hair_thickness": 0.0035,
            "hair_top": 0.002,
            "hair_edge": 0.4,
            "lock_height": 0.0004,
            "hair_round": 0.004,
        }
    elif name == "short":
        numbers |= {
            "hair_thickness": 0.012 * volume,
            "hair_top": 0.024 * volume,
            "hair_edge": 0.55,
            "lock_height": 0.0055,
            "lock_frequency": 75.0,
        }
    elif name == "side-part":
        numbers |= {
            "hair_thickness": 0.013 * volume,
            "hair_top": 0.032 * volume,
            "hair_parted": 0.018,
            "hair_edge": 0.45,
            "flow": float(fields.FLOW_SIDE),
            "lock_height": 0.003,
        }
    elif name == "quiff":
        numbers |= {
            "hair_thickness": 0.008 * volume,
            "hair_top": 0.03 * volume,
            "flow": float(fields.FLOW_BACK),
            "lock_height": 0.0045,
            "lock_frequency": 130.0,
            "hair_reach": 0.14,
            "hair_edge": 0.6,
        }
    elif name == "fringe":
        numbers |= _curtain(-0.20 + 0.5 * longer, volume, hug=0.025) | {
            "hair_thickness": 0.022 * volume,
            "hair_edge": 0.8,
        }
    elif name == "bob":
        numbers |= _curtain(-0.19 - longer, volume, hug=0.035) | {"hair_parted": 0.016, "curtain_curl": -0.02}
    elif name == "long":
        numbers |= _curtain(-0.40 - longer, 0.92 * volume, hug=0.035) | {"hair_parted": 0.016}
    elif name == "wavy":
        numbers |= _curtain(-0.36 - longer, 1.1 * volume, hug=0.03)
        numbers |= {"hair_parted": 0.014, "wave": 0.011, "lock_height": 0.0065, "lock_frequency": 110.0}
    elif name == "afro":
        numbers |= {
            "hair_thickness": 0.05 + 0.03 * volume,
            "hair_top": 0.01,
            "hair_edge": 0.55,
            "flow": float(fields.FLOW_CURLS),
            "lock_frequency": 34.0,
            "lock_height": 0.010,
            "hair_reach": 0.22,
            "hair_round": 0.03,
            "nape_y": -0.06,
            "hair_cut_z": -0.085,
        }
    elif name == "curly":
        numbers |= _curtain(-0.17 - longer, 1.1 * volume, hug=0.0)
        numbers |= {
            "flow": float(fields.FLOW_CURLS),
            "lock_frequency": 31.0,
            "lock_height": 0.014,
            "hair_round": 0.02,
            "hair_thickness": 0.035 * volume,
        }
    elif name in ("buns", "ponytail"):
        numbers |= {"flow": float(fields.FLOW_BACK), "hair_reach": 0.25, "hair_top": 0.008, "hair_edge": 0.35}
    return numbers


def _curtain(end: float, volume: float, hug: float) -> dict[str, float]:
    """Hair that hangs down to the height `end`, behind a face opening that narrows by `hug`."""
    return {
        "curtain_width": 0.205 + 0.022 * volume,
        "curtain_flare": 0.045 * volume,
        "curtain_depth": 0.150 + 0.02 * volume,
        "curtain_end": end,
        "curtain_hug": hug,
        "hair_cut_z": -0.130,
        "hair_cut_slope": 0.0,
        "hair_thickness": 0.020 * volume,
        "hair_reach": 0.16 + max(0.0, -0.1 - end),
        "hair_edge": 0.5,
        "lock_height": 0.0035,
        "lock_frequency": 140.0,
    }


def _blobs(one: Identity, name: str) -> np.ndarray:
    volume = one.hair_volume
    if name == "buns":
        r = 0.066 * (0.6 + 0.4 * volume)
        return np.array([[side * 0.145, 0.275, -0.06, r, r, r, 0.02] for side in (-1, 1)])
    if name == "ponytail":
        side = 1.0 if one.hair_part > 0 else -1.0
        return np.array(
            [
                [side * 0.09, 0.16, -0.28, 0.055, 0.055, 0.06, 0.02],
                [side * 0.20, 0.03, -0.25, 0.055, 0.15, 0.06, 0.05],
                [side * 0.23, -0.15, -0.20, 0.045, 0.14, 0.05, 0.05],
            ]
        )
    if name == "quiff":
        lean = one.hair_part * 0.5
        return np.array([[lean, 0.262, 0.055, 0.125, 0.050 * (0.5 + 0.5 * volume), 0.085, 0.05]])
    return _NO_BLOBS
