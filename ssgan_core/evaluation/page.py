"""report.html: the figures and the pictures on one page that needs no other file, and samples.jpg."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssgan_core.evaluation.edits import EditExhibit
from ssgan_core.evaluation.exhibits import YAWS, NeighbourExhibit, SampleExhibit
from ssgan_core.evaluation.summary import (
    COLUMNS,
    PART_COLUMNS,
    number,
    part_rows,
    percent,
    skipped_lines,
    summary_rows,
)
from ssgan_core.files import write_bytes
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import colour_depth, colour_mask, encode_jpeg, tile
from ssgan_core.synthesis import View

_LARGEST_SHOWN = 256  # pixels: a page with 250 larger pictures would have tens of megabytes
_GAP = 2
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2em; }
table { border-collapse: collapse; margin: .5em 0; }
th, td { padding: .25em .7em; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; }
table.pictures td, table.pictures th { border: 0; padding: 2px; text-align: center; vertical-align: middle;
  font-size: 12px; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { width: 116px; display: block; image-rendering: pixelated; }
.note { border-left: 4px solid #c80; padding-left: .7em; margin: .4em 0; }
.faint { opacity: .7; } code { font-size: .9em; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class Exhibits:
    """The pictures of a report."""

    samples: list[SampleExhibit]
    edits: list[EditExhibit]
    neighbours: list[NeighbourExhibit]


def write_page(path: Path, evaluation: Mapping[str, Any], exhibits: Exhibits, schema: PartSchema) -> None:
    """Write the page atomically; pictures are inside, as JPEG, nothing is loaded from elsewhere."""
    write_bytes(path, page(evaluation, exhibits, schema).encode(errors="xmlcharrefreplace"))


def page(evaluation: Mapping[str, Any], exhibits: Exhibits, schema: PartSchema) -> str:
    """The page's HTML."""
    model, data, settings = (evaluation[key] for key in ("model", "data", "settings"))
    rows = [[row.name, row.model, row.data, row.rulers, row.reading] for row in summary_rows(evaluation)]
    by_part = part_rows(evaluation)
    yaws = np.degrees(np.linspace(-settings["yaw"], settings["yaw"], YAWS))
    notes = [*evaluation["notes"], *skipped_lines(evaluation)]
    body = [
        "<h1>Evaluation of a portrait generator</h1>",
        f"<p>Model <code>{escape(model['path'])}</code>, sha256 <code>{escape(model['sha256'][:16])}…</code>, "
        f"{model['resolution']} pixels, beside <code>{escape(data['path'])}</code> ({data['entries']} portraits, "
        f"{data['people_in_range']} persons in the camera range). {settings['portraits']} portraits a set, "
        f"psi {settings['psi']}, seed {settings['seed']}, yaw within {settings['yaw']:.2f} and pitch within "
        f"{settings['pitch']:.2f} radians.</p>",
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        "<h2>Figures</h2>",
        "<p>Every figure stands beside what portraits of the data that were kept apart reach in the model's place "
        "(distances: the floor). Rulers say what known faults would score.</p>",
        _table(COLUMNS, rows, numeric=(1, 2)),
        *(_part_by_part(by_part) if by_part else []),
        "<h2>Samples</h2>",
        "<p>From the front: image, mask, depth; then the image over the whole range of yaw.</p>",
        _pictures(
            ["seed", "image", "mask", "depth", *(f"yaw {yaw:+.0f}°" for yaw in yaws)],
            ([str(row.seed), *_sample_pictures(row, schema)] for row in exhibits.samples),
        ),
        *(_edits(exhibits.edits, schema) if exhibits.edits else []),
        "<h2>Nearest portraits of the data</h2>",
        "<p>Samples beside the nearest portraits among those that were read, by pixels (32 × 32) and by the parser's "
        "features. A sample that shows the same person is a copy.</p>",
        _pictures(
            ["seed", "sample", "nearest, pixels", "", "nearest, features", ""],
            (
                [
                    str(row.seed),
                    row.sample,
                    row.nearest[0],
                    f"{row.names[0]}, {number(row.distances[0])}",
                    row.nearest[1],
                    f"{row.names[1]}, {number(row.distances[1])}",
                ]
                for row in exhibits.neighbours
            ),
        ),
        f'<p class="faint">Parser <code>{escape(evaluation["parser_sha256"][:16])}…</code>; pictures of the data '
        f"<code>{escape(data['pictures_sha256'][:16])}…</code>; all figures are in evaluation.json.</p>",
    ]
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def samples_sheet(samples: Sequence[SampleExhibit], schema: PartSchema) -> np.ndarray:
    """The samples as one picture: a row each, image, mask, depth and views."""
    cells = [_shown(picture) for row in samples for picture in _sample_pictures(row, schema)]
    return tile(cells, columns=3 + YAWS, gap=_GAP)


def _sample_pictures(row: SampleExhibit, schema: PartSchema) -> list[np.ndarray]:
    front = [row.front.image, colour_mask(row.front.mask, schema), colour_depth(row.front.depth)]
    return front + [view.image for view in row.turned]


def _part_by_part(rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "<h2>Part by part</h2>",
        "<p>Mask IoU: rendered masks against the parser, and the data's own masks against it. Edits: the part's codes "
        "taken from another sample. Strength: change inside the part, as a share of what it is between two real heads; "
        "edits under a quarter do not count. If all changed: the locality when a whole head is replaced.</p>",
        _table(PART_COLUMNS, rows, numeric=tuple(range(1, len(PART_COLUMNS)))),
    ]


def _edits(edits: Sequence[EditExhibit], schema: PartSchema) -> list[str]:
    return [
        "<h2>Part edits</h2>",
        "<p>For every part its first edit that counts, or the first one tried. The difference is the absolute change, "
        "doubled.</p>",
        _pictures(
            ["part", "before", "donor", "after", "difference", "mask before", "mask after", ""],
            (_edit_row(row, schema) for row in edits),
        ),
    ]


def _edit_row(row: EditExhibit, schema: PartSchema) -> list[np.ndarray | str]:
    difference = np.abs(row.before.image.astype(np.int16) - row.after.image)
    effect = row.effect
    local = number(effect.locality) if np.isfinite(effect.locality) else "-"
    facts = f"covers {percent(effect.cover)}, change {number(effect.change)}, locality {local}"
    return [
        row.part,
        *(view.image for view in (row.before, row.donor, row.after)),
        np.clip(2 * difference, 0, 255).astype(np.uint8),
        *(_mask(view, schema) for view in (row.before, row.after)),
        facts if row.counted else f"does not count: {facts}",
    ]


def _mask(view: View, schema: PartSchema) -> np.ndarray:
    return colour_mask(view.mask, schema)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = [
        "".join(
            f'<td class="n">{escape(cell)}</td>' if index in numeric else f"<td>{escape(cell)}</td>"
            for index, cell in enumerate(row)
        )
        for row in rows
    ]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _pictures(columns: Sequence[str], rows: Iterable[Sequence[np.ndarray | str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = []
    for row in rows:
        title = row[0] if isinstance(row[0], str) else ""
        cells = (
            f"<td>{escape(cell)}</td>"
            if isinstance(cell, str)
            else f'<td><img alt="{escape(f"{title} {column}".strip())}" src="{_data_uri(cell)}"></td>'
            for column, cell in zip(columns, row, strict=True)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="pictures"><tr>{head}</tr>{"".join(lines)}</table>'


def _data_uri(picture: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(_shown(picture))).decode()


def _shown(picture: np.ndarray) -> np.ndarray:
    """The picture, made smaller if it is too large for the page."""
    if len(picture) <= _LARGEST_SHOWN:
        return picture
    size = (_LARGEST_SHOWN, _LARGEST_SHOWN)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
