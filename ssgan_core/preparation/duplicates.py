"""Finds portraits that are there more than once: the same file, the same picture stored otherwise, or its mirror image.

A crop is reduced to 32 x 32 grey values, and the signs of its 256 lowest DCT frequencies are its hash (the constant's
bit is always 0). Signs do not change with brightness and contrast, and hardly with size and compression. Mirroring a
picture negates its odd horizontal frequencies, so the hash of the mirror image is the hash with these bits flipped.

Of 256 bits, half differ between two pictures that have nothing in common. Crops of faces all look alike from afar:
the usual 64 bits do not tell 1,000 people apart, 256 do (docs/conventions.md has the measured distances).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssgan_core.dataset.layout import KEPT_COLUMN, RELATION_COLUMN
from ssgan_core.errors import SsganError
from ssgan_core.files import sha256

FILE_COLUMN, PICTURE_COLUMN = "sha256", "phash"
RADIUS = 23
"""Hashes that differ in at most so many of their 256 bits are of one picture."""

_SIDE, _FREQUENCIES = 32, 16
_BANDS = 12  # RADIUS < 2 x 12, so two hashes within it agree in all bits but one of some band
_BLOCK = 512  # entries that are looked up together
_PAIRS = 1 << 18  # pairs compared at a time: bounds memory
_SAME_FILE, _SAME, _MIRRORED = range(3)  # the lower, the rather
_RELATIONS = ("same file", "same picture", "mirrored")
_HEX = re.compile(r"[0-9a-f]{64}")

_WAVES = np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
_ODD = np.tile(np.arange(_FREQUENCIES) % 2 == 1, _FREQUENCIES)
# Neighbouring frequencies depend on each other, so a band takes its bits from all rows and columns.
_DIAGONALS = np.argsort(np.add.outer(np.arange(16), np.arange(16)).ravel() % 16, kind="stable")
_BITS_OF_BANDS = np.array_split(_DIAGONALS, _BANDS)  # 21 or 22 bits each
_LONGEST_BAND = 22
_PROBES = np.array([0, *(1 << bit for bit in range(_LONGEST_BAND))], np.int32)
_WRONG_BITS = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of an entry.

    Attributes:
        name: the entry's.
        file: digest of the photo's bytes, as text.
        picture: hash of the crop, bool [256], the rows of frequencies from low to high.
    """

    name: str
    file: str
    picture: np.ndarray


@dataclass(frozen=True)
class Duplicate:
    """Why an entry need not be shown.

    Attributes:
        of: the entry that is kept.
        relation: "same file", "same picture" or "mirrored".
    """

    of: str
    relation: str


def frequencies(picture: np.ndarray) -> np.ndarray:
    """The 16 x 16 lowest DCT frequencies of the grey values of picture uint8 [H, W, 3], without the constant."""
    grey = Image.fromarray(picture).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    waves = _WAVES @ np.asarray(grey, np.float64) @ _WAVES.T
    waves[0, 0] = 0
    return waves


def picture_hash(picture: np.ndarray) -> np.ndarray:
    """Hash bool [256] of picture uint8 [H, W, 3] (see the module's description)."""
    # Without contrast all is zero, and rounding would give it signs.
    return (frequencies(picture) > 1e-6).ravel()


def mirrored_hash(picture: np.ndarray) -> np.ndarray:
    """Hashes bool [..., 256] of the mirror images of pictures with these hashes."""
    return picture ^ _ODD


def photo_digest(photo: Path) -> str:
    """Digest of a file's bytes, as hexadecimal text.

    Raises:
        SsganError: the file cannot be read.
    """
    try:
        return sha256(photo)
    except OSError as error:
        raise SsganError(f"cannot read {photo}: {error.strerror}") from error


def columns(digest: str, crop: np.ndarray) -> dict[str, str]:
    """Columns of an entry: digest of its photo's bytes and hash of its crop, both as hexadecimal text.

    Args:
        digest: of the file that the crop was cut from (see `photo_digest`).
        crop: uint8 [R, R, 3].
    """
    return {FILE_COLUMN: digest, PICTURE_COLUMN: np.packbits(picture_hash(crop)).tobytes().hex()}


def mark(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, str | None]]:
    """Columns `duplicate_of` (the entry that is kept instead) and `relation` of entries; both None of those kept.

    Args:
        rows: names and meta of all entries of a data set. Those without the columns of `columns` are left out.

    Raises:
        SsganError: an entry's columns are malformed.
    """
    prints = [
        Fingerprint(name, _hexadecimal(meta, FILE_COLUMN, name), _bits(meta, name))
        for name, meta in rows
        if FILE_COLUMN in meta or PICTURE_COLUMN in meta
    ]
    found = find_duplicates(prints)
    kept = Duplicate(of="", relation="")
    return {
        entry.name: {KEPT_COLUMN: duplicate.of or None, RELATION_COLUMN: duplicate.relation or None}
        for entry in prints
        for duplicate in [found.get(entry.name, kept)]
    }


def find_duplicates(prints: Iterable[Fingerprint]) -> dict[str, Duplicate]:
    """The entries that show what an entry before them shows; those missing from the result are kept.

    Entries are taken in the order of their names. One is a duplicate if its hash, or that of its mirror image, lies
    within RADIUS of that of an entry kept so far, so chains of ever less similar pictures do not become one group.
    It is a duplicate of the one with the same file if there is one, else of the closest that is not mirrored, else of
    the closest. The same file counts only where the hashes agree too: two faces may come from one photo.

    100,000 different portraits take seconds: each is compared only with those that share a band of 16 bits with it,
    up to one bit (no pair within RADIUS is missed).

    Raises:
        ValueError: a name is there twice.
    """
    entries = sorted(prints, key=lambda entry: entry.name)
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("entries must have different names")
    if not entries:
        return {}
    plain = np.stack([entry.picture for entry in entries])
    mirrored = mirrored_hash(plain)
    index = _BandIndex(plain)
    found: dict[str, Duplicate] = {}
    for start in range(0, len(entries), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(entries)))
        looks = [(rank, hashes[block]) for rank, hashes in ((_SAME, plain), (_MIRRORED, mirrored))]
        matches = [
            (start + query, rank, *rest) for rank, hashes in looks for query, *rest in index.near(hashes)
        ]
        # What repeats an earlier block is not kept, so nothing is a duplicate of it.
        fresh = np.setdiff1d(block, [one for one, *_ in matches])
        for rank, hashes in looks:
            distances = _distances(hashes, plain[fresh])
            near = np.argwhere((distances <= RADIUS) & (fresh < block[:, None]))
            matches += [(start + q, rank, int(distances[q, f]), int(fresh[f])) for q, f in near.tolist()]
        ranked = sorted(
            (
                one,
                _SAME_FILE if rank == _SAME and entries[one].file == entries[other].file else rank,
                far,
                other,
            )
            for one, rank, far, other in matches
        )
        repeated: set[int] = set()
        for one, rank, _, other in ranked:
            if one not in repeated and other not in repeated:
                repeated.add(one)
                found[entries[one].name] = Duplicate(entries[other].name, _RELATIONS[rank])
        index.add(np.setdiff1d(block, list(repeated)))
    return found


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Differing bits int64 [N, M] of all pairs of hashes bool [N, 256] and [M, 256]."""
    one, other = one.astype(np.float32), other.astype(np.float32)  # exact up to 2^24, and quickly multiplied
    return (one.sum(1)[:, None] + other.sum(1) - 2 * one @ other.T).astype(np.int64)


class _BandIndex:
    """Entries, found by hashes that agree with theirs in some band of bits, up to one bit."""

    def __init__(self, hashes: np.ndarray) -> None:
        """Args: hashes: bool [N, 256] of all entries that `add` may name."""
        self._words = _packed(hashes)
        self._keys = _band_keys(hashes)
        self._entries = [
            np.empty(0, np.int64) for _ in self._keys
        ]  # of each band, in the order of their keys
        self._sorted = [np.empty(0, np.int32) for _ in self._keys]
        self._present = np.zeros((_BANDS, 1 << _LONGEST_BAND), bool)

    def add(self, entries: np.ndarray) -> None:
        """Let entries [E] be found from now on."""
        for band, keys in enumerate(self._keys):
            coming = entries[np.argsort(keys[entries])]
            places = np.searchsorted(self._sorted[band], keys[coming])
            self._sorted[band] = np.insert(self._sorted[band], places, keys[coming])
            self._entries[band] = np.insert(self._entries[band], places, coming)
            self._present[band, keys[coming]] = True

    def near(self, hashes: np.ndarray) -> list[tuple[int, int, int]]:
        """(place in `hashes`, distance, entry) of all pairs of hashes bool [Q, 256] and entries within RADIUS."""
        words = _packed(hashes)
        found: set[tuple[int, int, int]] = set()
        for band, keys in enumerate(_band_keys(hashes)):
            wanted = np.bitwise_xor.outer(_PROBES, keys).ravel()
            hit = np.flatnonzero(self._present[band, wanted])
            first = np.searchsorted(self._sorted[band], wanted[hit], "left")
            ends = np.cumsum(np.searchsorted(self._sorted[band], wanted[hit], "right") - first)
            # Pair number p belongs to the first hit whose end lies beyond p.
            for start in range(0, int(ends[-1]) if len(ends) else 0, _PAIRS):
                pair = np.arange(start, min(start + _PAIRS, int(ends[-1])))
                place = np.searchsorted(ends, pair, "right")
                begins = np.append(0, ends)[place]
                query, entry = hit[place] % len(keys), self._entries[band][first[place] + pair - begins]
                distance = _WRONG_BITS[words[query] ^ self._words[entry]].sum(1, dtype=np.int64)
                near = distance <= RADIUS
                found.update(
                    zip(query[near].tolist(), distance[near].tolist(), entry[near].tolist(), strict=True)
                )
        return list(found)


def _packed(hashes: np.ndarray) -> np.ndarray:
    """Hashes bool [N, 256] as uint16 [N, 16]."""
    return np.packbits(hashes, axis=1).view(np.uint16)


def _band_keys(hashes: np.ndarray) -> list[np.ndarray]:
    """The bits of each band of hashes bool [N, 256] as one number: 12 x int32 [N]."""
    return [hashes[:, bits] @ (1 << np.arange(len(bits), dtype=np.int32)) for bits in _BITS_OF_BANDS]


def _hexadecimal(meta: Mapping[str, Any], column: str, name: str) -> str:
    text = meta.get(column)
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise SsganError(
            f"entry {name}: its {column} is not 64 hexadecimal digits: {str(text)[:80]!r}",
            "make the data set anew",
        )
    return text


def _bits(meta: Mapping[str, Any], name: str) -> np.ndarray:
    content = bytes.fromhex(_hexadecimal(meta, PICTURE_COLUMN, name))
    return np.unpackbits(np.frombuffer(content, np.uint8)).astype(bool)
