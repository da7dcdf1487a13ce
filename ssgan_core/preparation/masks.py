"""Masks that already exist, in three named layouts; which one is never guessed.

celebamask-hq        one label map a photo, the same relative path with .png, ids in CelebAMask-HQ's order
bisenet              the same with ids in the order of the face-parsing BiSeNet
celebamask-hq-parts  the original release: one black and white PNG a part, `00000_hair.png`, in any subfolders
of
                     the mask folder, for the photo `00000` or, as the release numbers its photos, `0`

A mask belongs to the photo as it is displayed, after its EXIF rotation. Where only the stored, unrotated
photo has the mask's proportions, the mask is taken to be stored like the photo and is rotated with it. Other
sizes than the photo's are fine as long as the proportions are exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.parts import CELEBAMASK_HQ_SUFFIXES, LABEL_ORDERS, PartSchema
from ssgan_core.pictures import EXIF_TURNS, read_ids, read_image, read_orientation
from ssgan_core.preparation.photos import MAX_PHOTO_PIXELS

PARTS_LAYOUT = "celebamask-hq-parts"
LAYOUTS = ("celebamask-hq", PARTS_LAYOUT, "bisenet")
DEFAULT_LAYOUT = "celebamask-hq"

_UNKNOWN = 255  # of PartSchema.lookup


@dataclass(frozen=True)
class MaskSource:
    """Finds and reads the masks of photos.

    Attributes:
        folder: the mask folder.
        layout: one of LAYOUTS.
        schema: the parts that the layout's classes are merged into.
        parts: of the one-PNG-a-part layout: class name to file, by stem; empty otherwise.
    """

    folder: Path
    layout: str
    schema: PartSchema
    parts: dict[str, dict[str, Path]]

    @classmethod
    def open(cls, folder: Path, layout: str, schema: PartSchema) -> MaskSource:
        """Raises:
        SsganError: no such folder or layout.
        """
        if layout not in LAYOUTS:
            raise SsganError(f"unknown mask layout '{layout}'", "layouts are " + ", ".join(LAYOUTS))
        if not folder.is_dir():
            raise SsganError(f"the mask folder {folder} does not exist")
        parts = _index_of_parts(folder) if layout == PARTS_LAYOUT else {}
        if layout == PARTS_LAYOUT and not parts:
            raise SsganError(
                f"{folder} holds no files like 00000_hair.png", "is another --mask-layout meant?"
            )
        return cls(folder, layout, schema, parts)

    def read(self, photo: Path, relative: Path, width: int, height: int) -> np.ndarray:
        """Part ids [h, w], uint8, of a photo, displayed like it and of its exact proportions.

        Args:
            photo: its file, for its EXIF orientation.
            relative: its path inside the photo folder.
            width, height: its size as displayed.

        Raises:
            SsganError: the mask is missing, unreadable, of other proportions, or has labels outside its
            order.
        """
        labels = self._merged(relative) if self.layout == PARTS_LAYOUT else self._label_map(relative)
        return _displayed(labels, photo, width, height)

    def _label_map(self, relative: Path) -> np.ndarray:
        path = self.folder / relative.with_suffix(".png")
        if not path.is_file():
            raise SsganError(f"there is no mask {relative.with_suffix('.png')}")
        labels = read_ids(path, name="its mask")
        ids = self.schema.lookup(self.layout)[labels]
        if (ids == _UNKNOWN).any():
            highest = int(labels.max())
            count = len(LABEL_ORDERS[self.layout])
            raise SsganError(f"its mask has the label {highest}, but {self.layout} ends at {count - 1}")
        return ids

    def _merged(self, relative: Path) -> np.ndarray:
        stem = relative.stem
        files = self.parts.get(stem) or (self.parts.get(f"{int(stem):05d}") if stem.isdecimal() else None)
        if not files:
            raise SsganError(f"there are no mask files {stem}_<part>.png")
        merged: np.ndarray | None = None
        for (
            source
        ) in CELEBAMASK_HQ_SUFFIXES.values():  # in the release's order: later parts cover earlier ones
            if source not in files:
                continue
            inside = read_image(files[source], name=f"its mask {files[source].name}")[..., 0] > 127
            if merged is None:
                merged = np.zeros(inside.shape, np.uint8)
            if merged.shape != inside.shape:
                raise SsganError(f"its mask {files[source].name} has another size than the other parts")
            merged[inside] = self.schema.id_of_source(source)
        assert merged is not None  # `files` is not empty and has only known classes
        return merged


def _index_of_parts(folder: Path) -> dict[str, dict[str, Path]]:
    index: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*.png")):
        words = path.stem.split("_")  # both the photo's name and the part's may have underscores
        for cut in range(1, len(words)):
            suffix = "_".join(words[cut:])
            if suffix in CELEBAMASK_HQ_SUFFIXES:
                index.setdefault("_".join(words[:cut]), {})[CELEBAMASK_HQ_SUFFIXES[suffix]] = path
                break
    return index


def _displayed(labels: np.ndarray, photo: Path, width: int, height: int) -> np.ndarray:
    """The labels in the displayed photo's orientation, or an error where the proportions differ."""
    rows, columns = labels.shape
    if columns * height == rows * width:
        return labels
    if columns * width == rows * height and (orientation := read_orientation(photo, MAX_PHOTO_PIXELS)) >= 5:
        return np.ascontiguousarray(EXIF_TURNS[orientation](labels))
    raise SsganError(
        f"its mask has {columns} x {rows} pixels, which does not fit a photo of {width} x {height}"
    )
