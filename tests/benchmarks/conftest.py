"""Three small heads, rendered once for all benchmarks of the portraits."""

from pathlib import Path

import pytest

from ssgan_core.heads.synth import synthesise


@pytest.fixture(scope="session")
def three_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three heads, 48 pixels a side."""
    folder = tmp_path_factory.mktemp("portraits") / "heads"
    synthesise(folder, count=3, size=48)
    return folder
