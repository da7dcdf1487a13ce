"""How well the face parser finds parts, and how fast it is on one core.

    python -m benchmarks.parsing DATA --limit 200

DATA is a data set of ours (`dataset.json`), or a folder with `images/` and label maps of the same names in `masks/`,
ids in CelebAMask-HQ's order. Prints a table and, last, one line of JSON. `mean` is the mean over the pictures that show
the part; `pooled` takes all pixels of all pictures together, so that parts seen where there are none count too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported, as the command line does

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ssgan_core.dataset.layout import LABELS_FILE
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parsing.parser import SIZE, FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_ids, read_image

_PICTURES = (".jpg", ".jpeg", ".png")


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    parser = FaceParser.load(options.weights)
    found, times = Agreement(len(PORTRAIT.parts)), []
    for image, truth in pictures(options.data, options.limit):
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        started = time.perf_counter()
        predicted = parser.mask(tensor)[0].numpy()
        times.append(time.perf_counter() - started)
        found.add(truth, predicted)
    report(found, {"weights": parser.sha256, "ms": 1000 * statistics.median(times), "ms_256": pace(parser)})


def pictures(folder: Path, limit: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures uint8 [H, W, 3] with ids of parts.PORTRAIT uint8 [H, W] (255: no truth)."""
    if (folder / LABELS_FILE).is_file() or folder.is_file():
        data = PortraitDataset.open(folder)
        for index in range(len(data))[:limit]:
            yield data.image(index), data.mask(index)
        return
    files = sorted(path for path in (folder / "images").glob("*") if path.suffix.lower() in _PICTURES)
    if not files:
        raise SsganError(f"there are no pictures to measure in {folder}", "it needs images/ and masks/")
    table = PORTRAIT.lookup("celebamask-hq")
    for path in files[:limit]:
        image, labels = read_image(path), read_ids(folder / "masks" / f"{path.stem}.png")
        if image.shape[:2] != labels.shape:
            raise SsganError(f"{path.name} and its mask have different sizes")
        yield image, table[labels]


def pace(parser: FaceParser, repeats: int = 15) -> float:
    """Median milliseconds of one picture of 256 x 256 pixels."""
    image = torch.zeros(1, 3, SIZE, SIZE)
    times = []
    for _ in range(repeats + 1):  # the first warms up
        started = time.perf_counter()
        parser.mask(image)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[1:])


def report(found: Agreement, facts: dict[str, Any]) -> None:
    """Print the table and the line of JSON."""
    mean, pooled, shown = found.mean_iou(), found.pooled_iou(), found.shown()
    table = Table(title=f"{len(found.counts)} pictures")
    for column in ("part", "shown in", "mean IoU", "pooled IoU"):
        table.add_column(column, justify="left" if column == "part" else "right")
    parts: dict[str, Any] = {}
    for index, name in enumerate(PORTRAIT.names):
        if shown[index]:
            table.add_row(name, str(shown[index]), f"{mean[index]:.3f}", f"{pooled[index]:.3f}")
            parts[name] = {
                "shown": int(shown[index]),
                "mean": round(float(mean[index]), 4),
                "pooled": round(float(pooled[index]), 4),
            }
    averages = {
        kind: round(statistics.mean(part[kind] for part in parts.values()), 4) for kind in ("mean", "pooled")
    }
    table.add_row("all parts", "", f"{averages['mean']:.3f}", f"{averages['pooled']:.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"one core: {facts['ms_256']:.0f} ms a picture of 256 x 256, {facts['ms']:.0f} ms as they come"
    )
    print(json.dumps({"pictures": len(found.counts), **averages, **facts, "parts": parts}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int, help="measure the first so many only")
    parser.add_argument("--weights", type=Path, help="other weights than the shipped ones")
    return parser.parse_args()


if __name__ == "__main__":
    main()
