"""Packs a data set folder into one stored zip, which moves and reads faster than many small files."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssgan_core.dataset.layout import (
    CONTACT_FILE,
    LABELS_FILE,
    META_FILE,
    OPTIONS_FILE,
    PARTS_FILE,
    PREPARATION_FILE,
    REPORT_FILE,
    depth_file,
    image_file,
    mask_file,
)
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.storage import FolderStorage, ZipStorage
from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path, cannot_write, write_bytes
from ssgan_core.progress import Progress, silent

ZIP_SUFFIX = ".zip"
_LARGEST_FILE = 1 << 30
_OF_THE_WHOLE = (
    LABELS_FILE, META_FILE, OPTIONS_FILE, PARTS_FILE, PREPARATION_FILE, REPORT_FILE, CONTACT_FILE,
)  # fmt: skip


def pack(folder: Path, zip_path: Path, progress: Progress = silent) -> None:
    """Write a finished data set folder as a zip without compression (PNG is compressed already).

    The zip is read back and compared with the folder before it appears under its name. The same folder gives the
    same bytes: members have a fixed order, date and mode. What belongs to no entry is left out.

    Raises:
        SsganError: the folder is no data set, or the zip cannot be written, or not be read back.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SsganError(f"{folder} is not a folder")
    names = PortraitDataset.open(folder).names
    storage = FolderStorage(folder)
    present = storage.names()
    files = [*_OF_THE_WHOLE]
    for name in names:
        files += [image_file(name), mask_file(name), depth_file(name)]
    files = [file for file in files if file in present]
    with atomic_path(zip_path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for done, file in enumerate(files, 1):
                archive.writestr(_member(file), storage.read(file, _LARGEST_FILE))
                progress(done, 2 * len(files), "packing")
        packed = ZipStorage(temporary)
        for done, file in enumerate(files, 1):
            if packed.read(file, _LARGEST_FILE) != storage.read(file, _LARGEST_FILE):
                raise SsganError(
                    f"{file} is not in {zip_path} as it was written",
                    "check the disk, and whether the folder changes",
                )
            progress(len(files) + done, 2 * len(files), "reading back")


@contextmanager
def made_in_folder(out: Path, progress: Progress = silent) -> Iterator[Path]:
    """The folder in which to make the data set `out`: `out` itself, or, if that ends with .zip, out + ".making".

    When the block ends well, that folder is packed, checked and removed, and its contact sheet kept beside the zip
    (faces.zip, faces.jpg). When it does not, or the process is killed, the folder stays and the same call goes on with
    it. Folder and zip exist together for a while: the disk must hold the data set twice.

    Raises:
        SsganError: the zip is there already, something cannot be written, or a block ended well without a data set.
    """
    out = Path(out)
    if out.suffix.lower() != ZIP_SUFFIX or out.is_dir():
        yield out
        return
    making, remains = out.with_name(out.name + ".making"), out.with_name(f".{out.name}.removing")
    shutil.rmtree(remains, ignore_errors=True)
    if out.exists() and not making.is_dir():
        raise SsganError(
            f"{out} is there already, and nothing can be added to a zip", "name another, or remove it first"
        )
    yield making
    packed = making / "packed.zip"  # in there, a kill does not leave a large temporary file among the user's
    pack(making, packed, progress)
    try:
        os.replace(packed, out)
        if (making / CONTACT_FILE).is_file():
            write_bytes(out.with_suffix(".jpg"), (making / CONTACT_FILE).read_bytes())
        _remove(making, remains)
    except OSError as error:
        raise cannot_write(out, error) from error


def _remove(folder: Path, remains: Path) -> None:
    # Under another name: half of a folder, which a kill leaves, must not be taken for one to go on with.
    os.replace(folder, remains)
    shutil.rmtree(remains)


def _member(file: str) -> zipfile.ZipInfo:
    """A member with the earliest date there is, readable to all; nothing of it depends on the system."""
    member = zipfile.ZipInfo(file)
    member.create_system = 3  # Unix
    member.external_attr = 0o100644 << 16
    return member
