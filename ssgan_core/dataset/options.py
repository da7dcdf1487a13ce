"""options.json: how a data set is to be read, kept with it; a recipe's `data` section has the last word.

It holds any of mirror, balance_yaw, balance_parts, skip_duplicates, where and showing (config.DataOptions), and is
checked as strictly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssgan_core.config import data_options_from_json
from ssgan_core.dataset.layout import OPTIONS_FILE
from ssgan_core.dataset.storage import open_storage
from ssgan_core.files import parse_json, write_json

_LARGEST = 1 << 20


def write_options(
    folder: Path,
    *,
    mirror: bool | None = None,
    balance_yaw: int | None = None,
    balance_parts: int | None = None,
    skip_duplicates: bool | None = None,
    where: dict[str, Any] | None = None,
    showing: str | None = None,
) -> Path:
    """Write a data set folder's options.json, in place of one that is there; None leaves a setting open.

    A folder that a DatasetWriter is to begin must be empty: call this once it is begun.

    Raises:
        SsganError: a value is impossible, or the folder cannot be written to.
    """
    settings = {
        "mirror": mirror,
        "balance_yaw": balance_yaw,
        "balance_parts": balance_parts,
        "skip_duplicates": skip_duplicates,
        "where": where,
        "showing": showing,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    path = Path(folder) / OPTIONS_FILE
    write_json(path, data_options_from_json(given, str(path)))
    return path


def read_options(path: Path) -> dict[str, Any]:
    """The settings that the options.json of a data set makes; none if it has no such file.

    Args:
        path: a folder or a zip.

    Raises:
        SsganError: there is no data set, or the file is malformed.
    """
    storage = open_storage(path)
    if OPTIONS_FILE not in storage.names():
        return {}
    source = storage.describe(OPTIONS_FILE)
    return data_options_from_json(parse_json(storage.read(OPTIONS_FILE, _LARGEST), source), source)
