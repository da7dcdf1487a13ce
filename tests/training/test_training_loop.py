"""Training end to end on a tiny data set: exact resume, stopping, refusals, warm-up, and that it learns."""

import copy
import json

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.config import config_from_json, config_to_json
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs
from ssgan_core.training.data import Examples, StoredPortraits, stream
from ssgan_core.training.estimate import estimate
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.loop import train
from ssgan_core.training.phases import Phases
from ssgan_core.training.state import TrainingState

CPU = torch.device("cpu")
EXAMPLES, SIZE = 12, 16


def recipe(**training):
    settings = {
        "kimg": 0.016, "batch": 4, "tick_kimg": 0.008, "snapshot_kimg": 0.008, "shell_kimg": 0.02, "blur_kimg": 0.02,
        "r1_interval": 2, "ema_kimg": 0.01, "precision": "fp32", **training,
    }  # fmt: skip
    model = {
        "resolution": 16, "render_resolution": 8, "part_resolution": 8, "latent": 16, "part_width": 8, "features": 4,
        "depth_width": 8, "frequencies": 4, "highest_frequency": 4.0, "upsampler_width": 16, "base_layers": 1,
        "shape_layers": 1, "texture_layers": 1, "uniform_boundaries": 8, "importance_boundaries": 4,
    }  # fmt: skip
    tree = {"seed": 3, "model": model, "discriminator": {"width": 8, "most_width": 16}, "training": settings}
    return config_from_json(tree, "test")


@pytest.fixture(scope="session")
def heads(tmp_path_factory):
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
    return StoredPortraits(PortraitDataset.open(folder))


def weights(path):
    return load_model(path).tensors


def test_resume_equals_a_straight_run_bit_for_bit(heads, tmp_path):
    straight = train(heads, recipe(), tmp_path / "straight", device=CPU)
    steps = iter([False, True])
    stopped = train(heads, recipe(), tmp_path / "resumed", device=CPU, should_stop=lambda: next(steps))
    assert stopped.images == 8
    assert not stopped.finished
    resumed = train(heads, recipe(), tmp_path / "resumed", device=CPU)
    assert straight.finished
    assert resumed.finished
    one, two = weights(straight.model), weights(resumed.model)
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
    rows = [runs.read_stats(tmp_path / name) for name in ("straight", "resumed")]
    timed = ("images_per_second", "wait_seconds")
    untimed = [[{k: v for k, v in row.items() if k not in timed} for row in run] for run in rows]
    assert [row["images"] for row in untimed[1]] == [0, 8, 16]
    assert untimed[0] == untimed[1]


def test_a_finished_run_can_be_extended_but_not_changed(heads, tmp_path):
    run = tmp_path / "run"
    train(heads, recipe(kimg=0.008), run, device=CPU)
    assert train(heads, recipe(kimg=0.012), run, device=CPU).images == 12
    with pytest.raises(SsganError, match=r"'training\.batch' differs"):
        train(heads, recipe(kimg=0.012, batch=8), run, device=CPU)


def test_a_run_refuses_another_data_set(heads, tmp_path):
    run = tmp_path / "run"
    train(heads, recipe(kimg=0.004), run, device=CPU)
    (run / runs.DATA_NAME).write_text(json.dumps({"examples": 5, "fingerprint": "other"}))
    with pytest.raises(SsganError, match="another data set"):
        train(heads, recipe(kimg=0.008), run, device=CPU)


def test_a_run_leaves_what_it_promises(heads, tmp_path):
    result = train(heads, recipe(), tmp_path / "run", device=CPU)
    assert result.model.name == "model-000000016.safetensors"
    assert (tmp_path / "run" / "grid-000000016.png").stat().st_size > 0
    row = runs.read_stats(tmp_path / "run")[-1]
    names = {"loss_g", "loss_d", "r1", "curvature", "area_distance", "image_spread", "mask_spread"}
    assert names <= row.keys()
    assert all(np.isfinite(value) for value in row.values())
    metadata = load_model(result.model).metadata
    assert metadata["images_seen"] == 16
    assert metadata["recipe"] == config_to_json(recipe())


def test_warm_up_learns_to_reconstruct(heads, tmp_path):
    config = recipe(kimg=0.24, warmup_kimg=0.24, tick_kimg=0.04, generator_lr=0.008)
    train(heads, config, tmp_path / "run", device=CPU)
    rows = runs.read_stats(tmp_path / "run")
    for term, share in {"warmup_masks": 0.95, "warmup_depth": 0.8, "warmup_image": 0.7}.items():
        assert rows[-1][term] < share * rows[1][term], term
    assert "loss_d" not in rows[-1]


def test_warm_up_needs_generating_parameters(heads, tmp_path):
    config = recipe(warmup_kimg=1.0)
    blind = copy.copy(heads.dataset)
    blind.meta = lambda index: {}  # type: ignore[method-assign]
    with pytest.raises(SsganError, match="generating parameters"):
        train(StoredPortraits(blind), config, tmp_path / "run", device=CPU)


def test_divergence_is_an_error_that_names_itself(heads, tmp_path):
    with pytest.raises(SsganError, match="diverged"):
        train(heads, recipe(kimg=0.2, generator_lr=1e30), tmp_path / "run", device=CPU)


def test_every_epoch_shows_every_example_both_ways(heads):
    examples = Examples(heads, seed=1, mirror=True)
    seen = [(int(b.indices[0]), bool(b.mirrored[0])) for b in stream(examples, 1, 0, 2 * EXAMPLES, workers=0)]
    assert len(set(seen)) == 2 * EXAMPLES
    again = [
        (int(b.indices[0]), bool(b.mirrored[0])) for b in stream(examples, 1, 2 * EXAMPLES, 4 * EXAMPLES, 0)
    ]
    assert set(again) == set(seen)
    assert again != seen


def test_the_stream_is_the_same_from_any_position_and_with_workers(heads):
    straight = list(stream(Examples(heads, 5, True), 4, 0, 32, workers=0))
    resumed = list(stream(Examples(heads, 5, True), 4, 16, 32, workers=1))
    for a, b in zip(straight[4:], resumed, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_mirrored_examples_mirror_image_mask_depth_and_camera(heads):
    examples = Examples(heads, seed=1, mirror=True)
    pairs: dict[int, dict[bool, tuple]] = {}
    for position in range(len(examples)):
        image, mask, depth, label, index, mirrored = examples[position]
        pairs.setdefault(index, {})[mirrored] = (image, mask, depth, label)
    for plain, flipped in ((pair[False], pair[True]) for pair in pairs.values()):
        for a, b in zip(plain[:3], flipped[:3], strict=True):
            assert torch.equal(a.flip(-1), b)
        assert np.allclose(cameras.mirror_label(plain[3].numpy()), flipped[3].numpy())


def test_layout_prior_knows_where_parts_are(heads):
    layout = gather_facts(heads, 16, mirror=True).layout
    middle = layout[:, 7:9, 7:9].mean((1, 2))
    assert middle.argmax() == 0  # skin
    assert layout[6, 3, 7] > layout[0, 3, 7]  # hair above
    assert layout[8, 14, 7] > layout[0, 14, 7]  # cloth below
    assert layout.min() >= -5
    assert layout.max() <= 2
    torch.testing.assert_close(layout, layout.flip(-1), atol=1e-4, rtol=0)


def test_facts_measure_areas_and_spread(heads):
    facts = gather_facts(heads, 8, mirror=False)
    assert facts.part_areas.sum().item() == pytest.approx(1)
    assert facts.part_areas[1].item() == pytest.approx(7 * 8 / SIZE**2)
    assert facts.mask_spread == pytest.approx(0, abs=1e-6)  # all masks are alike
    assert facts.image_spread > 0.1


def test_estimate_counts_what_is_there():
    small, large = estimate(recipe(batch=4), PORTRAIT, CPU), estimate(recipe(batch=8), PORTRAIT, CPU)
    assert small.steps == 4
    assert large.steps == 2
    fixed = (
        16 * (small.generator_parameters + small.discriminator_parameters) + 4 * small.generator_parameters
    )
    assert large.memory_bytes - fixed == 2 * (small.memory_bytes - fixed) > 0
    # On a GPU the renderer keeps its intermediates, where the CPU's kernel computes them again.
    assert estimate(recipe(batch=4), PORTRAIT, torch.device("cuda")).memory_bytes > small.memory_bytes


def test_bf16_networks_leave_geometry_in_fp32(heads, monkeypatch):
    """What a GPU does, on the CPU: the networks under autocast, cameras, rays and sums not."""
    config = recipe()
    losses = []
    for precision in (torch.float32, torch.bfloat16):
        enabled = precision is torch.bfloat16
        monkeypatch.setattr(
            Phases, "autocast", lambda _, on=enabled: torch.autocast("cpu", torch.bfloat16, enabled=on)
        )
        state = TrainingState.create(config, PORTRAIT, CPU)
        phases = Phases(config, state.generator, state.discriminator, True, CPU)
        batch = next(stream(Examples(heads, 0, True), 4, 0, 4, workers=0))
        rng = torch.Generator().manual_seed(0)
        terms = phases.generator_phase(batch, batch.labels, rng, 0)
        terms |= phases.discriminator_phase(batch, batch.labels, rng, 0)
        terms |= phases.penalty_phase(batch, rng, 0)
        losses.append({name: float(value.detach()) for name, value in terms.items()})
        with phases.autocast():
            masks = state.generator(phases.draw_codes(2, rng), batch.labels[:2]).low_mask
        assert masks.dtype == torch.float32
        assert (masks.sum(1) - 1).abs().max() < 1e-5
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=0.1, abs=0.05), name


def test_gradients_that_stay_infinite_in_one_network_end_the_run(heads, tmp_path, monkeypatch):
    """The other network's good steps in between must not hide them."""
    honest = Phases.discriminator_phase

    def broken(self, *arguments):
        terms = honest(self, *arguments)
        next(self.discriminator.parameters()).grad.fill_(float("inf"))
        return terms

    monkeypatch.setattr(Phases, "discriminator_phase", broken)
    with pytest.raises(SsganError, match="diverged after 16 images"):
        train(heads, recipe(kimg=0.2, r1_interval=100), tmp_path / "run", device=CPU)
