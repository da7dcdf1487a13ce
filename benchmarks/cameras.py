"""How well the cameras that `ssgan preprocess` estimates agree with the true ones of synthetic portraits.

    python -m benchmarks.cameras DATA

Runs the default networks (fetch them once: `ssgan weights fetch`) on the views of a data set of `ssgan synth`. Printed:
the share of views in which a face is found, for pictures scaled to several sizes; and for yaw and pitch, estimated
minus true: bias (median), median absolute error with the bias and without it, slope of estimated on true (least
squares).

The slope is then taken apart. Points of a face are followed by geometry instead of the network: the 468 points are
laid onto a head's skin where the network sees them in its frontal view, and carried to other views by depth. *solver*
is the slope for the canonical mesh itself, seen by true cameras; *head* for the followed points of our heads; *network*
for the points that the network finds in those views. What solver and head lose is a matter of the mesh's or the heads'
shape; what only the network loses is the network's. *Bias of head* is how the followed points stand against the mesh
when the camera is frontal. Rendered afresh for the data set's first identities, one angle varied at a time.

Prints tables and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.evaluation.geometry import lift
from ssgan_core.heads.render import render_portrait
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation import pose
from ssgan_core.preparation.faces import FaceFinder, FindsFace
from ssgan_core.preparation.mesh import canonical_mesh

_EASY_YAW = 0.6  # radians up to which a face has to be found
_BEFORE_SKIN = [PORTRAIT.names.index(name) for name in ("hair", "hat", "glasses")]
_SWEEP = (-0.3, -0.15, 0.15, 0.3)  # radians of the views whose slope is taken apart


def main() -> None:
    options = _options()
    finder = FaceFinder(options.weights)
    data = PortraitDataset.open(options.data)
    true = np.stack(cameras.angles(data.labels), axis=1)
    count = len(data) if options.limit is None else min(options.limit, len(data))
    rows, rates = [], {}
    for size in sorted({*options.sizes, data.resolution}):
        found = [estimate(finder, scaled(data.image(index), size)) for index in range(count)]
        easy = np.abs(true[:count, 0]) <= _EASY_YAW
        rates[size] = float(np.mean([row is not None for row, kept in zip(found, easy, strict=True) if kept]))
        if size == data.resolution:
            rows = [(true[index], row) for index, row in enumerate(found) if row is not None]
    facts: dict[str, Any] = {"views": count, "size": data.resolution, "detection": rates}
    if rows:
        facts |= agreement(np.array([row for row, _ in rows]), np.array([row for _, row in rows]))
    people = identities(data, options.sweep)
    facts["slopes"] = slopes(finder, people, data.resolution) if people else {}
    report(facts)
    print(json.dumps(facts))


def estimate(finder: FindsFace, image: np.ndarray) -> np.ndarray | None:
    """Yaw, pitch, raw radius, crop side over picture side, roll and error [6]; None where no face is found."""
    try:
        face = finder(image)
        view = pose.solve(face.points, face.correction)
        pose.check(view)
    except SsganError:
        return None
    return np.array(
        [view.yaw, view.pitch, view.raw_radius, view.crop.side / len(image), view.crop.angle, view.error]
    )


def scaled(image: np.ndarray, size: int) -> np.ndarray:
    """Picture [S, S, 3] at another size."""
    if size == len(image):
        return image
    how = cv2.INTER_AREA if size < len(image) else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=how)


def agreement(true: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Of true yaw and pitch [N, 2] and estimates [N, 6]: errors in degrees, slopes, and how pictures are framed."""
    result: dict[str, Any] = {}
    for axis, name in enumerate(("yaw", "pitch")):
        error = np.rad2deg(found[:, axis] - true[:, axis])
        bias = float(np.median(error))
        result[name] = {
            "bias": bias,
            "error": float(np.median(np.abs(error))),
            "error_unbiased": float(np.median(np.abs(error - bias))),
            "p95_unbiased": float(np.percentile(np.abs(error - bias), 95)),
            "slope": slope(true[:, axis], found[:, axis]),
        }
    names = ("raw_radius", "crop_side", "roll", "fit_error")
    return result | {
        name: float(np.median(column)) for name, column in zip(names, found[:, 2:].T, strict=True)
    }


def slope(true: np.ndarray, found: np.ndarray) -> float:
    """Slope of the least-squares line of found on true [N]; NaN if all true ones are alike."""
    centred = true - true.mean()
    total = float((centred**2).sum())
    return float((centred * found).sum() / total) if total > 0 else float("nan")


def identities(data: PortraitDataset, most: int) -> list[tuple[int, int]]:
    """Seed and number of the first identities of a synthetic data set."""
    found = {
        (meta["seed"], meta["identity"]): None
        for meta in map(data.meta, range(len(data)))
        if meta.get("source") == "synthetic"
    }
    return list(found)[:most]


def slopes(finder: FindsFace, people: list[tuple[int, int]], size: int) -> dict[str, dict[str, float]]:
    """Slopes of yaw and pitch of solver, head and network, and the head's bias in degrees; see the module's head."""
    result: dict[str, dict[str, float]] = {}
    mesh = canonical_mesh().points
    for axis, name in enumerate(("yaw", "pitch")):
        kinds: dict[str, list[tuple[float, float]]] = {"solver": [], "head": [], "network": []}
        for person in people:
            identity = sample_identity(*person)
            frontal = render_portrait(identity, cameras.label(0.0, 0.0), size)
            try:
                points = finder(frontal.image).points
            except SsganError:
                continue
            # Hair lies before the forehead and moves otherwise than the points that the network puts there.
            world = lifted(points, np.where(np.isin(frontal.mask, _BEFORE_SKIN), 0, frontal.depth))
            for angle in _SWEEP:
                angles = np.array([angle, 0.0]) if axis == 0 else np.array([0.0, angle])
                label = cameras.label(*angles)
                turned = estimate(finder, render_portrait(identity, label, size).image)
                if turned is None:
                    continue
                kinds["network"].append((angle, turned[axis]))
                for kind, shape in (("solver", mesh), ("head", world)):
                    view = pose.solve(pose.project(shape, label) * size)
                    kinds[kind].append((angle, (view.yaw, view.pitch)[axis]))
        result[name] = {
            kind: slope(*np.array(pairs).T) if pairs else float("nan") for kind, pairs in kinds.items()
        }
        misses = [found - angle for angle, found in kinds["head"]]
        result[name]["head_bias"] = float(np.rad2deg(np.mean(misses))) if misses else float("nan")
    return result


def lifted(points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """World points [468, 3] of picture points [468, 2 or 3] of the frontal view with depth [S, S].

    Points that lie beside the head are laid where the nearest pixel of the head is.
    """
    size = len(depth)
    rows, columns = np.nonzero(depth > 0)
    place = points[:, :2]
    squares = (columns + 0.5 - place[:, :1]) ** 2 + (rows + 0.5 - place[:, 1:2]) ** 2
    nearest = squares.argmin(axis=1)
    z = depth[rows[nearest], columns[nearest]].astype(np.float64)
    return lift(place / size, z, cameras.label(0.0, 0.0))


def report(facts: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    rates = ", ".join(f"{100 * rate:.1f} % at {size}" for size, rate in facts["detection"].items())
    console.print(f"{facts['views']} views; faces found where |yaw| <= {_EASY_YAW}: {rates} pixels")
    if "yaw" in facts:
        table = Table(title="estimated cameras, degrees")
        columns = ("angle", "bias", "median error", "without bias", "95 % without bias", "slope")
        for column in columns:
            table.add_column(column, justify="left" if column == "angle" else "right")
        for name in ("yaw", "pitch"):
            row = facts[name]
            errors = (
                f"{row[key]:.2f}" for key in ("bias", "error", "error_unbiased", "p95_unbiased", "slope")
            )
            table.add_row(name, *errors)
        console.print(table)
        console.print(
            f"crop side {facts['crop_side']:.3f} of the picture, roll {np.rad2deg(facts['roll']):.2f} degrees, "
            f"raw radius {facts['raw_radius']:.2f}, fit error {100 * facts['fit_error']:.2f} % of the crop"
        )
    if facts["slopes"]:
        table = Table(title="where the slope comes from")
        for column in ("angle", "solver", "head", "network", "bias of head, degrees"):
            table.add_column(column, justify="left" if column == "angle" else "right")
        for name, row in facts["slopes"].items():
            kinds = (f"{row[kind]:.3f}" for kind in ("solver", "head", "network"))
            table.add_row(name, *kinds, f"{row['head_bias']:.2f}")
        console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="look at the first so many views only")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[128, 256, 512], help="sizes to find faces at"
    )
    parser.add_argument("--sweep", type=int, default=8, help="identities whose slopes are taken apart")
    parser.add_argument("--weights", type=Path, help="folder of the networks, if not the cache")
    return parser.parse_args()


if __name__ == "__main__":
    main()
