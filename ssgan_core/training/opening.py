"""From what the user calls the data to a source that training learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssgan_core.config import DataOptions
from ssgan_core.dataset.options import read_options
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.errors import SsganError
from ssgan_core.training.data import StoredPortraits, TrainingSource
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.streaming.spec import PREFIX, parse_stream


def data_defaults(data: str) -> dict[str, Any]:
    """What the data says about how to read it, for `config.load_config`: options.json of a data set.

    Raises:
        SsganError: there is no such data set, or its options are malformed.
    """
    return {} if data.startswith(PREFIX) else read_options(Path(data))


def open_source(
    data: str, size: int, options: DataOptions | None = None, ranks: Ranks = ALONE
) -> TrainingSource:
    """Open a data set, or describe a stream of synthetic portraits; the caller closes it.

    Args:
        data: a folder, a stored zip, or `synth:` with options (see streaming.spec).
        size: side of the pictures in pixels; a data set's own or an integer fraction of it.
        options: which entries of a data set are shown, and how often: the recipe's `data`; by default all of them.
        ranks: whose share of every batch is wanted.

    Raises:
        SsganError: it is neither, or something about it or the options is wrong.
    """
    if not data.startswith(PREFIX):
        return StoredPortraits(PortraitDataset.open(Path(data), size), options, ranks)
    stored_alone = ("where", "showing", "balance_yaw", "balance_parts")
    if options is not None and any(
        getattr(options, name) != getattr(DataOptions(), name) for name in stored_alone
    ):
        raise SsganError(
            "data.where, data.showing, data.balance_yaw and data.balance_parts need a stored data set",
            "write one with 'ssgan synth'",
        )
    # Not imported above: a stored data set needs neither the renderer of the portraits nor its compiler.
    from ssgan_core.training.streaming.source import StreamedPortraits

    return StreamedPortraits(parse_stream(data), size, ranks=ranks)
