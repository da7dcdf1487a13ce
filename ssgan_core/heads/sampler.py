"""Who is on the picture: an identity is a row of named numbers, drawn from one seed and one index.

Shape controls are multiples of MakeHuman's targets (0 = its mean of the chosen ancestry, sex, age and weight; eyes
are set wider and noses shorter, as photographs have them), lengths are world units, angles radians, colours
linear-light reflectances 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from functools import cache
from itertools import count
from typing import Any

import numpy as np

HAIR_STYLES = (
    "bald", "buzz", "short", "side-part", "slick-back", "quiff", "fringe", "bob", "long", "long-wavy", "curly",
    "afro", "bun", "ponytail", "braids",
)  # fmt: skip
BEARDS = ("none", "stubble", "moustache", "goatee", "short", "full")
NECKLINES = ("crew", "v-neck", "turtleneck", "shirt", "hood", "wide")
PATTERNS = ("plain", "stripes", "checks", "heather")
GLASSES = ("none", "round", "square", "aviator", "sunglasses")
HATS = ("none", "beanie", "cap", "brimmed")
EARRINGS = ("none", "stud", "drop", "hoop")
ACCESSORIES = ("glasses", "hat", "earrings")  # choices of an identity of which the first is "none"
BACKGROUNDS = ("gradient", "room", "foliage", "lights", "studio")

# Reflectances by rising melanin, sRGB 0..255, after photographs of the usual tone scales.
_SKIN_TONES = (
    (229, 187, 164), (224, 178, 151), (214, 162, 132), (198, 143, 109), (170, 115, 82), (136, 88, 62),
    (101, 64, 46), (74, 47, 36),
)  # fmt: skip
# (sRGB, weight): natural hair, then a few dyed ones.
_HAIR_COLOURS = (
    ((20, 16, 15), 5.0), ((38, 26, 20), 5.0), ((64, 42, 29), 5.0), ((96, 64, 42), 4.0),
    ((142, 97, 60), 3.0), ((190, 143, 96), 3.0), ((216, 181, 140), 1.5), ((100, 42, 24), 2.0),
    ((160, 80, 38), 1.6), ((138, 136, 134), 1.0), ((200, 198, 194), 0.6), ((190, 90, 130), 0.3),
    ((48, 120, 130), 0.3), ((86, 70, 150), 0.3),
)  # fmt: skip
_IRIS_COLOURS = (
    ((62, 38, 24), 6.0), ((94, 60, 32), 4.0), ((122, 98, 50), 2.0), ((92, 116, 78), 2.0),
    ((88, 128, 160), 3.0), ((112, 132, 142), 1.5),
)  # fmt: skip


def _normal(mean: float, deviation: float, *, odd: bool = False) -> Any:
    """A field drawn from a normal distribution, clipped at 2.2 deviations; `odd`: a mirror changes its sign."""
    return field(metadata={"mean": mean, "deviation": deviation, "normal": True, "odd": odd})


def _control(deviation: float, negative: str, positive: str, mean: float = 0.0, *, odd: bool = False) -> Any:
    """A normal field whose sign chooses between two targets; "*-" stands for both sides."""
    numbers = {"mean": mean, "deviation": deviation, "normal": True, "odd": odd}
    return field(metadata={**numbers, "targets": (negative, positive)})


def _drawn(*, odd: bool = False) -> Any:
    """A number that `sample_identity` draws by a rule of its own."""
    return field(metadata={"drawn": True, "odd": odd})


def _share() -> Any:
    """A share 0..1 of how far something may go, all equally likely; drawn last."""
    return field(metadata={"share": True, "odd": False})


def _choice(names: tuple[str, ...]) -> Any:
    """An index into `names`."""
    return field(metadata={"choices": len(names)})


@dataclass(frozen=True)
class Identity:
    """One person with expression, clothes, light and background. See the module's head for units."""

    seed: int
    index: int
    # ancestry, sex, age: all shares 0..1; African and Asian shares, the rest is Caucasian
    african: float = _drawn()
    asian: float = _drawn()
    female: float = _drawn()
    age: float = _drawn()
    weight: float = _drawn()
    # head
    head_width: float = _control(0.144, "head-scale-horiz-decr", "head-scale-horiz-incr")
    head_height: float = _control(0.128, "head-scale-vert-decr", "head-scale-vert-incr")
    head_depth: float = _control(0.128, "head-scale-depth-decr", "head-scale-depth-incr")
    head_fat: float = _control(0.144, "head-fat-decr", "head-fat-incr")
    head_round: float = _control(0.12, "head-rectangular", "head-round")
    head_taper: float = _control(0.12, "head-triangular", "head-invertedtriangular")
    head_oval: float = _control(0.09, "head-square", "head-oval")
    forehead_height: float = _control(0.128, "forehead-scale-vert-decr", "forehead-scale-vert-incr")
    forehead_slope: float = _control(0.128, "forehead-trans-backward", "forehead-trans-forward")
    temples: float = _control(0.128, "forehead-temple-decr", "forehead-temple-incr")
    # jaw and cheeks
    jaw_width: float = _control(0.171, "chin-width-decr", "chin-width-incr")
    jaw_drop: float = _control(0.152, "chin-jaw-drop-decr", "chin-jaw-drop-incr")
    chin_height: float = _control(0.152, "chin-height-decr", "chin-height-incr")
    chin_forward: float = _control(0.18, "chin-prominent-decr", "chin-prominent-incr")
    chin_bones: float = _control(0.18, "chin-bones-decr", "chin-bones-incr")
    cheek_bones: float = _control(0.203, "*-cheek-bones-decr", "*-cheek-bones-incr")
    cheek_volume: float = _control(0.203, "*-cheek-volume-decr", "*-cheek-volume-incr")
    cheek_inner: float = _control(0.18, "*-cheek-inner-decr", "*-cheek-inner-incr")
    # eyes and brows
    eye_size: float = _control(0.175, "*-eye-scale-decr", "*-eye-scale-incr")
    eye_spacing: float = _control(0.175, "*-eye-trans-in", "*-eye-trans-out", mean=0.5)
    eye_height: float = _control(0.175, "*-eye-trans-down", "*-eye-trans-up")
    eye_open: float = _control(0.225, "*-eye-height2-decr", "*-eye-height2-incr", mean=0.35)
    eye_tilt: float = _control(0.225, "*-eye-corner2-down", "*-eye-corner2-up")
    eye_fold: float = _control(0.25, "*-eye-eyefold-up", "*-eye-eyefold-down")
    eye_bags: float = _control(0.25, "*-eye-bag-decr", "*-eye-bag-incr")
    eye_depth: float = _control(0.2, "*-eye-push1-in", "*-eye-push1-out")
    brow_height: float = _control(0.18, "eyebrows-trans-down", "eyebrows-trans-up")
    brow_ridge: float = _control(0.18, "eyebrows-trans-backward", "eyebrows-trans-forward")
    brow_tilt: float = _control(0.18, "eyebrows-angle-down", "eyebrows-angle-up")
    # nose
    nose_width: float = _control(0.2, "nose-scale-horiz-decr", "nose-scale-horiz-incr")
    nose_height: float = _control(0.175, "nose-scale-vert-decr", "nose-scale-vert-incr", mean=-0.15)
    nose_depth: float = _control(0.175, "nose-scale-depth-decr", "nose-scale-depth-incr")
    nose_bridge: float = _control(0.225, "nose-width1-decr", "nose-width1-incr")
    nose_hump: float = _control(0.2, "nose-hump-decr", "nose-hump-incr")
    nose_tip: float = _control(0.2, "nose-point-down", "nose-point-up")
    nose_tip_width: float = _control(0.2, "nose-point-width-decr", "nose-point-width-incr")
    nose_volume: float = _control(0.2, "nose-volume-decr", "nose-volume-incr")
    nostrils: float = _control(0.18, "nose-flaring-decr", "nose-flaring-incr")
    nose_curve: float = _control(0.2, "nose-curve-concave", "nose-curve-convex")
    # mouth
    mouth_width: float = _control(0.171, "mouth-scale-horiz-decr", "mouth-scale-horiz-incr")
    mouth_height: float = _control(0.158, "mouth-trans-down", "mouth-trans-up")
    mouth_corners: float = _control(0.203, "mouth-angles-down", "mouth-angles-up")
    upper_lip: float = _control(0.203, "mouth-upperlip-height-decr", "mouth-upperlip-height-incr")
    lower_lip: float = _control(0.203, "mouth-lowerlip-height-decr", "mouth-lowerlip-height-incr")
    lip_volume: float = _control(0.18, "mouth-lowerlip-volume-decr", "mouth-lowerlip-volume-incr")
    cupid_bow: float = _control(0.203, "mouth-cupidsbow-decr", "mouth-cupidsbow-incr")
    # ears and neck
    ear_size: float = _control(0.18, "*-ear-scale-decr", "*-ear-scale-incr")
    ear_wing: float = _control(0.18, "*-ear-wing-decr", "*-ear-wing-incr")
    ear_lobe: float = _control(0.225, "*-ear-lobe-decr", "*-ear-lobe-incr")
    neck_width: float = _control(0.158, "neck-scale-horiz-decr", "neck-scale-horiz-incr")
    # asymmetry
    skew_jaw: float = _control(0.04, "asym-jaw-1-l", "asym-jaw-1-r", odd=True)
    skew_nose: float = _control(0.07, "asym-nose-2-l", "asym-nose-2-r", odd=True)
    skew_mouth: float = _control(0.06, "asym-mouth-2-l", "asym-mouth-2-r", odd=True)
    skew_brows: float = _control(0.12, "asym-brown-1-l", "asym-brown-1-r", odd=True)
    # expression: shares of facial actions
    jaw_open: float = _drawn()
    smile: float = _drawn()
    smirk: float = _normal(0.0, 0.10, odd=True)  # positive: more of the smile on the subject's left
    frown: float = _drawn()
    pucker: float = _drawn()
    brow_raise: float = _normal(0.0, 0.3)  # negative: lowered
    squint: float = _drawn()
    blink: float = _drawn()
    gaze_yaw: float = _normal(0.0, 0.14, odd=True)
    gaze_pitch: float = _normal(0.0, 0.07)
    body_yaw: float = _normal(0.0, 0.22, odd=True)  # shoulders turned against the head
    body_pitch: float = _normal(0.0, 0.06)
    # eyes, skin, brows, beard
    iris_r: float = _drawn()
    iris_g: float = _drawn()
    iris_b: float = _drawn()
    lashes: float = _drawn()  # length and darkness, 0..1
    makeup: float = _drawn()  # lids and lips, 0..1
    skin_r: float = _drawn()
    skin_g: float = _drawn()
    skin_b: float = _drawn()
    blush: float = _normal(0.5, 0.2)
    freckles: float = _drawn()
    skin_shine: float = _normal(0.5, 0.18)
    skin_pattern: float = _drawn()  # where spots and mottling fall
    lip_redness: float = _drawn()
    brow_thickness: float = _normal(1.0, 0.22)
    brow_density: float = _normal(1.0, 0.22)
    brow_arch: float = _normal(1.0, 0.35)
    brow_shade: float = _normal(0.62, 0.13)  # of the hair's colour
    beard: int = _choice(BEARDS)
    beard_length: float = _drawn()  # world units
    # hair
    hair_style: int = _choice(HAIR_STYLES)
    hair_r: float = _drawn()
    hair_g: float = _drawn()
    hair_b: float = _drawn()
    hair_length: float = _normal(0.0, 0.4)  # relative: 0 = the style's own
    hair_volume: float = _normal(1.0, 0.2)
    hair_curl: float = _normal(1.0, 0.3)
    hair_frizz: float = _normal(1.0, 0.3)
    hairline: float = _normal(0.0, 0.010)  # world units upwards
    hair_part: float = _drawn(odd=True)  # x of the parting, world units
    hair_pattern: float = _drawn()  # which locks
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
    light_yaw: float = _normal(0.0, 0.55, odd=True)
    light_pitch: float = _normal(0.55, 0.18)
    light_softness: float = _drawn()  # 0: a bare lamp, 1: nearly only sky
    light_warmth: float = _normal(0.0, 1.0)
    rim_light: float = _drawn()
    exposure: float = _normal(0.0, 0.16)  # natural log
    background: int = _choice(BACKGROUNDS)
    back_pattern: float = _drawn()
    back_r: float = _drawn()
    back_g: float = _drawn()
    back_b: float = _drawn()
    back2_r: float = _drawn()
    back2_g: float = _drawn()
    back2_b: float = _drawn()
    # how clothes and accessories are cut, each in terms of what its kind may vary by
    neck_opening: float = _share()
    collar_height: float = _share()
    hat_height: float = _share()
    hat_brim: float = _share()
    hat_curl: float = _share()
    glasses_size: float = _share()
    glasses_thickness: float = _share()  # of frames: the lower end is wire, the upper acetate
    lens_shape: float = _share()  # of sunglasses

    def colour(self, name: str) -> np.ndarray:
        """Reflectance [3], float32, of `skin`, `hair`, `iris`, `cloth`, `trim`, `hat`, `back` or `back2`."""
        return np.array([getattr(self, f"{name}_{channel}") for channel in "rgb"], np.float32)


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
    melanin = _ancestry(rng, values)
    values.update(_expression(rng))
    values.update(_skin(rng, values, melanin), **_hair(rng, values, melanin))
    values.update(_outfit(rng, values["female"]), **_surroundings(rng))
    if HATS[values["hat"]] != "none" and HAIR_STYLES[values["hair_style"]] in (
        "afro",
        "bun",
        "quiff",
        "ponytail",
    ):
        values["hair_style"] = HAIR_STYLES.index("bob" if values["female"] > 0.5 else "short")
    values.update((spec.name, float(rng.random())) for spec in traits() if "share" in spec.metadata)
    return Identity(seed=seed, index=index, **values)


def wearers(seed: int, accessory: str) -> Iterator[int]:
    """The numbers of those in the population `seed` who wear one of `ACCESSORIES`, rising without end."""
    return (index for index in count() if getattr(sample_identity(seed, index), accessory))


def _ancestry(rng: np.random.Generator, values: dict[str, Any]) -> float:
    """Ancestry, sex, age, weight; returns melanin 0..1."""
    shares = rng.dirichlet([0.45, 0.45, 0.45])
    female = float(np.clip(rng.beta(0.35, 0.35), 0.02, 0.98))
    values["african"], values["asian"], values["female"] = float(shares[0]), float(shares[1]), female
    values["age"] = float(rng.beta(1.0, 1.6))
    values["weight"] = float(rng.beta(2.6, 2.6))
    return float(
        np.clip(0.80 * shares[0] + 0.36 * shares[1] + 0.17 * shares[2] + 0.11 * rng.standard_normal(), 0, 1)
    )


def _expression(rng: np.random.Generator) -> dict[str, float]:
    smiling, talking = rng.random() < 0.55, rng.random() < 0.25
    return {
        "smile": float(np.clip(rng.normal(0.55, 0.25), 0.05, 1.0)) if smiling else 0.0,
        "jaw_open": float(rng.uniform(0.06, 0.32)) if talking else 0.0,
        "frown": float(rng.uniform(0.2, 0.8)) if not smiling and rng.random() < 0.18 else 0.0,
        "pucker": float(rng.uniform(0.2, 0.7)) if not smiling and rng.random() < 0.08 else 0.0,
        "squint": float(np.clip(rng.normal(0.0, 0.2), 0.0, 0.6)),
        "blink": float(rng.uniform(0.6, 1.0)) if rng.random() < 0.03 else float(rng.uniform(0.0, 0.08)),
    }


def _skin(rng: np.random.Generator, values: dict[str, Any], melanin: float) -> dict[str, Any]:
    place = melanin * (len(_SKIN_TONES) - 1)
    low = min(int(place), len(_SKIN_TONES) - 2)
    tone = np.array(_SKIN_TONES[low]) + (place - low) * np.subtract(_SKIN_TONES[low + 1], _SKIN_TONES[low])
    tone = 0.80 * linear(tone * (1 + 0.02 * rng.standard_normal(3)))
    female = values["female"]
    freckled = rng.random() < 0.2 and melanin < 0.45
    beard = 0
    if female < 0.4 and rng.random() < 0.62:
        beard = int(rng.choice(range(1, len(BEARDS)), p=[0.36, 0.10, 0.14, 0.24, 0.16]))
    made_up = female > 0.6 and rng.random() < 0.55
    return {
        "skin_r": float(tone[0]),
        "skin_g": float(tone[1]),
        "skin_b": float(tone[2]),
        "freckles": float(rng.uniform(0.3, 1.0)) if freckled else 0.0,
        "skin_pattern": float(rng.random()),
        "makeup": float(rng.uniform(0.3, 1.0)) if made_up else 0.0,
        "lashes": float(np.clip(0.35 + 0.5 * female + 0.12 * rng.standard_normal(), 0.1, 1.0)),
        "lip_redness": float(np.clip(rng.normal(0.15 + 0.3 * made_up, 0.2), 0.0, 1.0)),
        "beard": beard,
        "beard_length": float(rng.uniform(0.004, 0.030)) if BEARDS[beard] not in ("none", "stubble") else 0.0,
    }


def _hair(rng: np.random.Generator, values: dict[str, Any], melanin: float) -> dict[str, Any]:
    rough = {
        "bald": 0.8, "buzz": 1.3, "short": 2.6, "side-part": 2.2, "slick-back": 1.2, "quiff": 1.4, "fringe": 0.3,
        "curly": 0.7, "afro": 0.5, "long": 0.3, "long-wavy": 0.2, "bun": 0.15,
    }  # fmt: skip
    soft = {
        "short": 0.5, "side-part": 0.4, "slick-back": 0.3, "fringe": 1.5, "bob": 2.0, "long": 2.4, "long-wavy": 2.4,
        "curly": 1.0, "afro": 0.6, "bun": 1.2, "ponytail": 1.2, "braids": 0.6,
    }  # fmt: skip
    female = values["female"]
    weights = np.array(
        [rough.get(name, 0.04) * (1 - female) + soft.get(name, 0.04) * female for name in HAIR_STYLES]
    )
    for name in ("afro", "braids"):  # they want hair that curls tightly
        weights[HAIR_STYLES.index(name)] *= 0.15 + 3.0 * values["african"]
    for name in ("long", "slick-back", "fringe"):
        weights[HAIR_STYLES.index(name)] *= 1.15 - values["african"]
    if female < 0.5:
        weights[HAIR_STYLES.index("bald")] *= 0.5 + 2.5 * values["age"]
    colour = _weighted(rng, _HAIR_COLOURS, melanin) * (1 + 0.06 * rng.standard_normal(3))
    grey = float(np.clip((values["age"] - 0.5) * 2.2 + 0.25 * rng.standard_normal(), 0, 0.92))
    if values["age"] > 0.45:
        colour = (1 - grey) * colour + grey * np.array([178.0, 176, 174])
    iris = _weighted(rng, _IRIS_COLOURS, melanin) * (1 + 0.08 * rng.standard_normal(3))
    side = 1.0 if rng.random() < 0.5 else -1.0
    result: dict[str, Any] = {
        "hair_style": int(rng.choice(len(HAIR_STYLES), p=weights / weights.sum())),
        "hair_part": side * float(rng.uniform(0.0, 0.075)),
        "hair_pattern": float(rng.random()),
    }
    for name, rgb in (("hair", linear(colour)), ("iris", linear(iris))):
        result |= {f"{name}_{channel}": float(part) for channel, part in zip("rgb", rgb, strict=True)}
    return result


def _outfit(rng: np.random.Generator, female: float) -> dict[str, Any]:
    cloth, trim, hat = (_fabric(rng) for _ in range(3))
    glasses = 0 if rng.random() > 0.16 else int(rng.choice([1, 2, 3, 4], p=[0.3, 0.36, 0.12, 0.22]))
    hat_kind = 0 if rng.random() > 0.08 else int(rng.integers(1, len(HATS)))
    earrings = 0 if rng.random() > 0.05 + 0.25 * female else int(rng.integers(1, len(EARRINGS)))
    values: dict[str, Any] = {
        "neckline": int(rng.choice(len(NECKLINES), p=[0.28, 0.18, 0.12, 0.20, 0.10, 0.12])),
        "pattern": int(rng.choice(len(PATTERNS), p=[0.56, 0.15, 0.11, 0.18])),
        "glasses": glasses,
        "hat": hat_kind,
        "earrings": earrings,
    }
    for name, colour in (("cloth", cloth), ("trim", trim), ("hat", hat)):
        values |= {f"{name}_{channel}": float(part) for channel, part in zip("rgb", colour, strict=True)}
    return values


def _surroundings(rng: np.random.Generator) -> dict[str, Any]:
    hue = rng.random()
    first = hsv(hue, rng.uniform(0.03, 0.40), rng.uniform(0.25, 0.85))
    second = hsv((hue + rng.normal(0.0, 0.15)) % 1, rng.uniform(0.03, 0.45), rng.uniform(0.15, 0.8))
    values: dict[str, Any] = {
        "background": int(rng.integers(len(BACKGROUNDS))),
        "back_pattern": float(rng.random()),
        "light_softness": float(rng.beta(2.0, 1.6)),
        "rim_light": float(rng.uniform(0.3, 1.0)) if rng.random() < 0.35 else 0.0,
    }
    for name, colour in (("back", first), ("back2", second)):
        values |= {
            f"{name}_{channel}": float(part)
            for channel, part in zip("rgb", linear(colour * 255), strict=True)
        }
    return values


def _fabric(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.58:  # greys, navy, beige: what most people wear
        return 0.9 * linear(
            hsv(rng.choice([0.6, 0.09, 0.0]), rng.uniform(0.0, 0.35), rng.uniform(0.1, 0.9)) * 255
        )
    return 0.9 * linear(hsv(rng.random(), rng.uniform(0.2, 0.58), rng.uniform(0.2, 0.72)) * 255)


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
