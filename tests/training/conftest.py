"""A tiny data set that the tests of training share."""

import numpy as np
import pytest

from ssgan_core import cameras
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.data import StoredPortraits

EXAMPLES, SIZE = 12, 16


@pytest.fixture(scope="session")
def heads_folder(tmp_path_factory):
    """Square heads: skin in the middle, hair above, cloth below; brightness is the generating parameter."""
    folder = tmp_path_factory.mktemp("data") / "heads"
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, PORTRAIT, SIZE) as writer:
        for i in range(EXAMPLES):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[1:5, 4:12], mask[5:12, 4:12], mask[12:, 2:14] = 7, 1, 9
            mask[2, 2] = 12  # left and right differ, so that mirroring shows
            brightness = rng.uniform(-1, 1)
            image = (
                np.clip(128 + 60 * brightness + 10 * mask[..., None], 0, 255).astype(np.uint8).repeat(3, 2)
            )
            depth = np.where(mask > 0, 2.5, 0).astype(np.float32)
            label = cameras.label(rng.normal() * 0.2, 0.0)
            writer.add(f"00000/{i:04d}", image, mask, label, {"parameters": [brightness]}, depth)
        writer.finish()
    return folder


@pytest.fixture(scope="session")
def heads(heads_folder):
    return StoredPortraits(PortraitDataset.open(heads_folder))
