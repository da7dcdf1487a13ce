"""Which files of a folder are photos, and what their entries of a data set are called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ssgan_core.errors import SsganError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

MAX_PHOTO_PIXELS = 1 << 27
"""Photos of more pixels (134 million) are refused by their header."""
WORKING_PIXELS = 1 << 25
"""Photos of more pixels (34 million) are made smaller by averaging as they are decoded."""

# What data set names cannot hold (undecodable bytes among it), and the sign that escapes it.
_ESCAPED = re.compile(r"""[\x00-\x1f\x7f\\:*?"<>|%\ud800-\udfff]""")


@dataclass(frozen=True)
class Photo:
    """One file.

    Attributes:
        path: where it is.
        relative: its path inside the photo folder.
    """

    path: Path
    relative: Path

    @property
    def source(self) -> str:
        """The relative path with forward slashes, as data sets and reports name it; always valid Unicode."""
        return os.fsencode(self.relative.as_posix()).decode("utf-8", "backslashreplace")

    @property
    def entry(self) -> str:
        """Its name in the data set: the suffix belongs to it, so that a.jpg and a.png do not collide.

        It depends on nothing but the photo's own path, so that it stays when photos are added later. Signs
        that a data set's names cannot have are written as %XX.
        """
        plain = f"{self.relative.with_suffix('').as_posix()}_{self.relative.suffix[1:]}"
        return _ESCAPED.sub(lambda sign: "".join(f"%{byte:02X}" for byte in os.fsencode(sign[0])), plain)

    def face_entry(self, face: int) -> str:
        """The name in the data set of one of its faces, counted from 0."""
        return f"{self.entry}_face{face}"


def find_photos(folder: Path, without: tuple[Path, ...] = ()) -> list[Photo]:
    """The photos of a folder and its subfolders, sorted; hidden files and folders are left out.

    Args:
        folder: where to look.
        without: folders inside it to leave out, such as the masks or the data set itself.

    Raises:
        SsganError: it is no folder, or holds no photos.
    """
    if not os.path.isdir(folder):
        raise SsganError(f"the photo folder {folder} does not exist")
    barred = {os.path.realpath(path) for path in without}  # Path.resolve fails on links that lead in a circle
    if os.path.realpath(folder) in barred:
        raise SsganError(
            f"{folder} is the photo folder and cannot also be the folder of masks or of the data set"
        )
    found = []
    for place, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) not in barred
        )
        for name in files:
            path = Path(place) / name
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and _is_file(path):
                found.append(Photo(path, path.relative_to(folder)))
    if not found:
        raise SsganError(f"{folder} holds no photos", "looked for " + " ".join(SUFFIXES))
    return sorted(found, key=lambda photo: photo.source)


def _is_file(path: Path) -> bool:
    """Raises SsganError where that cannot be told: names may be seen in a folder whose files may not."""
    try:
        return path.is_file()
    except OSError as error:
        raise SsganError(f"cannot read {path}: {error.strerror}") from error


def _unreadable(error: OSError) -> None:
    raise SsganError(f"cannot read the folder {error.filename}: {error.strerror}") from error
