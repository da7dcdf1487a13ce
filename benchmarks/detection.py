"""How many faces of a large photo `FaceDetector.search_all` finds, what else it takes for faces, and how fast it is.

    python -m benchmarks.detection PHOTOS

PHOTOS is a folder of portraits, or a data set of ours. Mosaics are made of them: canvases of 12 megapixels, covered
with a procedural texture and with shapes, on which the portraits are pasted with soft edges, their faces 40 to 600
pixels wide, some darker than they were. Where a face is in its portrait is known from the portrait itself, where it is
large and easy to find (`FaceDetector.search`, confirmed by FaceMesh). Strips of the portraits without the face (hair,
necks, clothes) are pasted too, as temptations, and every other canvas gets strips alone.

A face counts as found if a box overlaps its own by half (intersection over union), each box once. *False* are boxes
that overlap no face by more than a tenth; *double* those that overlap a face which another box has. *Confirmed* is
what FaceMesh leaves of all three, the gate that `ssgan preprocess` applies next. Times are of one core, per megapixel
of the canvas. Prints tables and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ssgan_core.dataset.layout import LABELS_FILE
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.pictures import read_image, save_png
from ssgan_core.preparation.blazeface import overlap
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.landmarks import FaceMesh
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.photos import find_photos

_CANVAS = (3000, 4000)  # rows, columns
_BINS = (40, 50, 60, 90, 150, 300, 600)  # pixels of the wider side of a face's box
_TARGET_FROM, _TARGET = 60, 0.95
_AROUND = 2.2  # side of a pasted portrait over that of its face
_SOFT = 0.12  # share of a pasted portrait's side over which it fades in
_FOUND, _BESIDE = 0.5, 0.1


@dataclass(frozen=True)
class Portrait:
    """A photo uint8 [H, W, 3] and its face's box x0, y0, x1, y1."""

    image: np.ndarray
    box: np.ndarray

    @property
    def side(self) -> float:
        return float(max(self.box[2:] - self.box[:2]))


@dataclass
class Mosaic:
    """A canvas uint8 [3000, 4000, 3] and the boxes of the faces on it."""

    canvas: np.ndarray
    boxes: list[np.ndarray] = field(default_factory=list)
    taken: list[np.ndarray] = field(default_factory=list)


@dataclass
class Counts:
    """What was found, all mosaics together; `hits` and `sides` have one value a face."""

    sides: list[float] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    false: int = 0
    double: int = 0

    def add(self, truth: list[np.ndarray], found: list[np.ndarray]) -> None:
        """Match boxes, best overlap first."""
        table = np.array([overlap(box, np.array(found)) for box in truth]) if truth and found else None
        matched = dict[int, int]()
        if table is not None:
            for place in np.argsort(-table, axis=None):
                face, box = divmod(int(place), len(found))
                if table[face, box] < _FOUND:
                    break
                if face not in matched and box not in matched.values():
                    matched[face] = box
                    self.overlaps.append(float(table[face, box]))
        for index, box in enumerate(truth):
            self.sides.append(float(max(box[2:] - box[:2])))
            self.hits.append(index in matched)
        for index in range(len(found)):
            if index not in matched.values():
                beside = table is not None and table[:, index].max() > _BESIDE
                self.double += int(beside)
                self.false += int(not beside)

    def facts(self) -> dict[str, Any]:
        """Recall of each bin (None: no such faces) and from the target's size on, and the counts."""
        sides, hits = np.array(self.sides), np.array(self.hits, bool)
        recall = {}
        for low, high in [*itertools.pairwise(_BINS), (_TARGET_FROM, _BINS[-1])]:
            chosen = (sides >= low) & (sides < high)
            share = round(float(hits[chosen].mean()), 4) if chosen.any() else None
            recall[f"{low}-{high}"] = {"faces": int(chosen.sum()), "recall": share}
        return {
            "recall": recall,
            "false": self.false,
            "double": self.double,
            "overlap": round(statistics.mean(self.overlaps), 4) if self.overlaps else None,
        }


def main() -> None:
    options = _options()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    detector = FaceDetector(options.weights)
    mesh = FaceMesh(canonical_mesh().mirror, options.weights)
    people = list(portraits(options.photos, options.limit, detector, mesh))
    if not people:
        raise SsganError(f"no face was found in any picture of {options.photos}")
    found, confirmed, times, mesh_times = Counts(), Counts(), [], []
    for number in range(options.mosaics):
        mosaic = make_mosaic(rng, people, options.faces if number % 2 == 0 else 0)
        started = time.process_time()
        faces = detector.search_all(mosaic.canvas)
        times.append(time.process_time() - started)
        started = time.process_time()
        real = [face for face in faces if mesh.points(mosaic.canvas, face) is not None]
        mesh_times.append(time.process_time() - started)
        found.add(mosaic.boxes, [face.box for face in faces])
        confirmed.add(mosaic.boxes, [face.box for face in real])
        if options.save is not None:
            save_png(options.save / f"mosaic{number}.png", drawn(mosaic, [face.box for face in faces]))
    megapixels = _CANVAS[0] * _CANVAS[1] / 1e6
    facts = {
        "portraits": len(people),
        "mosaics": options.mosaics,
        "ms_per_megapixel": round(1000 * statistics.median(times) / megapixels, 2),
        "ms_per_megapixel_without_faces": round(1000 * statistics.median(times[1::2]) / megapixels, 2)
        if len(times) > 1
        else None,
        "mesh_ms_per_face": round(1000 * sum(mesh_times) / max(len(found.hits), 1), 2),
        "found": found.facts(),
        "confirmed": confirmed.facts(),
    }
    if not options.json:
        report(facts)
    print(json.dumps(facts))


# ------------------------------------------------------------------------------------------ mosaics


def portraits(folder: Path, limit: int | None, detector: FaceDetector, mesh: FaceMesh) -> Iterator[Portrait]:
    """The pictures of a folder or data set in which a face is found, with its box."""
    for image in _pictures(folder, limit):
        faces = next((faces for faces in detector.search(image) if faces), [])
        if faces and mesh.points(image, faces[0]) is not None:
            yield Portrait(image, faces[0].box)


def _pictures(folder: Path, limit: int | None) -> Iterator[np.ndarray]:
    if (folder / LABELS_FILE).is_file() or folder.is_file():
        data = PortraitDataset.open(folder)
        yield from (data.image(index) for index in range(len(data))[:limit])
        return
    for photo in find_photos(folder)[:limit]:
        yield read_image(photo.path)


def make_mosaic(rng: np.random.Generator, people: list[Portrait], faces: int) -> Mosaic:
    """A canvas with up to `faces` faces, as far as there is room, and with twenty strips without any."""
    mosaic = Mosaic(texture(rng, *_CANVAS))
    sides = np.exp(rng.uniform(np.log(_BINS[0]), np.log(_BINS[-1]), faces))
    for side in sorted(sides, reverse=True):  # the large ones need room first
        person = people[rng.integers(len(people))]
        scale = side / person.side
        x0, y0, x1, y1 = window(person)
        place = paste(rng, mosaic, person.image[y0:y1, x0:x1], scale)
        if place is not None:
            offset = np.array([place[0] - x0 * scale, place[1] - y0 * scale] * 2)
            mosaic.boxes.append(person.box * scale + offset)
    for _ in range(20):
        person = people[rng.integers(len(people))]
        above = person.image[: max(int(person.box[1] - 0.1 * person.side), 0)]
        below = person.image[int(person.box[3] + 0.1 * person.side) :]
        strip = max(above, below, key=len)
        if len(strip) >= 16:
            paste(rng, mosaic, strip, np.exp(rng.uniform(np.log(0.3), np.log(2))))
    noise = rng.normal(0, 3, (_CANVAS[0] // 4, _CANVAS[1] // 4, 1)).astype(np.float32)
    noisy = mosaic.canvas.astype(np.float32) + np.tile(noise, (4, 4, 1))
    mosaic.canvas = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return mosaic


def window(person: Portrait) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 in pixels of what is pasted of a portrait: its face, hair and a little of the background."""
    centre = (person.box[:2] + person.box[2:]) / 2
    half = _AROUND / 2 * person.side
    height, width = person.image.shape[:2]
    low = np.maximum(np.round(centre - half), 0).astype(int)
    high = np.minimum(np.round(centre + half), [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def paste(
    rng: np.random.Generator, mosaic: Mosaic, piece: np.ndarray, scale: float
) -> tuple[int, int] | None:
    """Paste a scaled piece with soft edges where nothing was pasted yet; x and y, or None if there is no room."""
    size = np.maximum(np.round(np.array(piece.shape[1::-1]) * scale), 1).astype(int)
    room = np.array(mosaic.canvas.shape[1::-1]) - size
    if (room < 0).any():
        return None
    for _ in range(100):
        x, y = rng.integers(0, room + 1)
        box = np.array([x, y, x + size[0], y + size[1]], float)
        if not mosaic.taken or overlap(box, np.array(mosaic.taken)).max() == 0:
            break
    else:
        return None
    mosaic.taken.append(box)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(piece, tuple(size.tolist()), interpolation=how).astype(np.float32)
    pixels *= rng.uniform(0.4, 1.1)
    ramps = [np.minimum(np.arange(n) + 1, np.arange(n)[::-1] + 1) / (_SOFT * n) for n in size]
    share = np.clip(np.minimum(ramps[1][:, None], ramps[0]), 0, 1)[..., None].astype(np.float32)
    under = mosaic.canvas[y : y + size[1], x : x + size[0]]
    under[:] = np.clip(np.round(share * pixels + (1 - share) * under), 0, 255)
    return int(x), int(y)


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Coloured noise of all scales with rectangles, discs, lines and stripes on it, uint8 [height, width, 3]."""
    total = np.full((height, width, 3), 128, np.float32)
    for cells in (3, 8, 24, 72, 200, 600):
        grid = rng.normal(0, 90 / cells**0.4, (cells, cells * width // height, 3)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas = np.clip(total, 0, 255).astype(np.uint8)
    for _ in range(250):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(np.exp(rng.uniform(np.log(8), np.log(300))))
        colour = tuple(rng.integers(0, 256, 3).tolist())
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(canvas, (x, y), (x + size, y + int(rng.integers(4, 300))), colour, -1)
        elif kind == 1:
            axes = (size, int(size * rng.uniform(0.5, 1.5)))
            cv2.ellipse(canvas, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            end = (x + int(rng.normal(0, 400)), y + int(rng.normal(0, 400)))
            cv2.line(canvas, (x, y), end, colour, max(size // 12, 1), cv2.LINE_AA)
        else:
            for step in range(0, 2 * size, max(size // 4, 4)):
                cv2.line(canvas, (x, y + step), (x + 2 * size, y + step), colour, max(size // 12, 1))
    return canvas


def drawn(mosaic: Mosaic, boxes: list[np.ndarray]) -> np.ndarray:
    """The canvas at half its scale, true boxes in green, found ones in red."""
    seen = mosaic.canvas.copy()
    for group, colour in ((mosaic.boxes, (0, 255, 0)), (boxes, (255, 0, 0))):
        for box in group:
            x0, y0, x1, y1 = np.round(box).astype(int).tolist()
            cv2.rectangle(seen, (x0, y0), (x1, y1), colour, 6)
    return cv2.resize(seen, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


# ------------------------------------------------------------------------------------------ report


def report(facts: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    title = (
        f"{facts['mosaics']} mosaics of {_CANVAS[1]} x {_CANVAS[0]} pixels, {facts['portraits']} portraits"
    )
    table = Table(title=title)
    for column in ("face, pixels", "faces", "found", "confirmed"):
        table.add_column(column, justify="left" if column == "face, pixels" else "right")
    for name, row in facts["found"]["recall"].items():
        shares = (row["recall"], facts["confirmed"]["recall"][name]["recall"])
        cells = ("" if share is None else f"{100 * share:.1f} %" for share in shares)
        table.add_row(name, str(row["faces"]), *cells)
    console.print(table)
    for kind in ("found", "confirmed"):
        row = facts[kind]
        overlap_text = "" if row["overlap"] is None else f", mean overlap with the truth {row['overlap']:.2f}"
        console.print(f"{kind}: {row['false']} false, {row['double']} double{overlap_text}")
    console.print(
        f"one core: {facts['ms_per_megapixel']:.1f} ms a megapixel, then {facts['mesh_ms_per_face']:.0f} ms a face for "
        "FaceMesh"
    )
    reached = facts["confirmed"]["recall"][f"{_TARGET_FROM}-{_BINS[-1]}"]["recall"]
    if reached is not None:
        verdict = "reached" if reached >= _TARGET else "MISSED"
        console.print(f"target of {100 * _TARGET:.0f} % from {_TARGET_FROM} pixels on: {verdict}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--mosaics", type=int, default=8, help="canvases, every other one without faces")
    parser.add_argument("--faces", type=int, default=36, help="faces of a canvas, at most")
    parser.add_argument("--limit", type=int, default=200, help="take the first so many pictures only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="write the mosaics with their boxes into this folder")
    parser.add_argument("--json", action="store_true", help="print the line of JSON only")
    parser.add_argument("--weights", type=Path, help="folder of the networks, if not the cache")
    return parser.parse_args()


if __name__ == "__main__":
    main()
