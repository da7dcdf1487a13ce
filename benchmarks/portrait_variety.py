"""How different the people of a synthetic data set are, and what it shows how often.

    python -m benchmarks.portrait_variety DATA

DATA is a data set of `ssgan synth`. Parts and angles are counted over its views; traits (hair styles, glasses, ...)
over its identities, which are sampled again from the seed that the data set names.

*Nearest neighbours*: for every identity, how far the identity most like it is. Shape: root mean square distance of the
head's vertices (no shoulders) with a neutral face, after the best rotation, scale and shift; in millimetres of a head
of natural size. Picture: root mean square difference of first views at 32 x 32 pixels, in grey levels of 255.

Colours are CIE L*a*b* of the median skin and hair pixel of every view. Prints tables and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.heads import sampler
from ssgan_core.heads.bust import build_bust
from ssgan_core.heads.sampler import Identity, sample_identity
from ssgan_core.heads.template import template

TRAITS = {
    "hair_style": sampler.HAIR_STYLES,
    "beard": sampler.BEARDS,
    "neckline": sampler.NECKLINES,
    "pattern": sampler.PATTERNS,
    "glasses": sampler.GLASSES,
    "hat": sampler.HATS,
    "earrings": sampler.EARRINGS,
    "background": sampler.BACKGROUNDS,
}
_EXPRESSION = (
    "jaw_open", "smile", "smirk", "frown", "pucker", "brow_raise", "squint", "blink", "gaze_yaw", "gaze_pitch",
    "body_yaw", "body_pitch",
)  # fmt: skip
_CHIN = 6.3  # template height below which vertices follow the shoulders
_MM = 100.0  # a template unit is a decimetre
_THUMBNAIL = 32
_LEAST_PIXELS = 16  # of a colour's median
_BARS = " ▁▂▃▄▅▆▇█"


def main() -> None:
    options = _options()
    data = PortraitDataset.open(options.data)
    identities, views, pictures = survey(data, options.limit)
    shapes = neighbours(head_shapes(identities))
    facts = {
        "views": len(views["yaw"]),
        "identities": len(identities),
        "angles": {name: spread(np.rad2deg(views[name])) for name in ("yaw", "pitch")},
        "parts": part_shares(views["areas"], data.schema.names),
        "traits": {name: trait_shares(identities, name) for name in TRAITS},
        "shape_mm": closest(shapes, identities),
        "picture_levels": closest(neighbours(pictures), identities),
        "skin": colours(views["skin"]),
        "hair": colours(views["hair"]),
    }
    report(facts, views)
    print(json.dumps(facts))


def survey(
    data: PortraitDataset, limit: int | None
) -> tuple[list[Identity], dict[str, np.ndarray], np.ndarray]:
    """Identities; of all views yaw and pitch [N], areas [N, parts] and colours [N, 3] (NaN where there is none);
    thumbnails of first views, flat [identities, n].

    Raises:
        SsganError: the data set was not made by `ssgan synth`.
    """
    identities: dict[int, Identity] = {}
    thumbnails, areas, skin, hair = [], [], [], []
    names = data.schema.names
    count = len(data) if limit is None else min(limit, len(data))
    for index in range(count):
        meta = data.meta(index)
        if meta.get("source") != "synthetic":
            raise SsganError(f"{data.names[index]} is no synthetic portrait", "make some with 'ssgan synth'")
        image, mask = data.image(index), data.mask(index)
        areas.append(np.bincount(mask.ravel(), minlength=len(names)) / mask.size)
        skin.append(_median_lab(image, mask == names.index("skin")))
        hair.append(_median_lab(image, mask == names.index("hair")))
        if meta["identity"] not in identities:
            identities[meta["identity"]] = sample_identity(meta["seed"], meta["identity"])
            small = cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
            thumbnails.append(small.ravel())
    yaw, pitch = cameras.angles(data.labels[:count])
    views = {"yaw": yaw, "pitch": pitch, "areas": areas, "skin": skin, "hair": hair}
    return (
        list(identities.values()),
        {name: np.array(values) for name, values in views.items()},
        np.array(thumbnails, np.float64),
    )


def head_shapes(identities: list[Identity]) -> np.ndarray:
    """Neutral heads as flat rows [N, 3 V] whose root mean square difference is in millimetres.

    All are aligned to the first by a similarity, then to their mean.
    """
    mesh = template()
    head = mesh.piece_vertices["body"]
    head = head[head < len(mesh.vertices)]  # those of the coarse mesh are enough
    head = head[mesh.rest[head, 1] > _CHIN]
    rows, scales = [], []
    for identity in identities:
        bust = build_bust(dataclasses.replace(identity, **dict.fromkeys(_EXPRESSION, 0.0)))
        rows.append(bust.points[head].astype(np.float64))
        scales.append(bust.scale)
    shapes = np.stack(rows)
    for goal in (shapes[0], None):
        goal = shapes.mean(axis=0) if goal is None else goal
        shapes = np.stack([_aligned(shape, goal) for shape in shapes])
    # A vertex moves in three directions: the root mean square over vertices is sqrt(3) times that over numbers.
    return shapes.reshape(len(shapes), -1) * (np.sqrt(3) * _MM / np.mean(scales))


def _aligned(points: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Points [V, 3] turned, scaled and shifted onto others (Umeyama 1991)."""
    centre, target = points.mean(axis=0), goal.mean(axis=0)
    left, values, right = np.linalg.svd((goal - target).T @ (points - centre))
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (values * signs).sum() / ((points - centre) ** 2).sum()
    return scale * (points - centre) @ (left * signs @ right).T + target


def neighbours(rows: np.ndarray) -> np.ndarray:
    """Root mean square differences [N, N] of rows [N, n]; infinite on the diagonal."""
    squares = (rows**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0) / rows.shape[1])
    np.fill_diagonal(distances, np.inf)
    return distances


def closest(distances: np.ndarray, identities: list[Identity]) -> dict[str, Any]:
    """Smallest, median and largest distance to the nearest neighbour; who the two most alike are."""
    nearest = distances.min(axis=1)
    pair = np.unravel_index(distances.argmin(), distances.shape)
    return {
        "smallest": float(nearest.min()),
        "median": float(np.median(nearest)),
        "largest": float(nearest.max()),
        "typical_pair": float(np.median(distances[np.isfinite(distances)])),
        "alike": [identities[number].index for number in pair],
    }


def part_shares(areas: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Of every part: share of views that show it, and percentiles 5, 50, 95 of its area where it is shown."""
    result = {}
    for name, area in zip(names, areas.T, strict=True):
        shown = area[area > 0]
        low, middle, high = np.percentile(shown, [5, 50, 95]) if len(shown) else (0.0, 0.0, 0.0)
        result[name] = {"shown": float((area > 0).mean()), "p5": low, "p50": middle, "p95": high}
    return result


def trait_shares(identities: list[Identity], trait: str) -> dict[str, float]:
    """Share of identities with each choice of a trait."""
    counts = Counter(getattr(identity, trait) for identity in identities)
    return {name: counts[number] / len(identities) for number, name in enumerate(TRAITS[trait])}


def colours(lab: np.ndarray) -> dict[str, Any]:
    """Spread of L*, a* and b* over the views that show it, from [N, 3]."""
    lab = lab[np.isfinite(lab).all(axis=1)]
    return {name: spread(values) for name, values in zip(("L", "a", "b"), lab.T, strict=True) if len(lab)}


def spread(values: np.ndarray) -> dict[str, float]:
    """Percentiles 5, 50 and 95 and the standard deviation."""
    low, middle, high = np.percentile(values, [5, 50, 95])
    return {"p5": float(low), "p50": float(middle), "p95": float(high), "std": float(values.std())}


def histogram(values: np.ndarray, low: float, high: float, bins: int = 32) -> str:
    """Values as a line of bars."""
    counts = np.histogram(values, bins, (low, high))[0]
    return "".join(
        _BARS[level] for level in np.ceil(counts / max(counts.max(), 1) * (len(_BARS) - 1)).astype(int)
    )


def _median_lab(image: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """L*, a*, b* [3] of the median of chosen pixels; NaN if they are few."""
    if chosen.sum() < _LEAST_PIXELS:
        return np.full(3, np.nan)
    middle = np.median(image[chosen], axis=0).astype(np.float32)[None, None] / 255
    return cv2.cvtColor(middle, cv2.COLOR_RGB2LAB)[0, 0]


def report(facts: dict[str, Any], views: dict[str, np.ndarray]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    console.print(f"{facts['views']} views of {facts['identities']} identities")
    for name, reach in (("yaw", 45), ("pitch", 45)):
        row = facts["angles"][name]
        bars = histogram(np.rad2deg(views[name]), -reach, reach)
        console.print(f"{name:>5} -{reach} |{bars}| +{reach} degrees, standard deviation {row['std']:.1f}")
    table = Table(title="parts")
    for column in ("part", "shown in", "area 5 %", "50 %", "95 %", "areas from 0 to the largest"):
        table.add_column(column, justify="left" if column.startswith(("part", "areas")) else "right")
    for number, (name, row) in enumerate(facts["parts"].items()):
        area = views["areas"][:, number]
        bars = histogram(area[area > 0], 0, area.max(), 20) if area.any() else ""
        sizes = (f"{100 * row[key]:.2f} %" for key in ("p5", "p50", "p95"))
        table.add_row(name, f"{100 * row['shown']:.1f} %", *sizes, bars)
    console.print(table)
    table = Table("trait", "shares of identities", title="traits")
    for name, shares in facts["traits"].items():
        table.add_row(name, ", ".join(f"{choice} {100 * share:.1f} %" for choice, share in shares.items()))
    console.print(table)
    table = Table(title="nearest neighbours")
    for column in ("distance", "smallest", "median", "largest", "any two", "most alike"):
        table.add_column(column, justify="left" if column == "distance" else "right")
    for name, title in (("shape_mm", "shape, mm"), ("picture_levels", "picture, levels")):
        row = facts[name]
        sizes = (f"{row[key]:.2f}" for key in ("smallest", "median", "largest", "typical_pair"))
        table.add_row(title, *sizes, "{} and {}".format(*row["alike"]))
    console.print(table)
    table = Table(title="colours")
    for column in ("of", "channel", "5 %", "50 %", "95 %", "standard deviation"):
        table.add_column(column, justify="left" if column in ("of", "channel") else "right")
    for name in ("skin", "hair"):
        for channel, row in facts[name].items():
            table.add_row(name, f"{channel}*", *(f"{row[key]:.1f}" for key in ("p5", "p50", "p95", "std")))
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="look at the first so many views only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
