"""Where the data never has a part, the model has none either, and refusals that say why."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import load_generator
from tests.conftest import save_run
from tools.bound_parts import bound

ROOT = Path(__file__).parents[2]
SIZE, DISTANCE = 32, 2.7
NAMES = [part.name for part in PORTRAIT.foreground]


def portrait(folder, depth=True, schema=PORTRAIT):
    """One portrait, seen from the front: a patch of cloth below on the left, as the picture shows it, and some skin."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[26:30, 4:10] = 1 + NAMES.index("cloth")
    mask[8:20, 10:20] = 1 + NAMES.index("skin")
    mask = mask.clip(max=len(schema.parts) - 1)
    far = np.where(mask > 0, DISTANCE, 0).astype(np.float32) if depth else None
    with DatasetWriter(folder, schema, SIZE) as writer:
        writer.add("0", np.zeros((SIZE, SIZE, 3), np.uint8), mask, cameras.label(0.0, 0.0), {}, far)
        writer.finish()
    return folder


def texel(name, column, row, size):
    """Row and column of the part's map where the surface lies that a pixel of the portrait shows."""
    matrix = cameras.split_label(cameras.label(0.0, 0.0))[1]
    x = ((column + 0.5) / SIZE - 0.5) / matrix[0, 0] * DISTANCE
    y = -((row + 0.5) / SIZE - 0.5) / matrix[1, 1] * DISTANCE
    x0, y0, x1, y1 = PORTRAIT.foreground[NAMES.index(name)].window
    return int((y1 - y) / (y1 - y0) * size), int((x - x0) / (x1 - x0) * size)


def test_parts_are_nothing_where_no_surface_of_theirs_ever_was(tmp_path):
    model = save_run(tmp_path / "run", seed=3)
    data, out = portrait(tmp_path / "data"), tmp_path / "bounded.safetensors"
    command = [sys.executable, ROOT / "tools" / "bound_parts.py", model, data, out]
    said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert "eyes: 100% closed" in said
    assert "skin" not in said
    before, after = (load_model(path).tensors["parts.layout_prior"] for path in (model, out))
    size, cloth = after.shape[-1], NAMES.index("cloth")
    row, column = texel("cloth", 7, 28, size)
    assert column < size // 2 < row
    for c in (column, size - 1 - column):  # a head's mirror image is a head
        assert after[cloth, row, c] == before[cloth, row, c]
    assert after[cloth, 1, column] == after[cloth, row, size // 2] == -30
    for name in ("skin", "hair"):
        assert torch.equal(after[NAMES.index(name)], before[NAMES.index(name)])
    assert (after[NAMES.index("eyes")] == -30).all()

    generator, _ = load_generator(out, torch.device("cpu"))
    maps = generator.part_maps(generator.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(0))))
    assert maps.optical_depth[:, NAMES.index("eyes")].max() < 1e-3
    assert maps.optical_depth[:, cloth, row, column].min() > 1e-3


def test_data_without_depth_or_with_other_parts_is_refused(tmp_path):
    model, out = save_run(tmp_path / "run", seed=3), tmp_path / "bounded.safetensors"
    with pytest.raises(SsganError, match="0 has no depth"):
        bound(model, portrait(tmp_path / "flat", depth=False), out, 900)
    with pytest.raises(SsganError, match="united has other parts than"):
        bound(model, portrait(tmp_path / "united", schema=PORTRAIT.united()), out, 900)
    assert not out.exists()
