"""Whether synthetic portraits are views of one solid: depth, reprojection and cameras against what is known.

    python -m benchmarks.portrait_geometry --heads 24 --size 256

Depth: every pixel against a ray through its centre, cast by Embree at the triangles that the view was drawn from. Rays
start from a camera made afresh from docs/conventions.md. Closed surfaces are seen from outside only, as the renderer
promises, so rays go on where they meet such a surface from behind. *Picture shift* is by how many pixels the depth
picture would have to move to fit the rays best.

Reprojection: two views of a head, 0.3 radians of yaw apart. Each pixel is placed in the world by its depth and looked
up in the other view, in the pixel that it falls into. It is co-visible if both depths there agree within 0.02. Labels
agree if one of the 3 x 3 pixels around shows the same part (strict: the pixel itself does).

Cameras: discs at known world points, drawn by the renderer; where their middles appear, against the conventions.

Needs `embreex` (optional dependency `dev`). Prints tables and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from rich.console import Console
from rich.table import Table

from ssgan_core import cameras
from ssgan_core.heads import render
from ssgan_core.heads.compose import Scene, build_scene
from ssgan_core.heads.render import SyntheticView, render_portrait
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.parts import PORTRAIT

APART = 0.3  # radians of yaw between the two views
COVISIBLE = 0.02  # world units
_HAIR = PORTRAIT.names.index("hair")
_MOST_LAYERS = 64  # surfaces that a ray may meet from behind
_REGISTERED = 0.005  # world: larger errors are other surfaces, which say nothing about a shift


def main() -> None:
    options = _options()
    depth, pairs = DepthErrors(), Reprojection()
    rng = np.random.default_rng(options.seed)
    for index in range(options.heads):
        yaw, pitch = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2)
        identity = sample_identity(options.seed, index)
        sides = []
        for angle in (yaw - APART / 2, yaw + APART / 2):
            view = render_portrait(identity, cameras.label(angle, pitch), options.size)
            depth.add(view, build_scene(identity), angle, pitch)
            sides.append((view, (angle, pitch)))
        pairs.add(*sides[0], *sides[1])
        pairs.add(*sides[1], *sides[0])
    report(depth, pairs, marker_misses(options.size), vars(options))


@dataclass(frozen=True)
class Camera:
    """A camera as docs/conventions.md describes it, independent of ssgan_core.cameras.

    Attributes:
        position: [3] world.
        axes: [3, 3], rows right, down, forward.
    """

    position: np.ndarray
    axes: np.ndarray

    @classmethod
    def at(cls, yaw: float, pitch: float) -> Camera:
        """The camera of two angles in radians."""
        position = 2.7 * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        forward = np.array([0, 0, 0.2]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 1, 0])
        right /= np.linalg.norm(right)
        return cls(position, np.stack([right, np.cross(forward, right), forward]))

    def project(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixel positions [N, 2] (the left upper corner is 0, 0) and z_cam [N] of world points [N, 3]."""
        local = (np.asarray(points, np.float64) - self.position) @ self.axes.T
        return (0.5 + 4.2647 * local[:, :2] / local[:, 2:]) * size, local[:, 2]

    def rays(self, size: int, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Directions [size, size, 3] of z_cam 1 through pixel centres, moved by `shift` pixels (x, y)."""
        steps = np.arange(size) + 0.5
        x, y = (((steps + move) / size - 0.5) / 4.2647 for move in shift)
        across, down = np.meshgrid(x, y)
        return np.stack([across, down, np.ones_like(across)], axis=-1) @ self.axes

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """World points [size, size, 3] of a depth picture [size, size]."""
        return self.position + depth[..., None] * self.rays(len(depth))


class RayCaster:
    """Embree over triangles, of which the first `closed` are seen from outside only."""

    def __init__(self, points: np.ndarray, triangles: np.ndarray, closed: int) -> None:
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(points, np.float32), np.ascontiguousarray(triangles, np.int32)
        )
        corners = points[triangles].astype(np.float64)
        self._normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._closed = closed

    def depth(self, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Distance to what each ray sees, in lengths of its direction [...]; 0 where it sees nothing."""
        rays = directions.reshape(-1, 3)
        travelled = np.zeros(len(rays))
        found = np.zeros(len(rays))
        going = np.arange(len(rays))
        for _ in range(_MOST_LAYERS):
            start = origin + travelled[going, None] * rays[going]
            hit = self._scene.run(start.astype(np.float32), rays[going].astype(np.float32), output=1)
            met = hit["primID"] >= 0
            going, triangle = going[met], hit["primID"][met]
            travelled[going] += hit["tfar"][met]
            facing = (self._normals[triangle] * rays[going]).sum(axis=1) < 0
            seen = facing | (triangle >= self._closed)
            found[going[seen]] = travelled[going[seen]]
            going = going[~seen]
            if not len(going):
                break
            travelled[going] += 1e-5
        return found.reshape(directions.shape[:-1])


@dataclass
class DepthErrors:
    """Depth of views against rays, gathered over views."""

    errors: dict[str, list[np.ndarray]] = field(
        default_factory=lambda: {"hair": [], "others": [], "samples": []}
    )
    same: int = 0
    pixels: int = 0
    shifts: list[np.ndarray] = field(default_factory=list)

    def add(self, view: SyntheticView, scene: Scene, yaw: float, pitch: float) -> None:
        """One view and the angles that it was asked for."""
        size = len(view.depth)
        camera = Camera.at(yaw, pitch)
        # The samples' projection, because hairs are about one sample wide at least.
        projection = render.camera_samples(cameras.label(yaw, pitch), size)
        solid = render.view_geometry(np, scene, projection)
        triangles = np.concatenate([solid.triangles, scene.clear])
        caster = RayCaster(solid.points, triangles, closed=len(scene.culled))
        cast = caster.depth(camera.position, camera.rays(size))
        both = (cast > 0) & (view.depth > 0)
        error = view.depth - cast
        hair = view.mask == _HAIR
        self.errors["hair"].append(np.abs(error[both & hair]))
        self.errors["others"].append(np.abs(error[both & ~hair]))
        self.same += int(((cast > 0) == (view.mask > 0)).sum())
        self.pixels += cast.size
        self.shifts.append(_shift(error, cast, caster, camera, both & ~hair))

        drawn = render.draw(scene, projection).depth(np)
        fine = caster.depth(camera.position, camera.rays(len(drawn)))
        self.errors["samples"].append(np.abs(drawn - fine)[(drawn > 0) & (fine > 0)])

    def facts(self) -> dict[str, Any]:
        """Plain numbers, lengths in world units."""
        pooled = {name: np.concatenate(errors) for name, errors in self.errors.items()}
        pooled["pixels"] = np.concatenate([pooled["hair"], pooled["others"]])
        rows = {
            name: dict(
                zip(("median", "p99"), map(float, np.percentile(errors, [50, 99])), strict=True),
                within=float((errors < COVISIBLE).mean()),
            )
            for name, errors in pooled.items()
            if len(errors)
        }
        shift = np.abs(np.median(self.shifts, axis=0)).max()
        return {**rows, "hit_agreement": self.same / self.pixels, "picture_shift": float(shift)}


def _shift(
    error: np.ndarray, cast: np.ndarray, caster: RayCaster, camera: Camera, chosen: np.ndarray
) -> np.ndarray:
    """By how many pixels [2] rays would have to move to meet the depth picture, by least squares."""
    slopes = []
    for move in ((0.25, 0.0), (0.0, 0.25)):
        moved = caster.depth(camera.position, camera.rays(len(cast), move))
        slopes.append(4 * (moved - cast))
        chosen = chosen & (np.abs(moved - cast) < _REGISTERED)
    chosen = chosen & (np.abs(error) < _REGISTERED)
    system = np.stack([slope[chosen] for slope in slopes], axis=1)
    return np.linalg.lstsq(system, error[chosen], rcond=None)[0]


@dataclass
class Reprojection:
    """Pixels of views looked up in other views of the same head, gathered over pairs.

    Attributes:
        counts: [parts, 4]: pixels, co-visible ones, of these with a label that agrees, and that agrees strictly.
    """

    counts: np.ndarray = field(default_factory=lambda: np.zeros((len(PORTRAIT.parts), 4), np.int64))

    def add(
        self,
        view: SyntheticView,
        angles: tuple[float, float],
        other: SyntheticView,
        other_angles: tuple[float, float],
    ) -> None:
        """A view and another, each with its yaw and pitch."""
        size = len(view.mask)
        foreground = view.mask > 0
        parts = view.mask[foreground]
        points = Camera.at(*angles).unproject(view.depth.astype(np.float64))[foreground]
        place, depth = Camera.at(*other_angles).project(points, size)
        column, row = np.floor(place).astype(int).T
        inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
        column, row = column.clip(0, size - 1), row.clip(0, size - 1)
        there = other.depth[row, column]
        covisible = inside & (there > 0) & (np.abs(there - depth) < COVISIBLE)
        padded = np.pad(other.mask, 1)
        around = [padded[row + i, column + j] == parts for i in range(3) for j in range(3)]
        kinds = (
            np.ones_like(inside),
            covisible,
            covisible & np.any(around, axis=0),
            covisible & (other.mask[row, column] == parts),
        )
        for column_of, kind in enumerate(kinds):
            self.counts[:, column_of] += np.bincount(parts[kind], minlength=len(self.counts))

    def facts(self) -> dict[str, Any]:
        """Shares of all foreground, of hair, of the rest, and of every part."""
        rows = {"all": self.counts.sum(axis=0), "without hair": np.delete(self.counts, _HAIR, 0).sum(axis=0)}
        rows |= {name: self.counts[index] for index, name in enumerate(PORTRAIT.names) if index}
        return {
            name: {
                "pixels": int(pixels),
                "covisible": float(covisible / pixels),
                "agrees": float(agrees / max(covisible, 1)),
                "strict": float(strict / max(covisible, 1)),
            }
            for name, (pixels, covisible, agrees, strict) in rows.items()
            if pixels
        }


def marker_misses(size: int) -> dict[str, float]:
    """Discs at known world points, drawn one by one: farthest miss in pixels, and largest error of depth."""
    template = build_scene(sample_identity(0, 0))
    misses, depths = [], []
    rng = np.random.default_rng(0)
    for yaw, pitch in ((0.0, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 0.3), (0.0, -0.3), (0.4, -0.2)):
        camera = Camera.at(yaw, pitch)
        projection = render.camera_samples(cameras.label(yaw, pitch), size)
        for point in rng.uniform([-0.2, -0.2, -0.15], [0.2, 0.2, 0.25], (4, 3)):
            drawn = render.draw(_disc(template, point, camera), projection)
            row, column = np.nonzero(drawn.shown >= 0)
            middle = (np.array([column.mean(), row.mean()]) + 0.5) * size / projection.size
            place, depth = camera.project(point[None], size)
            misses.append(np.linalg.norm(middle - place[0]))
            depths.append(np.abs(drawn.depth(np)[row, column] - depth[0]).max())
    return {"miss_pixels": float(max(misses)), "depth_error": float(max(depths))}


def _disc(template: Scene, centre: np.ndarray, camera: Camera, radius: float = 0.03) -> Scene:
    """A scene with nothing but a disc that lies parallel to a camera's picture."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rim = centre + radius * (np.cos(turn)[:, None] * camera.axes[0] + np.sin(turn)[:, None] * camera.axes[1])
    numbers = np.arange(len(turn), dtype=np.int32)
    strands = (spec.name for spec in dataclasses.fields(template) if spec.name.startswith("strand"))
    return dataclasses.replace(
        template,
        **{name: getattr(template, name)[:0] for name in strands},
        points=np.concatenate([centre[None], rim]).astype(np.float32),
        culled=np.zeros((0, 3), np.int32),
        open=np.stack([np.zeros_like(numbers), 1 + numbers, 1 + (numbers + 1) % len(turn)], axis=1),
        segments=template.segments[:0],
        materials=np.zeros(len(turn), np.uint8),
    )


def report(
    depth: DepthErrors, pairs: Reprojection, markers: dict[str, float], options: dict[str, Any]
) -> None:
    """Print the tables and the line of JSON."""
    console = Console()
    facts = {"depth": depth.facts(), "reprojection": pairs.facts(), "cameras": markers}
    table = Table(title=f"depth against rays, {options['heads']} heads, two views, {options['size']} pixels")
    for column in ("of", "median", "99th percentile", f"within {COVISIBLE}"):
        table.add_column(column, justify="left" if column == "of" else "right")
    for name in ("pixels", "others", "hair", "samples"):
        if row := facts["depth"].get(name):
            shown = {"others": "pixels but hair", "hair": "pixels of hair", "samples": "single samples"}
            table.add_row(
                shown.get(name, name),
                f"{row['median']:.1e}",
                f"{row['p99']:.1e}",
                f"{100 * row['within']:.2f} %",
            )
    console.print(table)
    console.print(
        f"hit and miss agree in {100 * facts['depth']['hit_agreement']:.3f} % of all pixels; "
        f"picture shift {facts['depth']['picture_shift']:.4f} pixels"
    )
    table = Table(title=f"reprojection between views {APART} radians apart")
    for column in ("part", "pixels", "co-visible", "label agrees", "strictly"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, row in facts["reprojection"].items():
        shares = (f"{100 * row[key]:.1f} %" for key in ("covisible", "agrees", "strict"))
        table.add_row(name, str(row["pixels"]), *shares)
    console.print(table)
    console.print(
        f"known points: at most {markers['miss_pixels']:.3f} pixels and {markers['depth_error']:.1e} of depth off"
    )
    print(json.dumps({**options, **facts}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--size", type=int, default=256, help="pixels along a side")
    parser.add_argument("--seed", type=int, default=0, help="of the population and of the angles")
    return parser.parse_args()


if __name__ == "__main__":
    main()
