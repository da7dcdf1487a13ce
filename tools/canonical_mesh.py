"""Makes ssgan_core/preparation/canonical_mesh.json from a folder of portraits that are free to use.

    python tools/canonical_mesh.py PHOTOS --sources "what the photos are and their terms"

Every face of every photo is looked at many times: turned, scaled, shifted, stretched a little, with other
gamma and blur, and mirrored. Of each look at a face within 20 degrees of frontal, the network's own 468
points with depth are freed of perspective (for the camera that all of this project's data assumes), aligned
to the mean by a similarity, and joined by their mirror image; the mesh is the median. Which point mirrors to
which is found by matching the mean with its own reflection. Last, the mesh is placed in the world: turned
about x, scaled and shifted so that the frontal camera sees eyes, nose tip and mouth where they lie on average
in EG3D's 512-pixel crops.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import least_squares, linear_sum_assignment

from ssgan_core.cameras import FOCAL, RADIUS
from ssgan_core.pictures import read_image
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.landmarks import FaceMesh, region_of_box, region_of_points
from ssgan_core.preparation.mesh import five_points

_LOOKS = 60  # of each face, and as many of its mirror image
_FRONTAL = np.deg2rad(20)

# Published mean positions in EG3D's 512 crop: eyes at x 184 and 325, y 200; nose tip y 282; mouth y 338.
_EYE_X, _EYE_Y, _NOSE_Y, _MOUTH_Y = (325 - 184) / 2 / 512, 200 / 512, 282 / 512, 338 / 512
# World depth of the eyes. EG3D keeps its face model's origin at (0, 0.006, 0.161) and scales the world by
# about 2.7 / 2.88; the eyes lie 0.13 model units of 0.27 before that origin.
_EYE_Z = (0.161 + 0.27 * 0.13) * 2.7 / 2.88
# Which mesh point the published "nose tip" is decides pitch by degrees. So the zero is moved by a measured
# constant: before it, 1,000 public portraits had a median pitch of 3.0 degrees among those within 10 degrees
# of frontal yaw.
_RECENTRED = np.deg2rad(3.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--sources", required=True, help="kept in the file as its provenance")
    parser.add_argument("--out", type=Path, default=Path("ssgan_core/preparation/canonical_mesh.json"))
    arguments = parser.parse_args()

    plain, mirrored = looks_at_folder(arguments.photos)
    print(f"{len(plain)} + {len(mirrored)} looks")
    mirror = mirror_index(mean_shape(np.concatenate([plain, mirrored])))
    twins = np.concatenate([plain, mirrored])
    reflected = (twins * [-1, 1, 1])[:, mirror]
    points = placed(mean_shape(np.concatenate([twins, reflected])), mirror)
    content = {
        "provenance": f"Made by tools/canonical_mesh.py: median of {2 * len(twins)} looks of MediaPipe's "
        f"FaceMesh (Apache-2.0). Photos: {arguments.sources}. The zero of pitch is moved by "
        f"{np.rad2deg(_RECENTRED):.1f} degrees, the median measured on 1,000 other portraits.",
        "points": [[round(float(value), 6) for value in point] for point in points],
        "mirror": mirror.tolist(),
    }
    arguments.out.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size} bytes")


def looks_at_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Near-frontal looks at the photos and at their mirror images [N, 468, 3] each, y up, z to the camera."""
    rng = np.random.default_rng(0)
    detector, network = FaceDetector(), FaceMesh(np.arange(468))
    kept: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for path in sorted(folder.iterdir()):
        photo = read_image(path)
        for side, shown in enumerate((photo, np.ascontiguousarray(photo[:, ::-1]))):
            faces = next((level for level in detector.search(shown) if level), [])
            for number, face in enumerate(faces):
                first = network.look(shown, region_of_box(face))
                found = [varied_look(network, shown, first, rng) for _ in range(_LOOKS)]
                found = [look for look in found if abs(rough_yaw(look)) < _FRONTAL]
                kept[side].extend(found)
                print(f"{path.name} face {number} {'mirrored' if side else 'plain'}: {len(found)} looks")
    return np.stack(kept[0]), np.stack(kept[1])


def varied_look(
    network: FaceMesh, photo: np.ndarray, known: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One look at a randomly changed copy of a known face, freed of perspective."""
    region = region_of_points(known)
    size = 384
    turn, scale = rng.uniform(-0.2, 0.2), size / region.side * rng.uniform(0.85, 1.1)
    stretch = np.diag([rng.uniform(0.96, 1.04), 1.0])
    cos, sin = np.cos(turn - region.angle), np.sin(turn - region.angle)
    linear = scale * stretch @ np.array([[cos, -sin], [sin, cos]])
    shift = size / 2 + rng.uniform(-0.03, 0.03, 2) * size - linear @ region.centre
    copy = cv2.warpAffine(photo, np.column_stack([linear, shift]), (size, size), flags=cv2.INTER_AREA)
    copy = cv2.GaussianBlur(copy, (0, 0), rng.uniform(0.3, 2.0))
    copy = (255 * (copy / 255.0) ** rng.uniform(0.7, 1.4)).astype(np.uint8)
    moved = np.column_stack([known[:, :2] @ linear.T + shift, known[:, 2] * scale])
    points = network.look(copy, region_of_points(moved))
    points[:, 0] /= stretch[0, 0]
    return without_perspective(points * [1, -1, -1])


def without_perspective(points: np.ndarray) -> np.ndarray:
    """Points [468, 3] in world units, turned upright, as an orthographic camera would see them."""
    eyes = five_points(points)[:2]
    points = points - eyes.mean(axis=0)
    scale = 2 * _EYE_X / FOCAL * (RADIUS - _EYE_Z) / np.linalg.norm(eyes[1] - eyes[0])
    points = points * scale
    distance = RADIUS - _EYE_Z
    points[:, :2] *= 1 - points[:, 2:] / distance
    line = five_points(points)
    angle = np.arctan2(line[1, 1] - line[0, 1], line[1, 0] - line[0, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    points[:, :2] = points[:, :2] @ np.array([[cos, -sin], [sin, cos]])
    return points


def rough_yaw(points: np.ndarray) -> float:
    """Angle of the line between the eyes against the image plane, radians."""
    line = np.diff(five_points(points)[:2], axis=0)[0]
    return float(np.arctan2(line[2], line[0]))


def mean_shape(shapes: np.ndarray) -> np.ndarray:
    """Median shape [468, 3] of shapes [N, 468, 3] after aligning each to it by a similarity."""
    mean = shapes[0] - shapes[0].mean(axis=0)
    for _ in range(10):
        aligned = np.stack([aligned_to(shape, mean) for shape in shapes])
        update = np.median(aligned, axis=0)
        update -= update.mean(axis=0)
        mean = update * np.linalg.norm(mean) / np.linalg.norm(update)
    return mean


def aligned_to(shape: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A shape after the similarity that brings it closest to the target."""
    scale, rotation, shift = similarity(shape, target)
    return scale * shape @ rotation + shift


def similarity(shape: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (from the right) and shift; points that stay far off weigh less (IRLS)."""
    weights = np.ones(len(shape))
    for _ in range(4):
        share = (weights / weights.sum())[:, None]
        centre, goal = (share * shape).sum(axis=0), (share * target).sum(axis=0)
        a, b = shape - centre, target - goal
        u, singular, vt = np.linalg.svd((share * a).T @ b)
        sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
        rotation = u @ np.diag(sign) @ vt
        scale = float((singular * sign).sum() / (share * a * a).sum())
        shift = goal - scale * centre @ rotation
        error = np.linalg.norm(scale * shape @ rotation + shift - target, axis=1)
        weights = 1 / np.maximum(error, np.median(error))
    return scale, rotation, shift


def mirror_index(mean: np.ndarray) -> np.ndarray:
    """Which point each becomes in a mirrored face [468], from a nearly symmetric mean shape."""
    reflected = mean * [-1, 1, 1]
    # Five points whose partners are known start the matching.
    scale, rotation, shift = similarity(five_points(reflected)[[1, 0, 2, 4, 3]], five_points(mean))
    for _ in range(10):
        cost = np.linalg.norm((scale * reflected @ rotation + shift)[None] - mean[:, None], axis=2)
        index = linear_sum_assignment(cost)[1]
        scale, rotation, shift = similarity(reflected[index], mean)
    if not np.array_equal(index[index], np.arange(len(mean))):
        raise SystemExit("the points do not pair up: use more photos")
    return index


def placed(shape: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The shape exactly symmetric and in the world frame."""
    shape = aligned_to(shape, (shape * [-1, 1, 1])[mirror]) / 2 + shape / 2
    # Now the lines between paired points are parallel; their direction becomes x.
    axis = np.linalg.svd(shape - shape[mirror])[2][0]
    axis *= np.sign(axis[0])
    z = np.array([0, 0, 1.0]) - axis[2] * axis
    z /= np.linalg.norm(z)
    shape = shape @ np.stack([axis, np.cross(z, axis), z], axis=1)
    shape -= shape.mean(axis=0)
    shape = (shape + (shape * [-1, 1, 1])[mirror]) / 2

    def moved(pitch: float, scale: float, up: float) -> np.ndarray:
        cos, sin = np.cos(pitch), np.sin(pitch)
        turned = scale * shape @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]).T
        return turned + np.array([0, up, _EYE_Z - five_points(turned)[:2, 2].mean()])

    def misses(values: np.ndarray) -> np.ndarray:
        five = five_points(moved(*values))
        seen = FOCAL * five[:, :2] / (RADIUS - five[:, 2:])
        rows = 0.5 - np.array([seen[:2, 1].mean(), seen[2, 1], seen[3:, 1].mean()])
        return np.array([seen[1, 0] - _EYE_X, *(rows - [_EYE_Y, _NOSE_Y, _MOUTH_Y])])

    pitch = least_squares(misses, [0.0, 1.0, 0.0]).x[0] + _RECENTRED
    scale, up = least_squares(lambda rest: misses(np.array([pitch, *rest]))[[0, 1, 3]], [1.0, 0.0]).x
    miss = misses(np.array([pitch, scale, up]))
    print(f"turned by {np.rad2deg(pitch):.2f} degrees, misses {np.round(512 * miss, 2)} px of 512")
    return moved(pitch, scale, up)


if __name__ == "__main__":
    main()
