"""How far apart the hashes of duplicates and of different portraits are, and how long the search takes.

    python -m benchmarks.duplicates DATA [--photos FOLDER] [--limit 150] [--search 100000]

DATA is a data set. *Different*: the closest pairs of its entries, those of one identity (where meta.jsonl names
identities) left out, and the closest to other entries' mirror images. Duplicates in DATA count here too, so a distance
within the radius is either a false positive or a find: the pairs are named.

*The same*: distances between an entry and its picture stored otherwise. With `--photos`, the photos of FOLDER are taken
instead, and each is found, solved and cut again as `ssgan preprocess` does (it needs the networks of `ssgan weights`).

*Search*: so many hashes are drawn with the means and covariances of DATA's frequencies and searched for duplicates.
Prints tables and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.pictures import read_image
from ssgan_core.preparation.duplicates import (
    RADIUS,
    Fingerprint,
    find_duplicates,
    frequencies,
    mirrored_hash,
    picture_hash,
)

_NAMED = 5


def main() -> None:
    options = _options()
    data = PortraitDataset.open(options.data)
    pictures = [data.image(index) for index in range(len(data))]
    people = [data.meta(index).get("identity", index) for index in range(len(data))]
    facts: dict[str, Any] = {"entries": len(data), "size": data.resolution, "radius": RADIUS}
    facts["different"] = different(pictures, people, data.names)
    sources = (read_image(path) for path in sorted(options.photos.iterdir())) if options.photos else pictures
    facts["same"] = same(sources, options.limit, _cutter() if options.photos else lambda photo: photo)
    facts["search"] = search(pictures, options.search)
    report(facts)
    print(json.dumps(facts))


def different(pictures: list[np.ndarray], people: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Distances of pairs that show different people."""
    hashes = np.stack([picture_hash(picture) for picture in pictures])
    others = np.array([[one != other for other in people] for one in people])
    rows = {}
    for name, compared in (("plain", hashes), ("mirrored", mirrored_hash(hashes))):
        distances = (hashes[:, None] != compared[None]).sum(-1)
        pairs = np.argwhere(np.tril(others & (distances <= RADIUS), -1))[:_NAMED]
        values = distances[np.tril(others, -1)]
        rows[name] = {
            "pairs": len(values),
            "within": int((values <= RADIUS).sum()),
            "least": int(values.min()),
            "0.001 %": float(np.quantile(values, 1e-5)),
            "median": float(np.median(values)),
            "named": [[names[one], names[other], int(distances[one, other])] for one, other in pairs],
        }
    return rows


def same(
    photos: Iterable[np.ndarray], limit: int, cut: Callable[[np.ndarray], np.ndarray]
) -> dict[str, dict[str, float]]:
    """Distances between a picture and itself stored otherwise."""
    distances: dict[str, list[int]] = {name: [] for name in VARIANTS}
    for _, photo in zip(range(limit), photos, strict=False):
        try:
            original = picture_hash(cut(photo))
        except SsganError:
            continue
        for name, change in VARIANTS.items():
            expected = mirrored_hash(original) if "mirrored" in name else original
            try:
                found = picture_hash(cut(change(photo)))
            except SsganError:
                continue
            distances[name].append(int((expected != found).sum()))
    return {
        name: {
            "pictures": len(values),
            "found": float(np.mean(np.array(values) <= RADIUS)),
            "median": float(np.median(values)),
            "95 %": float(np.quantile(values, 0.95)),
            "most": max(values),
        }
        for name, values in distances.items()
    }


def search(pictures: list[np.ndarray], count: int) -> dict[str, float]:
    """Seconds of the processor for a search among `count` hashes like the pictures', and the false finds."""
    waves = np.stack([frequencies(picture).ravel() for picture in pictures])
    waves /= waves.std(0) + 1e-9
    rng = np.random.default_rng(0)
    spread = np.linalg.cholesky(0.95 * np.cov(waves.T) + 0.05 * np.eye(waves.shape[1]))
    drawn = np.concatenate(
        [
            (waves.mean(0) + rng.standard_normal((1000, len(spread))) @ spread.T) > 0
            for _ in range(-(-count // 1000))
        ]
    )[:count]
    drawn[:, 0] = False
    prints = [Fingerprint(f"{number:08d}", str(number), picture) for number, picture in enumerate(drawn)]
    started = time.process_time()
    found = find_duplicates(prints)
    return {"hashes": count, "seconds": time.process_time() - started, "false": len(found)}


def report(facts: dict[str, Any]) -> None:
    console = Console(width=110)
    for title, rows in (("Different", facts["different"]), ("The same", facts["same"])):
        shown = [name for name in next(iter(rows.values())) if name != "named"]
        table = Table(title=f"{title}: bits of 256 that differ")
        for column in ("", *shown):
            table.add_column(column)
        for name, row in rows.items():
            table.add_row(name, *(f"{row[column]:.3g}" for column in shown))
        console.print(table)
    console.print(
        "{hashes} hashes searched in {seconds:.1f} s of processor time, {false} found".format(
            **facts["search"]
        )
    )


def _jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def _resized(picture: np.ndarray, factor: float) -> np.ndarray:
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _mirrored(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "JPEG 75": lambda picture: _jpeg(picture, 75),
    "JPEG 30": lambda picture: _jpeg(picture, 30),
    "half the size": lambda picture: _resized(picture, 0.5),
    "twice the size": lambda picture: _resized(picture, 2.0),
    "half the size, JPEG 50": lambda picture: _jpeg(_resized(picture, 0.5), 50),
    "mirrored": _mirrored,
    "mirrored, 60 % of the size, JPEG 60": lambda picture: _jpeg(_resized(_mirrored(picture), 0.6), 60),
    "15 % more contrast, clipped": lambda picture: np.clip(1.15 * picture + 8.0, 0, 255).astype(np.uint8),
    "cut to 93 %": lambda picture: picture[
        len(picture) // 25 : -len(picture) // 50 or None, len(picture) // 50 :
    ],
}


def _cutter() -> Callable[[np.ndarray], np.ndarray]:
    """The crop of a photo, as `ssgan preprocess` makes it."""
    from ssgan_core.preparation import pose
    from ssgan_core.preparation.alignment import cut_photo
    from ssgan_core.preparation.faces import FaceFinder

    find_face = FaceFinder()

    def crop(photo: np.ndarray) -> np.ndarray:
        face = find_face(np.ascontiguousarray(photo))
        return cut_photo(photo, pose.solve(face.points, face.correction).crop, 128)

    return crop


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder or zip of the data set")
    parser.add_argument("--photos", type=Path, help="folder of photos to cut again from changed files")
    parser.add_argument("--limit", type=int, default=150, help="pictures that are changed")
    parser.add_argument("--search", type=int, default=100_000, help="hashes to search")
    return parser.parse_args()


if __name__ == "__main__":
    main()
