"""Makes ssgan_core/preparation/canonical_mesh.json from synthetic portraits, whose geometry is known.

    ssgan synth heads --count 2600 --size 256 --seed 7
    python tools/canonical_mesh.py heads

FaceMesh says where in a picture its 468 points lie, and the portrait's exact depth where in the world that is. So the
mesh stands in the world as the heads of all this project's data do, and what the network takes for a chin or a cheek
is in it. Portraits within 20 degrees of frontal are looked at, and their mirror images. Points that fall on hair,
glasses, clothes or beside the head are left out of that portrait; so are faces that are not found. Which point
mirrors to which is found by matching the median over the portraits with its own reflection; the mesh is the median of
the portraits and of their reflections, so that it is symmetric.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.evaluation.geometry import lift
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.landmarks import FaceMesh, region_of_box, region_of_points
from ssgan_core.preparation.mesh import five_points
from ssgan_core.preparation.pose import project

_FRONTAL = np.deg2rad(20)
_FACE = [PORTRAIT.names.index(name) for name in ("skin", "eyes", "brows", "mouth", "nose", "ears")]
_LEAST_SEEN = 0.1  # share of the portraits that must show a point
_MOST_UNEVEN = 0.06  # world units between a point and its partner's mirror image
_STEEPEST = 0.02  # world units between the depths of four pixels around a point: more is an outline


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("heads", type=Path, help="data set of synthetic portraits with depth")
    parser.add_argument("--limit", type=int, default=2600, help="take the first so many")
    parser.add_argument("--out", type=Path, default=Path("ssgan_core/preparation/canonical_mesh.json"))
    arguments = parser.parse_args()

    shapes = looks(PortraitDataset.open(arguments.heads), arguments.limit)
    seen = np.isfinite(shapes[..., 0]).mean(axis=0)
    if seen.min() < _LEAST_SEEN:
        raise SystemExit(f"point {seen.argmin()} is seen in {seen.min():.1%} of the portraits: use more")
    mirror = mirror_index(np.nanmedian(shapes, axis=0))
    shapes = np.concatenate([shapes, reflected(shapes)[:, mirror]])
    points = np.nanmedian(shapes, axis=0)
    content = {
        "provenance": "Made by tools/canonical_mesh.py: median of where MediaPipe's FaceMesh (Apache-2.0) sees its "
        f"points on {len(shapes) // 4} synthetic portraits of ssgan (CC0-derived) within 20 degrees of frontal, and "
        "their mirror images, unprojected through the portraits' depth.",
        "points": points.round(6).tolist(),
        "mirror": mirror.tolist(),
    }
    arguments.out.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    spread = np.nanmedian(np.abs(shapes - points), axis=0).mean(axis=0)
    print(f"{len(shapes) // 2} looks; a point is seen in {seen.min():.0%} to {seen.max():.0%}")
    print(
        f"median distance of heads from the mesh, world units: x {spread[0]:.4f}, y {spread[1]:.4f}, z {spread[2]:.4f}"
    )
    print(f"eyes, nose tip, mouth in a frontal picture of 512: {frontal_places(points).round(1).tolist()}")
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size} bytes")


def looks(data: PortraitDataset, limit: int) -> np.ndarray:
    """World points [2 N, 468, 3] of the near-frontal portraits, each before its mirror image; NaN where not seen."""
    detector, network = FaceDetector(), FaceMesh(np.arange(468))
    found: list[np.ndarray] = []
    for index in np.flatnonzero(np.hypot(*cameras.angles(data.labels[:limit])) < _FRONTAL).tolist():
        image = data.image(index)
        face = next((level[0] for level in detector.search(image) if level), None)
        if face is None:
            continue
        first = region_of_points(network.look(image, region_of_box(face)))
        depth = np.where(np.isin(data.mask(index), _FACE), data.depth(index), np.nan)
        for mirrored in (False, True):
            # The network's own mirror image of a look keeps the order of the points it gives.
            points = network.look(image, first, mirrored)[:, :2]
            world = unprojected(points, depth, data.labels[index])
            found.append(reflected(world) if mirrored else world)
    return np.stack(found)


def unprojected(points: np.ndarray, depth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """World positions [N, 3] of picture positions [N, 2], pixels, on surfaces of depth z_cam [S, S].

    NaN where one of the four pixels around has no depth (NaN), or they lie on both sides of an outline.
    """
    size = len(depth)
    place = np.clip(points - 0.5, 0, size - 1.001)
    low = place.astype(int)
    share = place - low
    corners = np.stack([depth[low[:, 1] + j, low[:, 0] + i] for j in (0, 1) for i in (0, 1)])
    weights = np.stack(
        [np.abs(1 - j - share[:, 1]) * np.abs(1 - i - share[:, 0]) for j in (0, 1) for i in (0, 1)]
    )
    z = (corners * weights).sum(axis=0)
    z[~(np.ptp(corners, axis=0) < _STEEPEST)] = np.nan
    return lift(points / size, z, label)


def reflected(points: np.ndarray) -> np.ndarray:
    """Points [..., 3] with left and right exchanged."""
    return points * [-1.0, 1.0, 1.0]


def mirror_index(points: np.ndarray) -> np.ndarray:
    """Which point each becomes in a mirrored face [468], from a nearly symmetric shape [468, 3]."""
    cost = np.linalg.norm(reflected(points)[None] - points[:, None], axis=2)
    # Costs are the same both ways, so that the best matching, unless two are equally good, is its own inverse.
    rows, index = linear_sum_assignment(cost)
    if cost[rows, index].max() > _MOST_UNEVEN:
        raise SystemExit("the points do not pair up: use more portraits")
    return index


def frontal_places(points: np.ndarray) -> np.ndarray:
    """Right and left eye, nose tip, right and left corner of the mouth [5, 2] in a frontal picture of 512 pixels."""
    return 512 * project(five_points(points), cameras.label(0.0, 0.0))


if __name__ == "__main__":
    main()
