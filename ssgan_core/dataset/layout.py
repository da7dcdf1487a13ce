"""Where a data set keeps things; shared by the writer, the reader and the packer."""

from __future__ import annotations

import json
import re
from typing import Any

from ssgan_core.errors import SsganError

IMAGES, MASKS, DEPTH = "images", "masks", "depth"
LABELS_FILE, PARTS_FILE, META_FILE = "dataset.json", "parts.json", "meta.jsonl"
OPTIONS_FILE = "options.json"
# What commands leave beside the entries; a zip keeps them too.
PREPARATION_FILE, REPORT_FILE, CONTACT_FILE = "preparation.json", "report.json", "contact.jpg"

# Columns of meta.jsonl that skip_duplicates goes by.
KEPT_COLUMN, RELATION_COLUMN = "duplicate_of", "relation"

# Control characters, and what one of the common file systems forbids or reads as a separator.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


def check_name(name: Any, source: str) -> str:
    """`name` if it is a relative stem such as "00000/img00000012" that stays inside its folder.

    Raises:
        SsganError: it is absolute, climbs out with "..", or no file can have that name.
    """
    if not isinstance(name, str) or not name or len(name) > 400:
        raise SsganError(f"{source}: an entry has the impossible name {str(name)[:80]!r}")
    parts = name.split("/")
    encodable = not any("\ud800" <= character <= "\udfff" for character in name)
    if _FORBIDDEN.search(name) or not encodable or any(part.strip() in ("", ".", "..") for part in parts):
        raise SsganError(
            f"{source}: the entry name {name!r} is not allowed",
            "names are relative, such as 00000/img00000012, without '..' and special characters",
        )
    return name


def image_file(name: str) -> str:
    """Path of an entry's picture inside the data set."""
    return f"{IMAGES}/{name}.png"


def mask_file(name: str) -> str:
    """Path of an entry's part ids inside the data set."""
    return f"{MASKS}/{name}.png"


def depth_file(name: str) -> str:
    """Path of an entry's depth inside the data set."""
    return f"{DEPTH}/{name}.png"


def parse_journal(content: bytes, source: str) -> tuple[dict[str, dict[str, Any]], int]:
    """The entries of a meta.jsonl by name, and how many bytes of it are whole lines.

    A last line without its line feed is what a kill in the middle of writing leaves; it is left out.

    Raises:
        SsganError: a whole line is not an entry.
    """
    whole = content.rfind(b"\n") + 1
    entries: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(content[:whole].splitlines(), 1):
        where = f"{source}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SsganError(f"{where} is not valid JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("meta", {}), dict):
            raise SsganError(f"{where} is not an entry")
        entries[check_name(row.get("name"), where)] = row
    return entries, whole
