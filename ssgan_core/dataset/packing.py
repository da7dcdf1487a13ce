"""Packs a data set folder into one stored zip, which moves and reads faster than many small files."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ssgan_core.dataset.layout import LABELS_FILE, META_FILE, PARTS_FILE, depth_file, image_file, mask_file
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.storage import FolderStorage
from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path
from ssgan_core.progress import Progress, silent

_LARGEST_FILE = 1 << 30


def pack(folder: Path, zip_path: Path, progress: Progress = silent) -> None:
    """Write a finished data set folder as a zip without compression (PNG is compressed already).

    The same folder gives the same bytes: members are sorted and carry no dates.

    Raises:
        SsganError: the folder is no data set, or the zip cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SsganError(f"{folder} is not a folder")
    names = PortraitDataset.open(folder).names
    storage = FolderStorage(folder)
    present = storage.names()
    files = [LABELS_FILE, META_FILE, PARTS_FILE]
    for name in names:
        files += [image_file(name), mask_file(name), depth_file(name)]
    files = [file for file in files if file in present]
    with atomic_path(zip_path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for done, file in enumerate(files, 1):
            archive.writestr(zipfile.ZipInfo(file), storage.read(file, _LARGEST_FILE))
            progress(done, len(files))
