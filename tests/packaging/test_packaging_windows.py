"""Models that get finer maps of small parts: the same networks, sampled elsewhere, and refusals that say why."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.errors import SsganError
from ssgan_core.model.geometry import texel_centres
from ssgan_core.parts import HEAD_WINDOW, PORTRAIT, PartSchema
from ssgan_core.synthesis import load_generator
from tests.conftest import save_run
from tools.own_windows import with_own_windows

ROOT = Path(__file__).parents[2]
LAYOUT = "parts.layout_prior"
CPU = torch.device("cpu")
CHANGED = ["eyes", "brows", "mouth"]


def in_the_heads_window(folder, **changes):
    """A model whose parts all have the head's window, and a layout that rises to the right and falls upwards."""
    model = load_model(save_run(folder / "run", seed=3))
    tensors, parts = dict(model.tensors), PORTRAIT.in_one_window().to_json()
    x, y = texel_centres(HEAD_WINDOW, tensors[LAYOUT].shape[-1])
    tensors[LAYOUT] = (4 * x - 2 * y).expand_as(tensors[LAYOUT]).clone()
    out = folder / "model.safetensors"
    save_model(out, tensors, model.metadata | {"parts": parts} | changes)
    return out


def test_networks_say_the_same_at_other_texels(tmp_path):
    model, out = in_the_heads_window(tmp_path), tmp_path / "finer.safetensors"
    command = [sys.executable, ROOT / "tools" / "own_windows.py", model, out]
    said = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert "windows changed: eyes, brows, mouth" in said
    before, after = load_model(model), load_model(out)
    assert PartSchema.from_json(after.metadata["parts"]) == PORTRAIT
    for name, tensor in before.tensors.items():
        assert name == LAYOUT or torch.equal(after.tensors[name], tensor), name
    (coarse, _), (fine, _) = (load_generator(path, CPU) for path in (model, out))
    size = fine.part_side
    for k, part in enumerate(PORTRAIT.foreground):
        x, y = texel_centres(part.window, size)
        found, asked = after.tensors[LAYOUT][k], 4 * x - 2 * y
        inside = (torch.stack([x, y]).abs().amax(0) < 0.4 * (1 - 1 / size)) if part.name in CHANGED else x < 1
        torch.testing.assert_close(found[inside], asked[inside], atol=1e-4, rtol=1e-4)
    codes = fine.map(torch.randn(2, fine.config.latent, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        sheets, places = fine.parts(codes), []
        for part in PORTRAIT.foreground:
            x, y = texel_centres(part.window, size)
            places.append(torch.stack([x, y], -1).flatten(0, 1) / HEAD_WINDOW[2])
        same = coarse.parts.at(codes, torch.stack(places).expand(2, -1, -1, -1))
    torch.testing.assert_close(
        same.features.view(sheets.features.shape), sheets.features, atol=1e-4, rtol=1e-4
    )
    depths = same.relative_depth.view(sheets.relative_depth.shape)
    torch.testing.assert_close(depths, sheets.relative_depth, atol=1e-5, rtol=1e-4)


def test_windows_that_are_the_tables_stay(tmp_path):
    model = save_run(tmp_path / "run", seed=3)
    out = tmp_path / "same.safetensors"
    assert with_own_windows(model, out) == []
    before, after = load_model(model), load_model(out)
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in before.tensors.items())


def test_models_that_windows_cannot_fit_are_refused(tmp_path):
    wider = [replace(part, window=(-0.5, -0.5, 0.5, 0.5)) for part in PORTRAIT.parts]
    fewer = PartSchema(PORTRAIT.parts[:4])
    for name, parts, message in (
        ("wider", PartSchema(tuple(wider)), "knows positions in another frame"),
        ("fewer", fewer, "has other parts than the table"),
    ):
        folder = tmp_path / name
        model = in_the_heads_window(folder, parts=parts.to_json())
        with pytest.raises(SsganError, match=message):
            with_own_windows(model, tmp_path / "out.safetensors")
        assert not (tmp_path / "out.safetensors").exists()
    command = [sys.executable, ROOT / "tools" / "own_windows.py", model, tmp_path / "out.safetensors"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "error: " in refused.stdout
    assert "Traceback" not in refused.stderr
