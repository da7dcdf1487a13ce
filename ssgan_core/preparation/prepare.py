"""`ssgan preprocess`: a folder of photos and masks becomes a data set."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ssgan_core.dataset.layout import check_name
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.files import read_json, write_json
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation import weights
from ssgan_core.preparation.photos import Photo, find_photos
from ssgan_core.progress import Progress, silent

_SETTINGS_FILE = "preparation.json"
_REPORT_FILE = "report.json"
_CONTACT_FILE = "contact.jpg"
_LONGEST_NAME = 250  # bytes of a file name, less its suffix


@dataclass
class Report:
    """What a run did.

    Attributes:
        written: new entries.
        already: entries that an earlier run had written.
        skipped: photo and reason.
        seconds: of this run.
    """

    written: int = 0
    already: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def prepare(
    photos: Path,
    out: Path,
    *,
    masks: Path | None,
    mask_layout: str,
    size: int = 512,
    workers: int | None = None,
    progress: Progress = silent,
    weights_dir: Path | None = None,
) -> Report:
    """Make or continue a data set from photos and masks.

    The largest face of every photo is found, its camera solved, and photo and mask are cut alike. A photo
    that fails is skipped with a reason; nothing stops the run. Entries that exist are left alone, so that a
    run can be interrupted and continued, and later photos are added by the same command. At the end
    `report.json` and `contact.jpg` are written beside the data set.

    Args:
        photos: folder, searched with its subfolders.
        out: folder of the data set.
        masks: folder of masks; required as long as there is no parser.
        mask_layout: one of `masks.LAYOUTS`.
        size: side of the pictures, pixels.
        workers: processes; None means one a core. The result does not depend on it.
        progress: called after every photo.
        weights_dir: as in `weights.read`.

    Raises:
        SsganError: a folder or a network is missing, `out` is something else or was made otherwise, the disk
        is
            full, or a worker died.
    """
    if masks is None:
        raise SsganError(
            "photos without masks cannot be prepared yet", "give their masks with --masks FOLDER for now"
        )
    try:
        from ssgan_core.preparation.faces import FaceFinder
    except ImportError as error:
        raise SsganError(
            f"OpenCV cannot be imported: {error}", "pip install opencv-python-headless"
        ) from error
    weights.verify(weights_dir)
    return prepare_with(
        partial(FaceFinder, weights_dir),
        {name: file.sha256 for name, file in weights.FILES.items() if name != weights.SELFIE},
        photos,
        out,
        masks=masks,
        mask_layout=mask_layout,
        size=size,
        workers=workers or os.cpu_count() or 1,
        progress=progress,
    )


def prepare_with(
    make_finder: Callable[[], Any],
    networks: dict[str, str],
    photos: Path,
    out: Path,
    *,
    masks: Path,
    mask_layout: str,
    size: int,
    workers: int,
    progress: Progress = silent,
) -> Report:
    """`prepare` with any face finder.

    Args:
        make_finder: makes a `faces.FindsFace`; picklable if there are several workers.
        networks: what finds the faces, name to digest: a data set is never continued with others.
    """
    from ssgan_core.preparation.contact import write_contact_sheet
    from ssgan_core.preparation.masks import MaskSource
    from ssgan_core.preparation.mesh import canonical_mesh
    from ssgan_core.preparation.workers import entries

    started = time.monotonic()
    source = MaskSource.open(masks, mask_layout, PORTRAIT)
    found = find_photos(photos, without=(masks, out))
    report = Report()
    settings = {"mask_layout": mask_layout, "networks": networks, "mesh": canonical_mesh().sha256}
    with DatasetWriter(out, PORTRAIT, size) as writer:
        _check_settings(out, settings, begun=len(writer) > 0)
        waiting = _waiting(found, writer, report)
        handled = len(found) - len(waiting)
        for done, (photo, result) in enumerate(entries(waiting, source, make_finder, size, workers), 1):
            if isinstance(result, str):
                report.skipped.append((photo.source, result))
            else:
                writer.add(photo.entry, result.image, result.mask, result.label, {**result.meta, **settings})
                report.written += 1
            progress(handled + done, len(found), f"{len(report.skipped)} skipped")
        total = len(writer)
    report.seconds = time.monotonic() - started
    if total:
        write_contact_sheet(out / _CONTACT_FILE, PortraitDataset.open(out))
    write_json(
        out / _REPORT_FILE,
        {
            "photos": len(found),
            "written": report.written,
            "already": report.already,
            "skipped": [{"photo": name, "reason": reason} for name, reason in sorted(report.skipped)],
            "seconds": round(report.seconds, 2),
            "size": size,
            **settings,
        },
    )
    return report


def _waiting(found: list[Photo], writer: DatasetWriter, report: Report) -> list[Photo]:
    """The photos that have no entry yet; impossible names are skipped here."""
    waiting = []
    for photo in found:
        if writer.has(photo.entry):
            report.already += 1
            continue
        try:
            check_name(photo.entry, "its path")
            if max(len(part.encode()) for part in photo.entry.split("/")) > _LONGEST_NAME:
                raise SsganError("its name is too long for an entry of a data set")
        except SsganError as error:
            report.skipped.append((photo.source, error.message))
        else:
            waiting.append(photo)
    return waiting


def _check_settings(out: Path, settings: dict[str, Any], begun: bool) -> None:
    """Keep what the data set is made with, or refuse to continue it with something else."""
    path = out / _SETTINGS_FILE
    if not begun:
        write_json(path, settings)
        return
    if not path.is_file():
        raise SsganError(f"{out} is a data set that preprocess has not made", "name another folder")
    stored = read_json(path)
    differing = [
        name for name, value in settings.items() if not isinstance(stored, dict) or stored.get(name) != value
    ]
    if differing:
        raise SsganError(
            f"{out} was begun with another {' and another '.join(differing)}",
            "name another folder, or the same options",
        )
