"""`ssgan preprocess`: a folder of photos becomes a data set."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssgan_core.dataset.layout import CONTACT_FILE, KEPT_COLUMN, PREPARATION_FILE, REPORT_FILE, check_name
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json, write_json
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.backends import Backends
from ssgan_core.preparation.contact import write_contact_sheet, write_skipped_sheet
from ssgan_core.preparation.duplicates import mark
from ssgan_core.preparation.entry import Recipe, Skip
from ssgan_core.preparation.handled import HandledPhotos
from ssgan_core.preparation.masks import DEFAULT_LAYOUT, MaskSource
from ssgan_core.preparation.mesh import canonical_mesh
from ssgan_core.preparation.photos import Photo, find_photos
from ssgan_core.preparation.pose import face_mesh_correction
from ssgan_core.preparation.quality import Filters
from ssgan_core.preparation.report import Report, SkippedFace
from ssgan_core.preparation.workers import outcomes
from ssgan_core.progress import Progress, silent

_SKIPPED_FILE = "skipped.jpg"
_LONGEST_NAME = 240  # bytes of a file name, less the number of the face and the suffix


def prepare(
    photos: Path,
    out: Path,
    backends: Backends,
    *,
    masks: Path | None = None,
    mask_layout: str = DEFAULT_LAYOUT,
    size: int = 512,
    every_face: bool = False,
    filters: Filters | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Make or continue a data set from photos, with their masks or with a parser.

    The largest face of every photo, or each, is found, its camera solved, and photo and mask are cut alike.
    What fails or is filtered is skipped with a reason; nothing stops the run. Entries that exist are left
    alone, so that a run can be interrupted and continued, and later photos are added by the same command. At
    the end `report.json`, `contact.jpg` and, if anything was skipped, `skipped.jpg` are written beside the
    data set.

    Args:
        photos: folder, searched with its subfolders.
        out: folder of the data set.
        backends: what finds faces and, without `masks`, parses them.
        masks: folder of masks that exist; then `backends` has no parser.
        mask_layout: one of `masks.LAYOUTS`.
        size: side of the pictures, pixels.
        every_face: entries for all faces of a photo, NAME_face0 being the largest, instead of for the largest.
        filters: what is asked of a face; None means the defaults.
        workers: processes; None means one a core. The result does not depend on it.
        progress: called after every photo.

    Raises:
        SsganError: a folder or a network is missing, `out` is something else or was made otherwise, the disk
            is full, or a worker died.
    """
    if (masks is None) == (backends.make_parser is None):
        raise ValueError("either masks are given, or the backends have a parser")
    source = None if masks is None else MaskSource.open(masks, mask_layout, PORTRAIT)
    recipe = Recipe(size, every_face, filters or Filters(), source)
    found = find_photos(photos, without=(out,) if masks is None else (masks, out))
    made_with = {
        "networks": dict(backends.networks),
        "mesh": canonical_mesh().sha256,
        "pose_correction": face_mesh_correction().sha256,
    }
    if source:
        made_with["mask_layout"] = mask_layout
    settings = {
        **made_with,
        "faces": "all" if every_face else "largest",
        "filters": asdict(recipe.filters),
    }
    workers = workers or os.cpu_count() or 1
    started = time.monotonic()
    report = Report(photos=len(found))
    with DatasetWriter(out, PORTRAIT, size) as writer, _handled(out, settings, writer) as handled:
        waiting = _waiting(found, writer, handled, report)
        known = len(found) - len(waiting)
        progress(known, len(found), _note(report))
        for photo, outcome in outcomes(waiting, recipe, backends, workers):
            for entry in outcome.entries:
                if writer.has(entry.name):  # written before a kill
                    report.already += 1
                    continue
                writer.add_encoded(
                    entry.name, entry.image, entry.mask, entry.label, {**entry.meta, **made_with}
                )
                report.written += 1
            if outcome.lasting:
                handled.add(photo, outcome)
            _count(report, photo, outcome.skipped, any_entry=bool(outcome.entries))
            report.handled += 1
            progress(known + report.handled, len(found), _note(report))
        total = len(writer)
        marks = mark(writer.metas())
        writer.annotate(marks)
    report.duplicates = sum(columns[KEPT_COLUMN] is not None for columns in marks.values())
    report.skipped.sort(key=lambda row: (row.photo, row.skip.face or 0))
    report.seconds = time.monotonic() - started
    write_json(
        out / REPORT_FILE,
        {**report.to_json(), "portraits": total, "workers": workers, "size": size, **settings},
    )
    if total:
        write_contact_sheet(out / CONTACT_FILE, PortraitDataset.open(out))
    write_skipped_sheet(out / _SKIPPED_FILE, report.skipped)
    return report


def _note(report: Report) -> str:
    return f"{len(report.skipped)} skipped"


def _count(report: Report, photo: Photo, skipped: list[Skip] | tuple[Skip, ...], any_entry: bool) -> None:
    report.skipped += [SkippedFace(photo.source, photo.path, skip) for skip in skipped]
    report.failed += not any_entry and not any(skip.filtered for skip in skipped)


def _waiting(
    found: list[Photo], writer: DatasetWriter, handled: HandledPhotos, report: Report
) -> list[Photo]:
    """The photos that have still to be looked at; those with impossible names are skipped here."""
    waiting = []
    for photo in found:
        known = handled.find(photo)
        if known and all(writer.has(name) for name in known[0]):
            report.already += len(known[0])
            _count(report, photo, known[1], any_entry=bool(known[0]))
            continue
        try:
            check_name(photo.entry, "its path")
            if max(len(part.encode()) for part in photo.entry.split("/")) > _LONGEST_NAME:
                raise SsganError("its name is too long for an entry of a data set")
        except SsganError as error:
            _count(report, photo, [Skip(error.message)], any_entry=False)
        else:
            waiting.append(photo)
    return waiting


def _handled(out: Path, settings: dict[str, Any], writer: DatasetWriter) -> HandledPhotos:
    """The journal of a data set that is begun or continued with the same settings."""
    handled = HandledPhotos(out)
    try:
        _check_settings(out, settings, begun=len(writer) > 0 or len(handled) > 0)
    except BaseException:
        handled.close()
        raise
    return handled


def _check_settings(out: Path, settings: dict[str, Any], begun: bool) -> None:
    """Keep what the data set is made with, or refuse to continue it with something else."""
    path = out / PREPARATION_FILE
    if not begun:
        write_json(path, settings)
        return
    if not path.is_file():
        raise SsganError(f"{out} is a data set that preprocess has not made", "name another folder")
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise SsganError(f"{path} is damaged: it holds no settings", "name another folder")
    differing = [name for name in {**settings, **stored} if stored.get(name) != settings.get(name)]
    if differing:
        raise SsganError(
            f"{out} was begun with another {' and another '.join(differing)}",
            "name another folder, or the same options",
        )
