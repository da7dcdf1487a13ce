"""Baselines and ablations train as the model does, on the same data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import recipe

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs
from ssgan_core.training.estimate import estimate
from ssgan_core.training.facts import gather_facts, part_layout
from ssgan_core.training.loop import train
from ssgan_core.training.phases import Phases
from ssgan_core.training.pose_scores import PoseScores
from ssgan_core.training.state import TrainingState
from ssgan_core.training.united import as_parts
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")

BASELINES = {
    "plane": {"lifting": "none"},
    "one part, three sheets": {"parts": "one", "sheets": 3},
    "loose depth": {"depth_trunk": "shape"},
}


@pytest.mark.parametrize("model", BASELINES.values(), ids=BASELINES.keys())
def test_it_warms_up_plays_the_game_and_goes_on_bit_for_bit(heads, tmp_path, model):
    config = recipe(model=model, warmup_kimg=0.008)
    straight = train(heads, config, tmp_path / "straight", device=CPU)
    steps = iter([False, True])
    train(heads, config, tmp_path / "resumed", device=CPU, should_stop=lambda: next(steps))
    resumed = train(heads, config, tmp_path / "resumed", device=CPU)
    one, two = (load_model(result.model).tensors for result in (straight, resumed))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    middle, last = runs.read_stats(tmp_path / "straight")[1:]
    assert {"warmup_masks", "warmup_depth", "warmup_image"} <= middle.keys()
    assert {"loss_g", "loss_d", "r1"} <= last.keys()
    assert all(np.isfinite(value) for value in last.values())
    assert (middle["warmup_depth"] == 0) == (model.get("lifting") == "none")
    assert (tmp_path / "straight" / "grid-000000016.png").stat().st_size > 0
    parts = load_model(straight.model).metadata["parts"]
    assert len(parts) == (2 if model.get("parts") == "one" else 13)
    assert estimate(config, heads.schema, CPU).generator_parameters > 0


def test_without_lifting_warm_up_learns_to_reconstruct(heads, tmp_path):
    config = recipe(
        model={"lifting": "none"}, kimg=0.16, warmup_kimg=0.16, tick_kimg=0.04, generator_lr=0.008
    )
    train(heads, config, tmp_path / "run", device=CPU)
    rows = runs.read_stats(tmp_path / "run")
    for term, share in {"warmup_masks": 0.95, "warmup_image": 0.7}.items():
        assert rows[-1][term] < share * rows[1][term], term


# ------------------------------------------------------------------------------------------- one part


def test_a_source_of_one_part_is_the_same_data(heads):
    one = as_parts(heads, "one")
    assert as_parts(heads, "all") is heads
    assert one.schema == PORTRAIT.united()
    assert one.fingerprint() == heads.fingerprint()
    config = recipe(warmup_kimg=1.0)
    batch, united = next(heads.batches(config, 0, 4)), next(one.batches(config, 0, 4))
    assert torch.equal(united.images, batch.images)
    assert torch.equal(united.parameters, batch.parameters)
    assert torch.equal(united.masks, (batch.masks > 0).byte())
    assert batch.masks.max() > 1
    count, examples = one.sample()
    shown = list(examples)
    assert len(shown) == count
    assert {int(value) for example in shown for value in np.unique(example.mask)} == {0, 1}
    assert gather_facts(one, 8, mirror=True).layout.shape == (1, 8, 8)


# ------------------------------------------------------------------------------------------- where parts start


def test_layout_of_the_plane_is_where_parts_are_in_pictures():
    masks = torch.zeros(1, 13, 16, 16)
    masks[:, 7, :4], masks[:, 0, 4:] = 1, 1
    layout = part_layout(masks, None, PORTRAIT, 16, mirror=False)
    hair = PORTRAIT.foreground_index("hair")
    assert layout[hair, :3].min() == 2  # the clamp
    assert layout[hair, 5:].max() == -5
    # A texel of the window in space is seen elsewhere: the window is wider than the frame.
    side = part_layout(masks, cameras.label([0.0], [0.0]), PORTRAIT, 16, mirror=False)
    assert side[hair, 3].max() > layout[hair, 5].max()


def test_layout_prior_can_be_left_out(heads, tmp_path):
    layouts = []
    for on in (True, False):
        result = train(heads, recipe(kimg=0.004, layout_prior=on), tmp_path / str(on), device=CPU)
        layouts.append(load_model(result.model).tensors["parts.layout_prior"])
    assert layouts[0].std() > 1
    assert not layouts[1].any()


# ------------------------------------------------------------------------------------------- pose in the codes


def test_scores_of_angles_are_normal_whatever_the_angles_are():
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(cameras.label(rng.uniform(-0.5, 0.5, 4000), rng.exponential(0.1, 4000)))
    scores = PoseScores(labels)
    mine = scores(labels)
    assert mine.shape == (4000, 2)
    assert mine.mean(0).abs().max() < 0.01
    assert (mine.std(0) - 1).abs().max() < 0.02
    turned = scores(torch.from_numpy(cameras.label([-9.0, 0.0, 0.25, 1.0], 0.0)))[:, 0]
    assert turned.isfinite().all()
    # A uniform yaw's quarter point from above is a normal number's: 0.674.
    assert turned[1:3].tolist() == pytest.approx([0, 0.674], abs=0.06)


def test_a_foreign_base_keeps_the_heads_own_pose(heads):
    config = recipe(model={"lifting": "none"}, warmup_kimg=1.0, batch=8)
    state = TrainingState.create(config, heads.schema, CPU)
    labels = torch.from_numpy(heads.labels)
    phases = Phases(config, state.generator, state.discriminator, heads.has_depth, CPU)
    assert not phases.has_depth  # of the judged depth, since the generator has none
    warmup = Warmup(phases, 1, torch.full((13,), 1 / 13), labels)
    batch = next(heads.batches(config, 0, 8))
    seen: list[torch.Tensor] = []
    mapped = state.generator.map
    state.generator.map = lambda z: seen.append(z) or mapped(z)  # type: ignore[method-assign]
    codes = warmup.codes(batch, 1, torch.Generator().manual_seed(3))
    own, base, parts = seen
    parameter, pose = slice(0, 1), slice(2, 4)
    scores = PoseScores(labels)(batch.labels)
    torch.testing.assert_close(own[:, parameter], batch.parameters)
    torch.testing.assert_close(own[:, pose], scores)
    torch.testing.assert_close(base[:, parameter], batch.parameters.roll(1, 0))
    torch.testing.assert_close(base[:, pose], scores)
    torch.testing.assert_close(parts[:, parameter], batch.parameters)
    torch.testing.assert_close(parts[:, pose], scores.roll(1, 0))
    foreign = (codes.base != mapped(own).base).any(1)
    assert 0 < foreign.sum() < 8
    torch.testing.assert_close(codes.base[foreign], mapped(base).base[foreign])
    torch.testing.assert_close(codes.shape[foreign], mapped(parts).shape[foreign])
    torch.testing.assert_close(codes.texture[~foreign], mapped(own).texture[~foreign])
    pairs = replace(
        batch, parameters=batch.parameters[[0, 0, 2, 2, 4, 4, 6, 6]], mirrored=torch.zeros(8).bool()
    )
    warmup.codes(pairs, 1, torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        seen[4][:, parameter], pairs.parameters.roll(2, 0)
    )  # the next head, not its next view
