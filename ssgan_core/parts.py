"""The one table of semantic parts: names, map windows, depth bounds, source label ids and display colours.

A part's index in its schema is its id in masks; index 0 is the background. The other K parts are the
foreground: part generators, windows and opacities are indexed 0..K-1 in the same order, so that
foreground index k is mask id k + 1. The schema travels with every data set (parts.json) and checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from ssgan_core.errors import SsganError

# Half side of the rectangle of the x, y plane that part maps cover: 1.25 times the frontal frame
# (0.317), so that shoulders and long hair are not cut at yaw 0.5.
_HALF_WINDOW = 0.40
HEAD_WINDOW = (-_HALF_WINDOW, -_HALF_WINDOW, _HALF_WINDOW, _HALF_WINDOW)
# Where 4,513 synthetic heads have them, and a little around: in the head's window an iris is six texels wide.
_EYES_WINDOW = (-0.16, -0.10, 0.16, 0.22)
_BROWS_WINDOW = (-0.19, -0.08, 0.19, 0.30)
_MOUTH_WINDOW = (-0.14, -0.25, 0.14, 0.03)

# Public 19-class label orders. Left and right are the subject's.
CELEBAMASK_HQ = (
    "background", "skin", "nose", "glasses", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
    "u_lip", "l_lip", "hair", "hat", "earring", "necklace", "neck", "cloth",
)  # fmt: skip
BISENET = (
    "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "glasses", "l_ear", "r_ear", "earring",
    "nose", "mouth", "u_lip", "l_lip", "neck", "necklace", "cloth", "hair", "hat",
)  # fmt: skip
LABEL_ORDERS = {"celebamask-hq": CELEBAMASK_HQ, "bisenet": BISENET}

# The one-PNG-per-part files of the original CelebAMask-HQ release are named 00000_<suffix>.png.
CELEBAMASK_HQ_SUFFIXES = {
    "skin": "skin", "nose": "nose", "eye_g": "glasses", "l_eye": "l_eye", "r_eye": "r_eye",
    "l_brow": "l_brow", "r_brow": "r_brow", "l_ear": "l_ear", "r_ear": "r_ear", "mouth": "mouth",
    "u_lip": "u_lip", "l_lip": "l_lip", "hair": "hair", "hat": "hat", "ear_r": "earring",
    "neck_l": "necklace", "neck": "neck", "cloth": "cloth",
}  # fmt: skip

# Class name of what is strands to the eye, and parts into them at its outline.
STRANDS = "hair"
# Class names of what is smooth but for grain: pores, stubble, creases, the hairs of brows, weave.
GRAINED = ("skin", "nose", "l_ear", "r_ear", "neck", "l_brow", "r_brow", "cloth", "hat")
# Class names of what comes in kinds that have no point in common: a shirt and a hood, a cap and a beanie.
WORN = ("cloth", "hat")
# Class names of what lies in an opening of the skin, not on it.
SUNKEN = ("l_eye", "r_eye", "mouth")
# Class name of what a mask covers, and light passes through all the same.
SEEN_THROUGH = "glasses"


@dataclass(frozen=True)
class Part:
    """One row of the table.

    Attributes:
        name: unique, lower case.
        merges: class names of the 19-class orders that this part unites.
        colour: display colour, sRGB 0..255.
        depth_start: world units by which the sheet starts in front of (+) or behind (-) the skin sheet.
        depth_bound: largest learned departure from `depth_start`, world units. For the skin, from the dome.
        window: rectangle (x0, y0, x1, y1) of the world's x, y plane that the part's maps cover: where it has texels.
        mirror: the part that this one becomes when left and right are exchanged ("" = itself).
    """

    name: str
    merges: tuple[str, ...]
    colour: tuple[int, int, int]
    depth_start: float = 0.0
    depth_bound: float = 0.0
    window: tuple[float, float, float, float] = HEAD_WINDOW
    mirror: str = ""


@dataclass(frozen=True)
class PartSchema:
    """An ordered set of parts, the background first and the base part (skin) second."""

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(names) < 2 or names[0] != "background":
            raise SsganError(
                f"a part schema starts with 'background' and has at least one part more, got {names}"
            )
        if len(names) > 255:
            raise SsganError(f"a part schema has at most 255 parts, got {len(names)}")
        if doubled := {name for name in names if names.count(name) > 1}:
            raise SsganError(f"part schema names {sorted(doubled)} twice")
        if strangers := {part.mirror for part in self.parts if part.mirror} - set(names):
            raise SsganError(f"part schema mirrors to unknown parts {sorted(strangers)}")
        if (self.mirror_ids[self.mirror_ids] != np.arange(len(names))).any():
            raise SsganError("part schema mirrors parts one way only: if a becomes b, b becomes a")

    @property
    def names(self) -> tuple[str, ...]:
        """All part names, the background first; a name's index is its mask id."""
        return tuple(part.name for part in self.parts)

    @property
    def foreground(self) -> tuple[Part, ...]:
        """The K parts without the background."""
        return self.parts[1:]

    @property
    def colours(self) -> np.ndarray:
        """Display colours [K + 1, 3], uint8."""
        return np.array([part.colour for part in self.parts], np.uint8)

    @property
    def windows(self) -> np.ndarray:
        """Map windows of the foreground parts [K, 4], float32, world units."""
        return np.array([part.window for part in self.foreground], np.float32)

    @property
    def frame(self) -> tuple[float, float, float, float]:
        """The rectangle (x0, y0, x1, y1) around all windows: networks know positions in it, wherever texels lie."""
        x0, y0, x1, y1 = zip(*(part.window for part in self.foreground), strict=True)
        return min(x0), min(y0), max(x1), max(y1)

    def in_one_window(self) -> PartSchema:
        """The same parts, whose maps all cover the frame."""
        parts = (replace(part, window=self.frame) for part in self.foreground)
        return PartSchema((self.parts[0], *parts))

    @property
    def mirror_ids(self) -> np.ndarray:
        """Mask id of each mask id after left and right are exchanged [K + 1], int64."""
        return np.array([self.names.index(part.mirror or part.name) for part in self.parts], np.int64)

    def foreground_index(self, name: str) -> int:
        """Index 0..K-1 of a named foreground part.

        Raises:
            SsganError: there is no such part; the hint names the closest, or all.
        """
        choices = self.names[1:]
        if name in choices:
            return choices.index(name)
        close = get_close_matches(name, choices, 1)
        hint = f"did you mean '{close[0]}'?" if close else "parts are " + ", ".join(choices)
        raise SsganError(f"there is no part '{name}'", hint)

    def listed_ids(self, names: str) -> list[int]:
        """Sorted mask ids of parts of the foreground named with commas between them; none for none.

        Raises:
            SsganError: as `foreground_index`.
        """
        named = [name.strip() for name in names.split(",") if name.strip()]
        return [index + 1 for index in self.foreground_indices(named)]

    def foreground_indices(self, names: Iterable[str]) -> list[int]:
        """Sorted indices of several named parts; `all` means every foreground part."""
        wanted = list(names)
        if "all" in wanted:
            return list(range(len(self.foreground)))
        return sorted({self.foreground_index(name) for name in wanted})

    def united(self) -> PartSchema:
        """Background and a single part "head": all others in one, as wide and as deep as their sheets could be.

        In masks, every id but 0 becomes 1. A united schema stays as it is.
        """
        base, *others = self.foreground
        reach = max((abs(part.depth_start) + part.depth_bound for part in others), default=0.0)
        head = Part(
            name="head",
            merges=tuple(source for part in self.foreground for source in part.merges),
            colour=base.colour,
            depth_start=base.depth_start,
            depth_bound=base.depth_bound + reach,
            window=self.frame,
        )
        return PartSchema((self.parts[0], head))

    def lookup(self, order: str) -> np.ndarray:
        """Table [256], uint8, from the label ids of a 19-class order to mask ids; 255 marks unknown labels.

        Args:
            order: a key of LABEL_ORDERS.
        """
        if order not in LABEL_ORDERS:
            raise SsganError(f"unknown label order '{order}'", "orders are " + ", ".join(LABEL_ORDERS))
        table = np.full(256, 255, np.uint8)
        for label, source in enumerate(LABEL_ORDERS[order]):
            table[label] = self.id_of_source(source)
        return table

    def id_of_source(self, source: str) -> int:
        """Mask id of the part that unites the 19-class name `source`."""
        for index, part in enumerate(self.parts):
            if source in part.merges:
                return index
        raise SsganError(f"no part unites the source class '{source}'")

    def to_json(self) -> list[dict[str, Any]]:
        """Plain lists and dictionaries, as stored in parts.json and in checkpoints."""
        return [asdict(part) for part in self.parts]

    @classmethod
    def from_json(cls, rows: Any) -> PartSchema:
        """The schema of a parsed parts.json.

        Raises:
            SsganError: it is not a schema.
        """
        if (
            not isinstance(rows, Sequence)
            or isinstance(rows, str)
            or not all(isinstance(row, dict) for row in rows)
        ):
            raise SsganError("a part schema is a list of objects")
        return cls(tuple(_part_from_json(row) for row in rows))


def _part_from_json(row: dict[str, Any]) -> Part:
    try:
        part = Part(
            name=str(row["name"]),
            merges=tuple(str(name) for name in row["merges"]),
            colour=tuple(int(value) for value in row["colour"]),  # type: ignore[arg-type]
            depth_start=float(row["depth_start"]),
            depth_bound=float(row["depth_bound"]),
            window=tuple(float(value) for value in row["window"]),  # type: ignore[arg-type]
            mirror=str(row.get("mirror", "")),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SsganError(f"a part of the schema is malformed: {error!r}") from error
    if len(part.colour) != 3 or not all(0 <= value <= 255 for value in part.colour):
        raise SsganError(f"part '{part.name}' has an impossible colour {part.colour}")
    x0, y0, x1, y1 = part.window if len(part.window) == 4 else (0.0,) * 4
    if not (np.isfinite(part.window).all() and x0 < x1 and y0 < y1):
        raise SsganError(f"part '{part.name}' has an impossible window {part.window}")
    if not np.isfinite([part.depth_start, part.depth_bound]).all() or part.depth_bound < 0:
        raise SsganError(f"part '{part.name}' has impossible depth bounds")
    return part


# Starts and bounds: where 400 synthetic heads have their parts, from the 1st to the 99th percentile of small parts and
# from the 5th to the 95th of large ones (tools/part_table.py); the slab that holds all sheets grows with every bound.
# Eyes and mouth lie behind the skin around them, but start before it, so that it does not hide them at first.
PORTRAIT = PartSchema(
    (
        Part("background", ("background",), (0, 0, 0)),
        Part("skin", ("skin",), (231, 190, 160), 0.0, 0.10),
        Part("eyes", ("l_eye", "r_eye"), (54, 92, 222), 0.005, 0.03, _EYES_WINDOW),
        Part("brows", ("l_brow", "r_brow"), (112, 66, 20), 0.005, 0.015, _BROWS_WINDOW),
        Part("mouth", ("mouth", "u_lip", "l_lip"), (222, 40, 60), 0.005, 0.08, _MOUTH_WINDOW),
        Part("nose", ("nose",), (247, 144, 61), 0.010, 0.04),
        Part("ears", ("l_ear", "r_ear"), (152, 200, 60), -0.050, 0.10),
        Part("hair", ("hair",), (94, 53, 134), -0.015, 0.19),
        Part("neck", ("neck", "necklace"), (200, 160, 110), -0.105, 0.12),
        Part("cloth", ("cloth",), (40, 160, 150), -0.075, 0.18),
        Part("glasses", ("glasses",), (250, 240, 30), 0.035, 0.10),
        Part("hat", ("hat",), (240, 120, 190), 0.020, 0.18),
        Part("earrings", ("earring",), (240, 240, 250), -0.045, 0.09),
    )
)
"""The 13 merged CelebAMask-HQ classes of the default schema (K = 12)."""
