"""The benchmark of reconstruction: it asks for a head as the training does, and its command runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import reconstruction
from ssgan_core import cameras
from ssgan_core.checkpoints import save_model
from ssgan_core.config import Config, ModelConfig
from ssgan_core.heads.latent import latent_parameters
from ssgan_core.heads.sampler import sample_identity
from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image
from ssgan_core.training.data import Batch
from ssgan_core.training.phases import Phases
from ssgan_core.training.state import TrainingState
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
SIZES = {
    "resolution": 16, "render_resolution": 8, "part_resolution": 16, "latent": 192, "part_width": 8, "features": 4,
    "frequencies": 4, "highest_frequency": 4.0, "depth_width": 8, "upsampler_width": 16,
}  # fmt: skip


def model(folder: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    generator = Generator(ModelConfig(**{**SIZES, **changes}), PORTRAIT)
    path = folder / "model-000000000.safetensors"
    save_model(path, generator.state_dict(), {**generator.describe(), "images_seen": 0})
    return path


def test_a_head_is_asked_for_as_the_training_does():
    config = Config(model=ModelConfig(**SIZES))
    state = TrainingState.create(config, PORTRAIT, CPU)
    identity = sample_identity(3, 5)
    parameters = torch.from_numpy(latent_parameters(identity))[None]
    state.generator.mapping.read_first(parameters.shape[1])  # else the two differ by the training's noise
    label = torch.from_numpy(cameras.label(np.zeros(1), np.zeros(1)).astype(np.float32))
    picture = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    batch = Batch(
        picture, picture[:, 0], picture[:, :1].float(), label, torch.zeros(1), torch.zeros(1) > 0, parameters
    )
    phases = Phases(config, state.generator, state.discriminator, True, CPU)
    warmup = Warmup(phases, parameters.shape[1], torch.full((len(PORTRAIT.parts),), 1 / 13), label)
    taught = warmup.codes(batch, 1, torch.Generator().manual_seed(0))
    asked = reconstruction.known_codes(state.generator, identity)
    other = reconstruction.known_codes(state.generator, sample_identity(3, 6))
    same, different = ((codes.base - asked.base).norm() / asked.base.norm() for codes in (taught, other))
    assert same.item() < 0.1 < different.item()  # the noise adds to z's length, which is normalised


def test_the_command_measures_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "sheet.jpg"
    options = f"--heads 2 --seed 4 --judged 3 --out {out}"
    monkeypatch.setattr("sys.argv", ["reconstruction", str(model(tmp_path)), *options.split()])
    reconstruction.main()
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["head"] for row in facts["results"]] == [0, 1]
    assert facts["mean"]["psnr"] == pytest.approx(np.mean([row["psnr"] for row in facts["results"]]))
    assert 0 < facts["mean"]["psnr"] < 15  # random weights
    assert 0 <= facts["mean"]["mask_iou"] < 0.5
    assert read_image(out).shape == (2 * 16, 2 * 2 * 3 * 16 + 4, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"lifting": "none"}, "cannot portray synthetic heads"), ({"latent": 64}, "latent 64 is too small")],
)
def test_models_that_cannot_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes, words):
    monkeypatch.setattr("sys.argv", ["reconstruction", str(model(tmp_path, **changes)), "--heads", "1"])
    with pytest.raises(SystemExit, match=words):
        reconstruction.main()
