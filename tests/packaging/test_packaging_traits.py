"""What small pictures taught of traits, in the larger model: drawn as before at first, and refusals that say why."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssgan_core.cameras import label
from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.config import config_from_json
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import load_generator
from ssgan_core.training.origin import FromModel
from ssgan_core.training.state import TrainingState
from tools.join_traits import join

ROOT = Path(__file__).parents[2]
LARGE = {"resolution": 32, "render_resolution": 16, "part_resolution": 16, "detail_octaves": 2}
SMALL = {"resolution": 16, "render_resolution": 8, "part_resolution": 8, "detail_octaves": 1, "traits": 2}


def state(**model):
    sizes = {
        "latent": 16, "part_width": 8, "features": 4, "depth_width": 8, "frequencies": 4, "highest_frequency": 4.0,
        "upsampler_width": 16, "uniform_boundaries": 8, "importance_boundaries": 4,
    }  # fmt: skip
    config = config_from_json(
        {"model": {**sizes, **model}, "discriminator": {"width": 8, "most_width": 16}}, "test"
    )
    return TrainingState.create(config, PORTRAIT, torch.device("cpu"))


def saved(path, state, images):
    save_model(path, state.average.state_dict(), {**state.average.describe(), "images_seen": images})
    return path


@pytest.fixture
def pair(tmp_path):
    """A large model; and one of smaller pictures that began with it and changed what traits say."""
    large = saved(tmp_path / "large.safetensors", state(**LARGE), 100)
    small = state(**SMALL)
    FromModel.open(large).fill(small)
    small.average.mapping.traits.describe(
        torch.eye(2, 3), torch.rand(2, 129).sort(1).values, torch.eye(2), torch.zeros(2)
    )
    with torch.no_grad():
        for name, weights in small.average.named_parameters():
            if name.endswith(".styles.weight"):
                weights[:, 16:] = torch.randn(weights[:, 16:].shape)
    return large, saved(tmp_path / "small.safetensors", small, 140)


def look(path, loud=True):
    generator, _ = load_generator(path, torch.device("cpu"))
    if not loud:
        generator.mapping.traits.quantiles.zero_()
    codes = generator.map(torch.randn(2, 16, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        return generator(codes, torch.from_numpy(label(0.1, 0.0))[None].expand(2, -1)).image


def test_the_large_model_draws_the_same_and_hears_traits(pair, tmp_path):
    large, small = pair
    command = [
        sys.executable,
        ROOT / "tools" / "join_traits.py",
        large,
        small,
        tmp_path / "joined.safetensors",
    ]
    subprocess.run(command, check=True, cwd=ROOT)
    joined = load_model(tmp_path / "joined.safetensors")
    assert joined.metadata["images_seen"] == 140
    assert joined.metadata["config"]["model"]["resolution"] == 32
    before, silent, loud = (
        look(large),
        look(tmp_path / "joined.safetensors", False),
        look(tmp_path / "joined.safetensors"),
    )
    torch.testing.assert_close(silent, before)
    assert (loud - before).abs().mean() > 0.01
    styles = "background.layers.0.styles.weight"
    assert torch.equal(joined.tensors[styles], load_model(small).tensors[styles])
    # Once more from there: the large model hears traits itself by then.
    further = state(**SMALL)
    FromModel.open(tmp_path / "joined.safetensors").fill(further)
    again = saved(tmp_path / "again.safetensors", further, 150)
    join(tmp_path / "joined.safetensors", again, tmp_path / "twice.safetensors")
    torch.testing.assert_close(look(tmp_path / "twice.safetensors"), loud)


def test_more_than_traits_is_refused(pair, tmp_path):
    large, small = pair
    out = tmp_path / "joined.safetensors"
    model = load_model(small)
    of_upsampler = next(name for name in model.tensors if name.startswith("upsampler."))
    for name in ("mapping.layers.0.weight", "parts.to_opacity.styles.weight", of_upsampler):
        changed = {**model.tensors, name: model.tensors[name] + 0.1}
        save_model(tmp_path / "changed.safetensors", changed, model.metadata)
        with pytest.raises(SsganError, match=f"changed '{name}', which is no trait"):
            join(large, tmp_path / "changed.safetensors", out)
    with pytest.raises(SsganError, match="tells no traits"):
        join(small, large, out)
    with pytest.raises(SsganError, match=r"model\.part_width is 16 in .*other.safetensors, but 8 in .*large"):
        join(large, saved(tmp_path / "other.safetensors", state(**{**SMALL, "part_width": 16}), 1), out)
    assert not out.exists()
