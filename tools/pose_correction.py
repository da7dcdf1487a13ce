"""Makes ssgan_core/preparation/pose_correction.json: what FaceMesh's cameras of synthetic portraits are off by.

    ssgan synth heads --count 2600 --size 256 --seed 7
    python tools/pose_correction.py heads

FaceMesh draws faces seen from above or below towards level ones, and takes some shapes of faces for turns of the head.
Both show in where the points of the upper face lie in the crop. So the errors of yaw and pitch of portraits whose
cameras are known are regressed on the points' first principal components, mirror images included, by ridge
regression; of every fifth head, left out of the fit, errors are printed with and without.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.files import write_json
from ssgan_core.preparation import pose
from ssgan_core.preparation.faces import FaceFinder
from ssgan_core.preparation.mesh import canonical_mesh

_COMPONENTS = 40
_RIDGE = 10.0  # in portraits
_HELD_OUT = 5


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("heads", type=Path, help="data set of synthetic portraits")
    parser.add_argument("--limit", type=int, default=2600, help="take the first so many")
    parser.add_argument("--out", type=Path, default=pose.CORRECTION_FILE)
    arguments = parser.parse_args()

    points, solved, true = looks(PortraitDataset.open(arguments.heads), arguments.limit)
    held_out = np.arange(len(points)) % _HELD_OUT == 0
    correction = fit(points[~held_out], (true - solved)[~held_out])
    corrected = solved + np.array([correction.of(one) for one in points])
    for name, values in (("as solved", solved), ("corrected", corrected)):
        print(f"{name}: {_errors(values[held_out], true[held_out])}")
    everyone = fit(points, true - solved)
    write_json(
        arguments.out,
        {
            "provenance": f"tools/pose_correction.py on {len(points)} synthetic portraits of ssgan (CC0-derived)",
            "mesh": canonical_mesh().sha256,
            "mean": everyone.mean.round(5).tolist(),
            "slopes": everyone.slopes.round(5).tolist(),
            "offset": everyone.offset.round(6).tolist(),
        },
    )
    print(f"wrote {arguments.out}")


def looks(data: PortraitDataset, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [N, 468, 2] in their crops, solved and true yaw and pitch [N, 2] in radians."""
    find = FaceFinder()
    points, solved, true = [], [], []
    for index in range(min(len(data), limit)):
        try:
            face = find(data.image(index))
            view = pose.solve(face.points)
        except SsganError:
            continue
        position = cameras.split_label(data.labels[index])[0][:3, 3]
        points.append(view.crop.to_crop(face.points[:, :2]))
        solved.append([view.yaw, view.pitch])
        true.append([np.arctan2(position[0], position[2]), np.arcsin(position[1] / np.linalg.norm(position))])
    return np.array(points), np.array(solved), np.array(true)


def fit(points: np.ndarray, errors: np.ndarray) -> pose.Correction:
    """The correction that is the same for mirror images, but for the sign of yaw.

    Args:
        points: [N, 468, 2] in crops.
        errors: [N, 2] radians that are to be added.
    """
    mirrored = points[:, canonical_mesh().mirror]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    points = np.concatenate([points, mirrored])[:, canonical_mesh().rigid]
    errors = np.concatenate([errors, errors * [-1, 1]])
    mean = points.mean(axis=0)
    rows = (points - mean).reshape(len(points), -1)
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    whitening = (directions[:_COMPONENTS] / sizes[:_COMPONENTS, None] * np.sqrt(len(rows))).T
    scores = rows @ whitening
    offset = errors.mean(axis=0)
    gram = scores.T @ scores + _RIDGE * np.eye(_COMPONENTS)
    slopes = (whitening @ np.linalg.solve(gram, scores.T @ (errors - offset))).T
    return pose.Correction(mean, slopes.reshape(2, -1, 2), offset)


def _errors(found: np.ndarray, true: np.ndarray) -> str:
    words = []
    for index, name in enumerate(("yaw", "pitch")):
        error = np.rad2deg(found[:, index] - true[:, index])
        slope = np.polyfit(true[:, index], found[:, index], 1)[0]
        words.append(f"{name} median error {np.median(np.abs(error)):.2f} degrees, slope {slope:.2f}")
    return "; ".join(words)


if __name__ == "__main__":
    main()
