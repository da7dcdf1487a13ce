"""Reads a data set of portraits, from a folder or a zip; what it finds is checked before it is used."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ssgan_core.cameras import check_label
from ssgan_core.dataset.layout import (
    LABELS_FILE,
    META_FILE,
    PARTS_FILE,
    check_name,
    depth_file,
    image_file,
    mask_file,
    parse_journal,
)
from ssgan_core.dataset.storage import Storage, open_storage
from ssgan_core.errors import SsganError
from ssgan_core.files import parse_json
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import load_depth16, read_ids, read_image

_JSON_LIMIT, _PICTURE_LIMIT = 1 << 30, 1 << 26
_LARGEST_SIDE = 4096
_UNFINISHED = "if its making was stopped, give the same command again and it goes on"


class PortraitDataset:
    """Portraits with masks and cameras, read by index; may be sent to the workers of a data loader.

    All entries are there; which of them training uses, and how often, is up to `dataset.selection`.

    Attributes:
        path: where it is.
        names: the entries, sorted; each a relative stem such as "00000/img00000012".
        labels: camera labels float32 [N, 25].
        schema: the parts that mask ids stand for.
        resolution: side of what `image`, `mask` and `depth` return, in pixels.
        has_depth: whether every entry has depth.
    """

    def __init__(self, storage: Storage, path: Path, resolution: int | None) -> None:
        self.path = path
        self._storage = storage
        self._meta: dict[str, dict[str, Any]] | None = None
        files = storage.names()
        if LABELS_FILE not in files:
            raise SsganError(f"{path} is no finished data set: it has no {LABELS_FILE}", _UNFINISHED)
        if PARTS_FILE not in files:
            raise SsganError(
                f"{path} has no part masks: there is no {PARTS_FILE}",
                "EG3D's data sets hold pictures and cameras only; make masks with 'ssgan preprocess'",
            )
        self._has_meta = META_FILE in files
        self.schema = PartSchema.from_json(self._json(PARTS_FILE))
        self.names, self.labels = self._read_labels()
        self._check_files(files, path)
        self._depths = frozenset(name for name in self.names if depth_file(name) in files)
        self.has_depth = self._depths.issuperset(self.names)
        self._stored = self._stored_resolution()
        self.resolution = self._stored if resolution is None else resolution
        if self.resolution < 1 or self._stored % self.resolution:
            raise SsganError(
                f"{path} has {self._stored} x {self._stored} pixels, which {self.resolution} does not divide",
                "choose the stored resolution or an integer fraction of it",
            )

    @classmethod
    def open(cls, path: Path, resolution: int | None = None) -> PortraitDataset:
        """Open a data set and check its lists against each other; pictures are checked when they are read.

        Args:
            path: a folder or a zip.
            resolution: the wanted side in pixels, an integer fraction of the stored one; None = as stored.

        Raises:
            SsganError: it is no data set with masks, or something is missing or impossible.
        """
        return cls(open_storage(path), Path(path), resolution)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: np.ndarray) -> PortraitDataset:
        """The data set of these entries only, int [n], ascending; its indices count them from 0."""
        chosen = copy.copy(self)
        chosen.names = tuple(self.names[index] for index in indices)
        chosen.labels = self.labels[indices]
        chosen.has_depth = self._depths.issuperset(chosen.names)
        return chosen

    def image(self, index: int) -> np.ndarray:
        """Picture uint8 [R, R, 3]; a smaller resolution is averaged over boxes.

        Raises:
            SsganError: it cannot be read or has another size than the rest.
        """
        image = self._picture(image_file(self.names[index]), read_image)
        factor = self._stored // self.resolution
        return image if factor == 1 else _average(image, factor)

    def mask(self, index: int) -> np.ndarray:
        """Part ids uint8 [R, R]. Of a box, the commonest id counts; if several are, the one in its middle.

        Raises:
            SsganError: it cannot be read, has another size than the rest or ids that the schema lacks.
        """
        file = mask_file(self.names[index])
        mask = self._picture(file, read_ids)
        if mask.max() >= len(self.schema.parts):
            raise SsganError(
                f"{self._storage.describe(file)} has the id {mask.max()}, "
                f"but {PARTS_FILE} ends at {len(self.schema.parts) - 1}",
                "import label maps with 'ssgan preprocess --masks', naming their class order",
            )
        factor = self._stored // self.resolution
        return mask if factor == 1 else _majority(mask, factor)

    def depth(self, index: int) -> np.ndarray | None:
        """z_cam float32 [R, R] in world units, 0 = none; None if the entry has none. Of a box, the middle.

        Raises:
            SsganError: it cannot be read or has another size than the rest.
        """
        name = self.names[index]
        if name not in self._depths:
            return None
        depth = self._picture(depth_file(name), load_depth16)
        factor = self._stored // self.resolution
        return np.ascontiguousarray(depth[factor // 2 :: factor, factor // 2 :: factor])

    def meta(self, index: int) -> dict[str, Any]:
        """Where an entry comes from (identity, view, ...), as meta.jsonl says; empty if it says nothing.

        Raises:
            SsganError: meta.jsonl is malformed.
        """
        if self._meta is None:
            self._meta = {}
            if self._has_meta:
                content = self._storage.read(META_FILE, _JSON_LIMIT)
                rows, _ = parse_journal(content, self._storage.describe(META_FILE))
                self._meta = {name: row.get("meta", {}) for name, row in rows.items()}
        return self._meta.get(self.names[index], {})

    def person(self, index: int) -> Hashable:
        """Whom an entry shows: entries of one person (the same `seed` and `identity` in meta.jsonl) are equal."""
        meta = self.meta(index)
        if isinstance(meta.get("identity"), (int, str)):
            return str(meta.get("seed")), meta["identity"]
        return self.names[index]

    def by_person(self, indices: Iterable[int]) -> list[list[int]]:
        """The entries of each person, persons and entries in the order in which they come."""
        people: dict[Hashable, list[int]] = {}
        for index in indices:
            people.setdefault(self.person(index), []).append(index)
        return list(people.values())

    def _json(self, file: str) -> Any:
        return parse_json(self._storage.read(file, _JSON_LIMIT), self._storage.describe(file))

    def _read_labels(self) -> tuple[tuple[str, ...], np.ndarray]:
        source = self._storage.describe(LABELS_FILE)
        table = self._json(LABELS_FILE)
        rows = table.get("labels") if isinstance(table, dict) else None
        if not isinstance(rows, list) or not rows:
            raise SsganError(f"{source} holds no labels", _UNFINISHED)
        labels: dict[str, np.ndarray] = {}
        for row in rows:
            if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str):
                raise SsganError(
                    f"{source}: a label is not a pair of file name and 25 numbers: {str(row)[:80]}"
                )
            file = row[0]
            if not file.endswith(".png"):
                raise SsganError(f"{source}: {file[:80]!r} is not a PNG", "data sets hold PNG only")
            name = check_name(file.removesuffix(".png"), source)
            if name in labels:
                raise SsganError(f"{source} names {file!r} twice")
            labels[name] = check_label(row[1], f"{source}: {file}")
        names = tuple(sorted(labels))
        return names, np.stack([labels[name] for name in names])

    def _check_files(self, files: set[str], path: Path) -> None:
        for kind, file_of in (("picture", image_file), ("mask", mask_file)):
            missing = [file_of(name) for name in self.names if file_of(name) not in files]
            if missing:
                raise SsganError(
                    f"{path} lacks {len(missing)} {kind} files of {LABELS_FILE}, such as {missing[0]}",
                    "copy the data set again, or make it anew",
                )

    def _stored_resolution(self) -> int:
        file = image_file(self.names[0])
        image = read_image(
            self._storage.read(file, _PICTURE_LIMIT), _LARGEST_SIDE**2, self._storage.describe(file)
        )
        height, width = image.shape[:2]
        if height != width:
            raise SsganError(f"{self._storage.describe(file)} is not square: {width} x {height} pixels")
        return height

    def _picture(self, file: str, decode: Any) -> np.ndarray:
        called = self._storage.describe(file)
        array = decode(self._storage.read(file, _PICTURE_LIMIT), _LARGEST_SIDE**2, called)
        if array.shape[:2] != (self._stored, self._stored):
            raise SsganError(
                f"{called} has {array.shape[1]} x {array.shape[0]} pixels, "
                f"but the data set has {self._stored} x {self._stored}",
                "all pictures of a data set have one size; make it anew",
            )
        return array


def _average(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over boxes of factor x factor pixels, rounded: uint8 [R, R, 3] -> [r, r, 3]."""
    total = np.sum(_box_pixels(image, factor), axis=0, dtype=np.uint32)
    return ((total + factor**2 // 2) // factor**2).astype(np.uint8)


def _majority(mask: np.ndarray, factor: int) -> np.ndarray:
    """The commonest id of each box, the middle pixel's where several are commonest: [R, R] -> [r, r]."""
    boxes = _box_pixels(mask, factor)
    middle = mask[factor // 2 :: factor, factor // 2 :: factor]
    ids = np.unique(mask)
    votes = [
        2 * sum((pixels == value).astype(np.int32) for pixels in boxes) + (middle == value) for value in ids
    ]
    return ids[np.argmax(votes, axis=0)]


def _box_pixels(array: np.ndarray, factor: int) -> list[np.ndarray]:
    """The factor^2 pixels of every box, each as a picture [r, r, ...]."""
    return [array[row::factor, column::factor] for row in range(factor) for column in range(factor)]
