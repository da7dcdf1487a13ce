"""Writes a data set entry by entry, so that a kill at any moment loses at most the entry at hand."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ssgan_core.cameras import check_label
from ssgan_core.dataset.layout import (
    DEPTH,
    IMAGES,
    LABELS_FILE,
    MASKS,
    META_FILE,
    PARTS_FILE,
    check_name,
    depth_file,
    image_file,
    mask_file,
    parse_journal,
)
from ssgan_core.errors import SsganError
from ssgan_core.files import cannot_write, owned, read_json, sweep_temporaries, write_bytes, write_json
from ssgan_core.parts import PartSchema
from ssgan_core.pictures import encode_mask, encode_png, read_ids, save_depth16


class DatasetWriter:
    """Adds entries to a data set folder, new or begun earlier.

    An entry's files are written first, each atomically; then one line is appended to meta.jsonl, the journal:
    what has its line there is complete, all else does not count and is written over. Opening the folder
    again goes on where it was left; a torn last line of the journal is dropped. One process at a time; others are
    refused.

    As a context manager it calls `finish` when its block ends well, and only closes the journal otherwise.

    Args:
        folder: where; created if missing.
        schema: the part schema of all masks.
        resolution: side of all pictures in pixels.

    Raises:
        SsganError: the folder holds something else, another schema or another resolution, is not writable, or another
            process writes into it.
    """

    def __init__(self, folder: Path, schema: PartSchema, resolution: int) -> None:
        self.folder = Path(folder)
        self.schema = schema
        self.resolution = resolution
        self._entries: dict[str, dict[str, Any]] = {}
        with ExitStack() as opened:
            if self._is_begun():
                self._check_same_schema()
            else:
                write_json(self.folder / PARTS_FILE, schema.to_json())
            opened.enter_context(owned(self.folder))
            for kind in (IMAGES, MASKS, DEPTH):
                for place, _, _ in os.walk(self.folder / kind):
                    sweep_temporaries(Path(place))
            sweep_temporaries(self.folder)
            try:
                self._journal = self._open_journal()
            except OSError as error:
                raise cannot_write(self.folder / META_FILE, error) from error
            opened.callback(lambda: self._journal.close())
            self._check_same_resolution()
            self._opened = opened.pop_all()

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, name: str) -> bool:
        """Whether an entry is complete."""
        return name in self._entries

    def add(
        self,
        name: str,
        image: np.ndarray,
        mask: np.ndarray,
        label: np.ndarray,
        meta: dict[str, Any],
        depth: np.ndarray | None = None,
    ) -> None:
        """Write one entry that is not there yet (see `has`): replacing could be killed half-way.

        Args:
            name: relative stem, such as "00000/img00000012".
            image: uint8 [R, R, 3].
            mask: uint8 [R, R], part ids.
            label: camera label [25].
            meta: where the entry comes from: identity, view, generating parameters or source photo, flags.
            depth: z_cam float32 [R, R] in world units, 0 = none; None where it is not known.

        Raises:
            SsganError: the name is not allowed, the label is no camera, the mask has ids that the schema
                lacks, or the disk is full.
        """
        check_name(name, "data set")
        if self.has(name):
            raise ValueError(f"{name} is already in the data set")
        label = check_label(label, name)
        size = (self.resolution, self.resolution)
        if (
            image.shape != (*size, 3)
            or image.dtype != np.uint8
            or mask.shape != size
            or mask.dtype != np.uint8
        ):
            raise ValueError(
                f"{name}: expected uint8 pictures of {size}, "
                f"got {image.dtype} {image.shape} and {mask.dtype} {mask.shape}"
            )
        if depth is not None and depth.shape != size:
            raise ValueError(f"{name}: expected depth of shape {size}, got {depth.shape}")
        if mask.max() >= len(self.schema.parts):
            last = len(self.schema.parts) - 1
            raise SsganError(f"{name}: the mask has the id {mask.max()}, but the schema ends at {last}")
        if depth is not None:
            save_depth16(self.folder / depth_file(name), depth)
        self._add(name, encode_png(image), encode_mask(mask, self.schema), label, meta, depth is not None)

    def add_encoded(
        self, name: str, image: bytes, mask: bytes, label: np.ndarray, meta: dict[str, Any]
    ) -> None:
        """`add` for an entry without depth whose pictures another process has encoded already.

        Args:
            name, label, meta: as in `add`.
            image: of `pictures.encode_png`, at the data set's resolution; the caller answers for that.
            mask: of `pictures.encode_mask` with the data set's schema, likewise.

        Raises:
            SsganError: the name is not allowed, the label is no camera, or the disk is full.
        """
        check_name(name, "data set")
        if self.has(name):
            raise ValueError(f"{name} is already in the data set")
        self._add(name, image, mask, check_label(label, name), meta, False)

    def metas(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and meta of every complete entry."""
        return ((name, row.get("meta", {})) for name, row in self._entries.items())

    def annotate(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        """Set columns of entries' meta which depend on other entries, such as marks of duplicates.

        The journal is written anew, atomically; it is left alone if it says all of that already.

        Args:
            columns: entry to column to value, plain JSON.

        Raises:
            SsganError: the disk is full.
        """
        entries = dict(self._entries)
        for name, values in columns.items():
            entries[name] = {**entries[name], "meta": {**entries[name].get("meta", {}), **values}}
        if entries == self._entries:
            return
        path = self.folder / META_FILE
        write_bytes(path, b"".join(map(_line, entries.values())))
        self._journal.close()
        try:
            self._journal = path.open("ab", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._entries = entries

    def finish(self) -> None:
        """Write dataset.json with all entries, sorted by name. More may be added and finished again.

        EG3D's loader takes every picture below a folder and looks for dataset.json in that same folder, so the
        labels are written into images/ too: that folder alone is a data set to it.

        Raises:
            SsganError: the disk is full.
        """
        rows = [[f"{name}.png", self._entries[name]["label"]] for name in sorted(self._entries)]
        write_json(self.folder / IMAGES / LABELS_FILE, {"labels": rows})
        write_json(self.folder / LABELS_FILE, {"labels": rows})

    def close(self) -> None:
        """Close the journal without finishing, and let others write."""
        self._opened.close()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def _is_begun(self) -> bool:
        try:
            if (self.folder / PARTS_FILE).is_file():
                return True
            strangers = [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        if strangers:
            raise SsganError(
                f"{self.folder} is not empty and no data set: it holds {sorted(strangers)[0]!r}",
                "name a new or empty folder",
            )
        return False

    def _check_same_schema(self) -> None:
        stored = PartSchema.from_json(read_json(self.folder / PARTS_FILE))
        if stored != self.schema:
            raise SsganError(
                f"{self.folder} was begun with another part schema: {', '.join(stored.names)}",
                "name another folder",
            )

    def _open_journal(self) -> FileIO:
        path = self.folder / META_FILE
        if path.exists():
            content = path.read_bytes()
            self._entries, whole = parse_journal(content, str(path))
            for name, row in self._entries.items():
                check_label(row.get("label"), f"{path}: {name}")
            if whole < len(content):
                os.truncate(path, whole)
        return path.open("ab", buffering=0)

    def _check_same_resolution(self) -> None:
        for name in self._entries:
            stored = len(read_ids(self.folder / mask_file(name)))
            if stored != self.resolution:
                raise SsganError(
                    f"{self.folder} was begun with {stored} x {stored} pixels, not {self.resolution}",
                    "name another folder or the same size",
                )
            return

    def _add(
        self, name: str, image: bytes, mask: bytes, label: np.ndarray, meta: dict[str, Any], depth: bool
    ) -> None:
        write_bytes(self.folder / image_file(name), image)
        write_bytes(self.folder / mask_file(name), mask)
        self._append({"name": name, "label": label.tolist(), "depth": depth, "meta": meta})

    def _append(self, row: dict[str, Any]) -> None:
        line = _line(row)
        journal = self._journal.fileno()
        whole = os.fstat(journal).st_size
        try:
            if self._journal.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(journal)
        except OSError as error:
            os.ftruncate(journal, whole)  # or the next line would be glued to half of this one
            raise cannot_write(self.folder / META_FILE, error) from error
        self._entries[row["name"]] = row


def _line(row: dict[str, Any]) -> bytes:
    """A line of the journal, in JSON's ASCII form, because names of source files need not be valid Unicode."""
    return (json.dumps(row, allow_nan=False) + "\n").encode()
