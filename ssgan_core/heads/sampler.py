"""Who is on the picture: an identity is a row of named numbers, drawn from one seed and one index.

Lengths are relative to a mean head (1 = the mean) unless a unit is named; angles are radians; colours are
linear-light reflectances 0..1. `softness` (0 angular, 1 soft) correlates jaw, brows, lips and hair, so that
faces look like somebody rather than like independent dice.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any

import numpy as np

HAIR_STYLES = (
    "bald", "buzz", "short", "side-part", "quiff", "fringe", "bob", "long", "wavy", "afro", "curly", "buns",
    "ponytail",
)  # fmt: skip
NECKLINES = ("crew", "v-neck", "turtleneck", "hood", "wide")
PATTERNS = ("plain", "stripes", "band")
GLASSES = ("none", "round", "square", "sunglasses")
HATS = ("none", "beanie", "cap", "brimmed")
EARRINGS = ("none", "stud", "drop", "hoop")
BACKGROUNDS = ("gradient", "blobs", "studio")

# Reflectances by rising melanin, sRGB 0..255, after photographs of the usual tone scales.
_SKIN_TONES = (
    (244, 207, 186), (236, 190, 164), (222, 170, 138), (203, 147, 110), (174, 118, 82), (140, 90, 62),
    (103, 65, 46), (74, 47, 36),
)  # fmt: skip
# (sRGB, weight): natural hair, then a few dyed ones.
_HAIR_COLOURS = (
    ((24, 19, 18), 5.0), ((44, 29, 22), 5.0), ((74, 47, 31), 5.0), ((112, 74, 46), 4.0),
    ((160, 115, 66), 3.0), ((206, 164, 102), 3.0), ((232, 206, 158), 1.5), ((110, 44, 24), 2.0),
    ((178, 86, 38), 2.0), ((142, 140, 138), 1.5), ((214, 211, 206), 1.0), ((206, 96, 140), 0.4),
    ((52, 132, 140), 0.4), ((92, 74, 160), 0.4),
)  # fmt: skip
_IRIS_COLOURS = (
    ((62, 38, 24), 6.0), ((94, 60, 32), 4.0), ((122, 98, 50), 2.0), ((92, 116, 78), 2.0),
    ((88, 128, 160), 3.0), ((112, 132, 142), 1.5),
)  # fmt: skip


def _normal(mean: float, deviation: float) -> Any:
    """A field drawn from a normal distribution, clipped at 2.2 standard deviations."""
    return field(metadata={"mean": mean, "deviation": deviation, "normal": True})


def _drawn() -> Any:
    """A number that `sample_identity` draws by a rule of its own."""
    return field(metadata={"drawn": True})


def _choice(names: tuple[str, ...]) -> Any:
    """An index into `names`."""
    return field(metadata={"choices": len(names)})


@dataclass(frozen=True)
class Identity:
    """One person with clothes, light and background. See the module's head for units."""

    seed: int
    index: int
    softness: float = _drawn()
    # head
    head_width: float = _normal(1.0, 0.035)
    head_height: float = _normal(1.0, 0.025)
    jaw_width: float = _normal(1.0, 0.07)
    chin_length: float = _normal(0.0, 0.008)  # world units downwards
    chin_forward: float = _normal(0.0, 0.006)  # world units
    cheekbones: float = _normal(1.0, 0.4)
    cheek_fullness: float = _normal(0.0, 1.0)
    brow_ridge: float = _normal(1.0, 0.4)
    # nose
    nose_width: float = _normal(1.0, 0.13)
    nose_length: float = _normal(0.0, 0.007)  # world units downwards
    nose_forward: float = _normal(1.0, 0.12)
    nose_tip: float = _normal(1.0, 0.10)
    nose_bridge: float = _normal(1.0, 0.25)
    # eyes
    eye_size: float = _normal(1.0, 0.06)
    eye_open: float = _normal(1.0, 0.13)
    eye_spacing: float = _normal(1.0, 0.025)
    eye_tilt: float = _normal(0.05, 0.06)
    eye_fold: float = _normal(1.0, 0.35)
    gaze_yaw: float = _normal(0.0, 0.12)
    gaze_pitch: float = _normal(0.0, 0.06)
    iris_r: float = _drawn()
    iris_g: float = _drawn()
    iris_b: float = _drawn()
    lashes: float = _drawn()
    # brows
    brow_thickness: float = _normal(1.0, 0.2)
    brow_angle: float = _normal(0.02, 0.06)
    brow_arch: float = _normal(1.0, 0.35)
    brow_height: float = _normal(0.0, 0.004)  # world units upwards
    brow_shade: float = _normal(0.62, 0.13)
    # mouth
    mouth_width: float = _normal(1.0, 0.08)
    lip_fullness: float = _normal(1.0, 0.16)
    mouth_open: float = _drawn()
    smile: float = _normal(0.3, 0.45)
    lip_redness: float = _drawn()
    mouth_height: float = _normal(0.0, 0.004)  # world units upwards
    # ears, neck
    ear_size: float = _normal(1.0, 0.07)
    ear_angle: float = _normal(0.50, 0.10)
    neck_width: float = _normal(1.0, 0.07)
    shoulder_height: float = _normal(0.0, 0.012)  # world units upwards
    # skin
    skin_r: float = _drawn()
    skin_g: float = _drawn()
    skin_b: float = _drawn()
    blush: float = _normal(1.0, 0.35)
    freckles: float = _drawn()
    beard: float = _drawn()
    # hair
    hair_style: int = _choice(HAIR_STYLES)
    hair_r: float = _drawn()
    hair_g: float = _drawn()
    hair_b: float = _drawn()
    hair_volume: float = _normal(1.0, 0.2)
    hair_length: float = _normal(0.0, 0.04)  # world units downwards
    hairline: float = _normal(0.0, 0.009)  # world units upwards
    hair_part: float = _drawn()  # x of the parting, world units
    hair_strands: float = _normal(1.0, 0.2)
    hair_pattern: float = _drawn()  # phase of locks
    # clothes and accessories
    neckline: int = _choice(NECKLINES)
    pattern: int = _choice(PATTERNS)
    cloth_r: float = _drawn()
    cloth_g: float = _drawn()
    cloth_b: float = _drawn()
    trim_r: float = _drawn()
    trim_g: float = _drawn()
    trim_b: float = _drawn()
    glasses: int = _choice(GLASSES)
    hat: int = _choice(HATS)
    hat_r: float = _drawn()
    hat_g: float = _drawn()
    hat_b: float = _drawn()
    earrings: int = _choice(EARRINGS)
    # light and background
    light_yaw: float = _normal(0.0, 0.5)
    light_pitch: float = _normal(0.55, 0.16)
    light_warmth: float = _normal(0.0, 1.0)
    contrast: float = _normal(1.0, 0.12)
    background: int = _choice(BACKGROUNDS)
    back_r: float = _drawn()
    back_g: float = _drawn()
    back_b: float = _drawn()
    back2_r: float = _drawn()
    back2_g: float = _drawn()
    back2_b: float = _drawn()


@cache
def traits() -> tuple[Field[Any], ...]:
    """The fields of an identity that vary, in their order."""
    return tuple(spec for spec in fields(Identity) if spec.metadata)


def sample_identity(seed: int, index: int) -> Identity:
    """The identity `index` of the population `seed`; the same on every machine and in any order.

    Args:
        seed: non-negative population number.
        index: non-negative number of the person in it.
    """
    rng = np.random.default_rng([seed, index])
    values: dict[str, Any] = {}
    for spec in traits():
        if "normal" in spec.metadata:
            deviate = float(np.clip(rng.standard_normal(), -2.2, 2.2))
            values[spec.name] = spec.metadata["mean"] + spec.metadata["deviation"] * deviate
    softness = float(rng.random())
    values["softness"] = softness
    lean = softness - 0.5
    values["jaw_width"] -= 0.10 * lean
    values["chin_length"] -= 0.010 * lean
    values["brow_ridge"] -= 0.9 * lean
    values["brow_thickness"] -= 0.35 * lean
    values["lip_fullness"] += 0.25 * lean
    values["eye_size"] += 0.08 * lean
    values["neck_width"] -= 0.16 * lean
    values["nose_width"] -= 0.10 * lean
    values["nose_forward"] -= 0.10 * lean
    values["lashes"] = float(np.clip(0.35 + 0.6 * softness + 0.1 * rng.standard_normal(), 0.1, 1.1))
    opening = float(np.clip(rng.normal(0.15, 0.5), 0.0, 1.2))
    values["mouth_open"] = opening if opening > 0.38 else 0.0
    values["lip_redness"] = float(np.clip(rng.normal(0.1 + 0.45 * softness, 0.25), 0.0, 1.0))
    melanin = float(rng.beta(1.1, 1.3))
    values.update(_skin(rng, softness, melanin), **_hair(rng, softness, melanin))
    if values["beard"] > 0:
        values["lip_redness"] *= 0.35
    values.update(_outfit(rng, softness), **_surroundings(rng))
    if HATS[values["hat"]] != "none" and HAIR_STYLES[values["hair_style"]] in (
        "afro",
        "buns",
        "quiff",
        "ponytail",
    ):
        values["hair_style"] = HAIR_STYLES.index("bob" if softness > 0.5 else "short")
    return Identity(seed=seed, index=index, **values)


def _skin(rng: np.random.Generator, softness: float, melanin: float) -> dict[str, float]:
    place = melanin * (len(_SKIN_TONES) - 1)
    low = min(int(place), len(_SKIN_TONES) - 2)
    tone = np.array(_SKIN_TONES[low]) + (place - low) * np.subtract(_SKIN_TONES[low + 1], _SKIN_TONES[low])
    tone = linear(tone * (1 + 0.025 * rng.standard_normal(3)))
    bearded = rng.random() < 0.55 and softness < 0.42
    freckled = rng.random() < 0.2 and melanin < 0.5
    return {
        "skin_r": float(tone[0]),
        "skin_g": float(tone[1]),
        "skin_b": float(tone[2]),
        "freckles": float(rng.uniform(0.3, 1.0)) if freckled else 0.0,
        "beard": float(rng.uniform(0.25, 1.0)) if bearded else 0.0,
    }


def _hair(rng: np.random.Generator, softness: float, melanin: float) -> dict[str, Any]:
    rough = {
        "bald": 0.7,
        "buzz": 1.2,
        "short": 2.4,
        "side-part": 2.2,
        "quiff": 1.8,
        "afro": 0.9,
        "curly": 0.9,
        "long": 0.4,
    }
    soft = {
        "short": 0.4, "fringe": 1.6, "bob": 2.2, "long": 2.6, "wavy": 2.4, "afro": 0.9, "curly": 1.1,
        "buns": 1.0, "ponytail": 1.2, "side-part": 0.5, "quiff": 0.3, "bald": 0.1, "buzz": 0.2,
    }  # fmt: skip
    weights = np.array(
        [rough.get(name, 0.03) * (1 - softness) + soft[name] * softness for name in HAIR_STYLES]
    )
    colour = linear(_weighted(rng, _HAIR_COLOURS, melanin) * (1 + 0.06 * rng.standard_normal(3)))
    iris = linear(_weighted(rng, _IRIS_COLOURS, melanin) * (1 + 0.08 * rng.standard_normal(3)))
    side = 1.0 if rng.random() < 0.5 else -1.0
    return {
        "hair_style": int(rng.choice(len(HAIR_STYLES), p=weights / weights.sum())),
        "hair_r": float(colour[0]),
        "hair_g": float(colour[1]),
        "hair_b": float(colour[2]),
        "hair_part": side * float(rng.uniform(0.02, 0.085)),
        "hair_pattern": float(rng.random()),
        "iris_r": float(iris[0]),
        "iris_g": float(iris[1]),
        "iris_b": float(iris[2]),
    }


def _outfit(rng: np.random.Generator, softness: float) -> dict[str, Any]:
    cloth, trim, hat = (_fabric(rng) for _ in range(3))
    glasses = 0 if rng.random() > 0.15 else int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    hat_kind = 0 if rng.random() > 0.08 else int(rng.integers(1, len(HATS)))
    earrings = 0 if rng.random() > 0.06 + 0.18 * softness else int(rng.integers(1, len(EARRINGS)))
    values: dict[str, Any] = {
        "neckline": int(rng.choice(len(NECKLINES), p=[0.36, 0.26, 0.12, 0.10, 0.16])),
        "pattern": int(rng.choice(len(PATTERNS), p=[0.62, 0.23, 0.15])),
        "glasses": glasses,
        "hat": hat_kind,
        "earrings": earrings,
    }
    for name, colour in (("cloth", cloth), ("trim", trim), ("hat", hat)):
        values |= {f"{name}_{channel}": float(part) for channel, part in zip("rgb", colour, strict=True)}
    return values


def _surroundings(rng: np.random.Generator) -> dict[str, Any]:
    first = hsv(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.25, 0.9))
    second = hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.2, 0.9))
    values: dict[str, Any] = {"background": int(rng.integers(len(BACKGROUNDS)))}
    for name, colour in (("back", first), ("back2", second)):
        values |= {
            f"{name}_{channel}": float(part)
            for channel, part in zip("rgb", linear(colour * 255), strict=True)
        }
    return values


def _fabric(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.4:  # greys, navy, beige: what most people wear
        return linear(hsv(rng.choice([0.6, 0.09, 0.0]), rng.uniform(0.0, 0.3), rng.uniform(0.15, 0.9)) * 255)
    return linear(hsv(rng.random(), rng.uniform(0.3, 0.75), rng.uniform(0.35, 0.85)) * 255)


def _weighted(
    rng: np.random.Generator, table: tuple[tuple[tuple[int, int, int], float], ...], melanin: float
) -> np.ndarray:
    """A colour of the table; with more melanin the dark ones become likelier."""
    weights = np.array([weight for _, weight in table])
    colours = np.array([colour for colour, _ in table], np.float64)
    weights = weights * np.exp(
        -np.maximum(melanin - 0.30, 0.0) * (colours.mean(axis=1) - 35.0).clip(0.0) / 11.0
    )
    return colours[int(rng.choice(len(table), p=weights / weights.sum()))]


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light 0..1 of sRGB values 0..255 (approximated by a power of 2.2)."""
    return (np.clip(srgb, 0, 255) / 255) ** 2.2


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """sRGB [3], 0..1, of hue, saturation and value, each 0..1."""
    ramp = np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    return value * (1 - saturation * (1 - ramp))
