"""From what the user calls the data to a source that training learns from."""

from __future__ import annotations

from pathlib import Path

from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.training.data import StoredPortraits, TrainingSource
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.streaming.spec import PREFIX, parse_stream


def open_source(data: str, size: int, ranks: Ranks = ALONE) -> TrainingSource:
    """Open a data set, or describe a stream of synthetic portraits; the caller closes it.

    Args:
        data: a folder, a stored zip, or `synth:` with options (see streaming.spec).
        size: side of the pictures in pixels; a data set's own or an integer fraction of it.
        ranks: whose share of every batch is wanted.

    Raises:
        SsganError: it is neither, or something about it is wrong.
    """
    if data.startswith(PREFIX):
        # Not imported above: a stored data set needs neither the renderer of the portraits nor its compiler.
        from ssgan_core.training.streaming.source import StreamedPortraits

        return StreamedPortraits(parse_stream(data), size, ranks=ranks)
    return StoredPortraits(PortraitDataset.open(Path(data), size), ranks)
