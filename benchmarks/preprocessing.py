"""How fast `ssgan preprocess` turns photos into portraits, stage by stage.

    python -m benchmarks.preprocessing PHOTOS --limit 50
    python -m benchmarks.preprocessing PHOTOS --limit 50 --workers 4

Runs the command's own code with the default networks (fetch them once: `ssgan weights fetch`) and the parser that ships
with the package, in this process, into a temporary folder that is removed again. Printed are means over the photos of
processor time, of which other programs on the machine take none, and the photos per second that one core would do of
each stage alone. The first photo is left out: it pays for loading the networks.

    decode    file to pixels                    cut      photo to square picture
    detect    BlazeFace                         parse    part masks
    mesh      FaceMesh, four looks              encode   two PNG files in memory
    camera    PnP and crop                      write    files and journals to the disk
    measure   sharpness, exposure, occlusion    other    all else

With `--workers W` a second run measures wall time with W processes, their start included. Prints a table and, last, one
line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as the command line does

from rich.console import Console
from rich.table import Table

from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.preparation import entry, pose, prepare, quality
from ssgan_core.preparation.backends import Backends, choose_backends
from ssgan_core.preparation.detection import FaceDetector
from ssgan_core.preparation.handled import HandledPhotos
from ssgan_core.preparation.landmarks import FaceMesh
from ssgan_core.preparation.photos import find_photos
from ssgan_core.preparation.report import Report

STAGES = ("decode", "detect", "mesh", "camera", "measure", "cut", "parse", "encode", "write")


class Clock:
    """Processor seconds by stage and in all, without those of the first photo."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = defaultdict(float)
        self.photos: list[float] = []
        self._last = time.process_time()

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Called before the first photo and after each."""
        now = time.process_time()
        if done == 1:
            self.stages.clear()
        elif done > 1:
            self.photos.append(now - self._last)
        self._last = now

    def timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, its time kept under a stage."""

        def run(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return work(*arguments, **options)
            finally:
                self.stages[stage] += time.process_time() - started

        return run

    def search(self, detector: FaceDetector, *arguments: Any) -> Iterator[Any]:
        """`FaceDetector.search`, of which only what is asked for is done."""
        levels = _search(detector, *arguments)
        while (found := self.timed("detect", next)(levels, None)) is not None:
            yield found


_search = FaceDetector.search


@contextmanager
def stages_timed(clock: Clock) -> Iterator[None]:
    """While it is open, the preparation's functions report to a clock."""
    places = (
        (entry, "read_draft", "decode"),
        (entry, "read_reduced", "decode"),
        (FaceMesh, "points", "mesh"),
        (pose, "solve", "camera"),
        (quality, "look", "measure"),
        (quality, "occlusion", "measure"),
        (entry, "cut_photo", "cut"),
        (entry, "encode_png", "encode"),
        (entry, "encode_mask", "encode"),
        (DatasetWriter, "add_encoded", "write"),
        (HandledPhotos, "add", "write"),
    )
    with ExitStack() as opened:
        for owner, name, stage in places:
            # A plain function in a class is bound when it is called, as the original is.
            opened.enter_context(patch.object(owner, name, clock.timed(stage, getattr(owner, name))))
        opened.enter_context(
            patch.object(FaceDetector, "search", lambda *arguments: clock.search(*arguments))
        )
        yield


def main() -> None:
    options = _options()
    backends = choose_backends(options.weights)
    with TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        _link(options.photos, photos, options.limit)
        facts = one_core(photos, Path(place) / "one", backends, options.size, options.faces == "all")
        if options.workers:
            report = prepare.prepare(
                photos,
                Path(place) / "several",
                backends,
                size=options.size,
                every_face=options.faces == "all",
                workers=options.workers,
            )
            facts["workers"] = options.workers
            facts["photos_per_second_wall"] = round(report.handled / report.seconds, 3)
    show(facts)
    print(json.dumps(facts))


def one_core(photos: Path, out: Path, backends: Backends, size: int, every_face: bool) -> dict[str, Any]:
    """Milliseconds of a photo by stage, in this process, and what comes of them."""
    clock = Clock()

    def make_parser() -> Callable[..., Any]:
        assert backends.make_parser is not None
        return clock.timed("parse", backends.make_parser())

    with stages_timed(clock):
        report: Report = prepare.prepare(
            photos,
            out,
            replace(backends, make_parser=make_parser),
            size=size,
            every_face=every_face,
            workers=1,
            progress=clock.progress,
        )
    if not clock.photos:
        raise SsganError("there are too few photos to measure", "it takes two")
    total = 1000 * statistics.mean(clock.photos)
    stages = {stage: 1000 * clock.stages[stage] / len(clock.photos) for stage in STAGES}
    stages["other"] = total - sum(stages.values())
    return {
        "photos": report.handled,
        "portraits": report.written,
        "skipped": len(report.skipped),
        "size": size,
        "ms": {stage: round(value, 2) for stage, value in stages.items()},
        "ms_total": round(total, 2),
        "photos_per_second_core": round(1000 / total, 3),
    }


def show(facts: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"{facts['photos']} photos, {facts['portraits']} portraits of {facts['size']} pixels")
    table.add_column("stage")
    table.add_column("ms a photo", justify="right")
    table.add_column("photos/s and core", justify="right")
    for stage, value in (*facts["ms"].items(), ("all", facts["ms_total"])):
        table.add_row(stage, f"{value:.1f}", f"{1000 / value:.1f}" if value > 0 else "")
    console = Console()
    console.print(table)
    if "workers" in facts:
        console.print(
            f"{facts['workers']} workers: {facts['photos_per_second_wall']:.1f} photos/s of wall time, start included"
        )


def _link(source: Path, folder: Path, limit: int | None) -> None:
    """A folder with links to the first photos of another."""
    folder.mkdir()
    for number, photo in enumerate(find_photos(source)[:limit]):
        (folder / f"{number:06d}{photo.path.suffix}").symlink_to(photo.path.resolve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, help="take the first so many only")
    parser.add_argument("--size", type=int, default=512, help="side of the portraits, pixels")
    parser.add_argument("--faces", choices=("largest", "all"), default="largest")
    parser.add_argument("--workers", type=int, default=0, help="measure wall time with so many, too")
    parser.add_argument("--weights", type=Path, help="folder of the networks, if not the cache")
    return parser.parse_args()


if __name__ == "__main__":
    main()
