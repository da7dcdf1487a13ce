"""Where the parts of a data set with depth lie, and the numbers of parts.py and geometry.py that follow.

    python tools/part_table.py DATA --limit 400

Every pixel is placed in the world by its depth and camera. Printed for each part: percentiles of its height over the
skin's dome (ssgan_core.model.geometry.dome) and over the skin itself, its extent in x and y, and what parts.PORTRAIT
says. The skin is known where views of a head show it; elsewhere its height over the dome continues smoothly, as the
generator's skin sheet does.

Then the suggestion, ready to paste: a dome fitted to the skin by least squares, the skin's bound about it, and for
every other part a start and a bound that reach from the 1st to the 99th percentile of its height over the skin, with a
tenth to spare. Parts that are hardly seen keep their numbers and are marked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter
from scipy.optimize import least_squares

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.evaluation.geometry import unproject
from ssgan_core.model import geometry
from ssgan_core.parts import PORTRAIT

PERCENTILES = (1, 5, 50, 95, 99)
_CELLS = 64  # of the skin's map along a side
_HALF_WINDOW = PORTRAIT.foreground[0].window[2]
_PER_HEAD = 2000  # pixels of a part that count, at most
_FEW = 500  # pixels below which percentiles are guesses
_FITTED = 20_000  # skin pixels that the dome is fitted to
_SPARE = 1.1
_LEAST_BOUND = 0.01
_SKIN = PORTRAIT.names.index("skin")


@dataclass(frozen=True)
class Dome:
    """A Gaussian bump over the world's x, y plane: height, base and radii in x and y."""

    height: float
    base: float
    radius_x: float
    radius_y: float

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """World z over x, y."""
        away = (x / self.radius_x) ** 2 + (y / self.radius_y) ** 2
        return self.height * np.exp(-0.5 * away) + self.base


@dataclass(frozen=True)
class Head:
    """Some of the points that views of one head show: world [n, 3] and part ids [n]."""

    points: np.ndarray
    parts: np.ndarray


def main() -> None:
    options = _options()
    data = PortraitDataset.open(options.data)
    if not data.has_depth:
        raise SsganError(f"{options.data} has no depth", "data sets of 'ssgan synth' have")
    heads = list(heads_of(data, options.limit))
    advice = suggestion(heads)
    rows = measured(heads, Dome(**advice["dome"]))
    report(rows, advice, len(heads))
    print(json.dumps({"heads": len(heads), "parts": rows, "suggestion": advice}))


def heads_of(data: PortraitDataset, limit: int | None) -> Iterator[Head]:
    """The foreground of every head that shows skin, of each part no more than _PER_HEAD points."""
    rng = np.random.default_rng(0)
    views: dict[Any, list[int]] = {}
    for index in range(len(data))[:limit]:
        views.setdefault(data.meta(index).get("identity", data.names[index]), []).append(index)
    for indices in views.values():
        points, parts = [], []
        for index in indices:
            mask, depth = data.mask(index), data.depth(index)
            assert depth is not None
            seen = (mask > 0) & (depth > 0)
            points.append(unproject(depth, data.labels[index])[seen])
            parts.append(mask[seen])
        ids = np.concatenate(parts)
        chosen = np.concatenate(
            [rng.permutation(np.flatnonzero(ids == k))[:_PER_HEAD] for k in np.unique(ids)]
        )
        if (ids == _SKIN).any():
            yield Head(np.concatenate(points)[chosen], ids[chosen])


def shipped_dome(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The dome that geometry.py has now."""
    return geometry.dome(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def of_part(heads: list[Head], part: int) -> np.ndarray:
    """Points [n, 3] of a part id."""
    return np.concatenate([head.points[head.parts == part] for head in heads])


def over_skin(heads: list[Head], dome: Dome) -> list[np.ndarray]:
    """Heights [n] over the heads' skins, a row for every part id; beyond its pixels the skin follows the dome."""
    rows: list[list[np.ndarray]] = [[] for _ in PORTRAIT.names]
    for head in heads:
        x, y, z = head.points.T
        residual = z - dome(x, y)
        skin = head.parts == _SKIN
        above = residual - looked_up(skin_map(head.points[skin], residual[skin]), head.points)
        for part, row in enumerate(rows):
            row.append(above[head.parts == part])
    return [np.concatenate(row) for row in rows]


def skin_map(points: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Height of a head's skin over the dome [cells, cells]: means where it was seen, smoothly continued elsewhere."""
    row, column = _cells(points)
    flat = row * _CELLS + column
    count = np.bincount(flat, minlength=_CELLS**2).reshape(_CELLS, _CELLS).astype(float)
    total = np.bincount(flat, residual, _CELLS**2).reshape(_CELLS, _CELLS)
    known = count > 0
    mean = np.where(known, total / np.maximum(count, 1), 0)
    # From narrow to wide windows, the first that sees something decides.
    for width in (1, 2, 4, 8, 16, 32, 64):
        weight = gaussian_filter(known.astype(float), width)
        value = gaussian_filter(np.where(known, mean, 0), width) / np.maximum(weight, 1e-9)
        fill = ~known & (weight > 0.05)
        mean, known = np.where(fill, value, mean), known | fill
        if known.all():
            break
    return mean


def looked_up(surface: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values [n] of a map of the window at world points [n, 3]."""
    row, column = _cells(points)
    return surface[row, column]


def _cells(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = ((points[:, :2] / _HALF_WINDOW + 1) / 2 * _CELLS).astype(int).clip(0, _CELLS - 1)
    return place[:, 1], place[:, 0]


def fitted_dome(skin: np.ndarray, base: float) -> Dome:
    """The dome on a base that lies closest to skin points [n, 3] (least squares, robust against lone points)."""
    x, y, z = skin.T
    fit = least_squares(
        lambda p: Dome(p[0], base, p[1], p[2])(x, y) - z, [0.24, 0.22, 0.28], loss="soft_l1", f_scale=0.03,
        bounds=([0.02, 0.1, 0.1], [1.0, 1.0, 1.0]),
    )  # fmt: skip
    height, radius_x, radius_y = (round(float(value), 3) for value in fit.x)
    return Dome(height, base, radius_x, radius_y)


def measured(heads: list[Head], dome: Dome) -> dict[str, dict[str, Any]]:
    """Of every part: pixels, heights over the shipped dome and the skin (percentiles), extents in x and y and z."""
    result = {}
    for part, above in enumerate(over_skin(heads, dome)):
        if not len(above):
            continue
        points = of_part(heads, part)
        result[PORTRAIT.names[part]] = {
            "pixels": len(points),
            "over_dome": _rounded(
                np.percentile(points[:, 2] - shipped_dome(points[:, 0], points[:, 1]), PERCENTILES)
            ),
            "over_skin": _rounded(np.percentile(above, PERCENTILES)),
            **{axis: _rounded(np.percentile(points[:, i], [1, 99])) for i, axis in enumerate("xyz")},
        }
    return result


def suggestion(heads: list[Head]) -> dict[str, Any]:
    """Dome, and (start, bound) of every part; None for a part that was hardly seen.

    The skin, which ends where the head turns away, does not tell the dome's base: it is the one with which the slab
    that holds all sheets is thinnest.
    """
    skin = of_part(heads, _SKIN)
    sparse = skin[:: max(len(skin) // _FITTED, 1)]
    best: dict[str, Any] = {}
    for base in np.round(np.arange(-0.30, 0.101, 0.02), 3).tolist():
        dome = fitted_dome(sparse, base)
        parts = part_numbers(heads, dome)
        slab = _slab(dome, parts)
        if not best or slab[1] - slab[0] < best["slab"][1] - best["slab"][0]:
            rms = {"fitted": _rms(skin[:, 2] - dome(skin[:, 0], skin[:, 1]))}
            best = {"dome": vars(dome), "parts": parts, "slab": _rounded(np.array(slab)), "rms_skin": rms}
    best["rms_skin"]["shipped"] = _rms(skin[:, 2] - shipped_dome(skin[:, 0], skin[:, 1]))
    return best


def part_numbers(heads: list[Head], dome: Dome) -> dict[str, tuple[float, float] | None]:
    """(start, bound) of every part over a dome; None for a part that was hardly seen."""
    skin = of_part(heads, _SKIN)
    reach = np.abs(np.percentile(skin[:, 2] - dome(skin[:, 0], skin[:, 1]), [1, 99])).max()
    parts: dict[str, tuple[float, float] | None] = {"skin": (0.0, _bound(reach))}
    for part, above in enumerate(over_skin(heads, dome)):
        if part in (0, _SKIN):
            continue
        parts[PORTRAIT.names[part]] = None
        if len(above) >= _FEW:
            low, middle, high = np.percentile(above, [1, 50, 99])
            start = round(round(float(middle) / 0.005) * 0.005, 3)
            parts[PORTRAIT.names[part]] = (start, _bound(max(high - start, start - low)))
    return parts


def _slab(dome: Dome, parts: dict[str, tuple[float, float] | None]) -> tuple[float, float]:
    """Lowest and highest z that any sheet can reach, as geometry.depth_bounds has it."""
    numbers = [parts[part.name] or (part.depth_start, part.depth_bound) for part in PORTRAIT.foreground]
    low = min(0.0, *(start - bound for start, bound in numbers[1:]))
    high = max(0.0, *(start + bound for start, bound in numbers[1:]))
    return dome.base - numbers[0][1] + low, dome.base + dome.height + numbers[0][1] + high


def _bound(reach: float) -> float:
    """A bound with some to spare, rounded up to hundredths."""
    return max(float(np.ceil(reach * _SPARE * 100) / 100), _LEAST_BOUND)


def _rms(values: np.ndarray) -> float:
    return round(float(np.sqrt((values**2).mean())), 4)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def report(rows: dict[str, dict[str, Any]], advice: dict[str, Any], heads: int) -> None:
    """Print the table and what to paste."""
    console = Console(highlight=False, width=132)
    table = Table(title=f"{heads} heads; percentiles {PERCENTILES} in world units")
    for column in ("part", "pixels", "over the dome", "over the skin", "x 1 to 99 %", "y 1 to 99 %", "now"):
        table.add_column(column, justify="right" if column == "pixels" else "left")
    for part in PORTRAIT.foreground:
        if row := rows.get(part.name):
            over = (" ".join(f"{value:+.3f}" for value in row[key]) for key in ("over_dome", "over_skin"))
            extents = ("{:+.2f} {:+.2f}".format(*row[key]) for key in ("x", "y"))
            now = f"{part.depth_start:+.3f} ± {part.depth_bound:.2f}"
            table.add_row(part.name, str(row["pixels"]), *over, *extents, now)
    console.print(table)
    rms, slab = advice["rms_skin"], advice["slab"]
    everything = [value for row in rows.values() for value in row["z"]]
    console.print(
        f"skin off the dome, root mean square: {rms['shipped']} now, {rms['fitted']} fitted\n"
        "slab of all sheets: {:.3f} to {:.3f} now, ".format(*geometry.depth_bounds(PORTRAIT))
        + "{:.3f} to {:.3f} suggested; ".format(*slab)
        + f"seen: {min(everything):.3f} to {max(everything):.3f}\n"
    )
    dome = advice["dome"]
    print("# ssgan_core/model/geometry.py")
    print(f"_DOME_HEIGHT = {dome['height']}")
    print(f"_DOME_BASE = {dome['base']}")
    print(f"_DOME_RADII = ({dome['radius_x']}, {dome['radius_y']})")
    print("# ssgan_core/parts.py: name, merges, colour, depth_start, depth_bound")
    for part in PORTRAIT.foreground:
        numbers = advice["parts"][part.name]
        start, bound = numbers or (part.depth_start, part.depth_bound)
        merges = (
            "("
            + ", ".join(f'"{name}"' for name in part.merges)
            + ("," if len(part.merges) == 1 else "")
            + ")"
        )
        doubt = "" if numbers else "  # hardly seen: unchanged"
        print(f'Part("{part.name}", {merges}, {part.colour}, {start:.3f}, {bound:.2f}),{doubt}')


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="look at the first so many views only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
