"""Training end to end on a tiny data set: exact resume, stopping, refusals, warm-up, and that it learns."""

import copy
import json
import sys
import types
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
import torch
from recipes import recipe, shuffled

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model, load_state, save_state
from ssgan_core.config import config_to_json
from ssgan_core.errors import SsganError
from ssgan_core.files import owned
from ssgan_core.layers import has_fast_bf16
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs
from ssgan_core.training.carry import load_carry
from ssgan_core.training.data import StoredPortraits, stream
from ssgan_core.training.estimate import estimate
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.log import Log
from ssgan_core.training.loop import train
from ssgan_core.training.monitor import Monitor
from ssgan_core.training.phases import Phases
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.schedule import Schedule
from ssgan_core.training.state import TrainingState
from ssgan_core.training.trainer import Trainer
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
EXAMPLES, SIZE = 12, 16  # of the tiny data set


def with_places(config):
    """The recipe with places judged beside the whole picture."""
    return replace(config, discriminator=replace(config.discriminator, places=8))


def weights(path):
    return load_model(path).tensors


@pytest.mark.parametrize(
    "config",
    [
        recipe(),
        # Stopped between two adjustments of the probability.
        recipe({"mode": "adaptive", "probability": 0.2, "kimg": 0.02, "cutout": True}),
        recipe({"mode": "fixed", "probability": 0.5}, loss="relativistic", lr_ramp_kimg=0.012),
        recipe(warmup_kimg=0.012, warmup_views=2),
        recipe(truth_kimg=0.02, warmup_views=2),
        recipe(warmup_kimg=0.008, exchange_weight=1.0, texture_weight=1.0),
        recipe(warmup_kimg=0.008, truth_kimg=0.02, critic_weight=0.1, lr_ramp_kimg=0.012, lr_fall_kimg=0.012),
        with_places(recipe({"mode": "fixed", "probability": 0.5}, loss="relativistic", truth_kimg=0.02)),
        # Stopped between two sides, and between warm-up and game.
        recipe(
            model={"render_resolution": 16, "part_resolution": 24},
            render_start=8,
            render_kimg=0.012,
            part_start=8,
            part_kimg=0.012,
            warmup_kimg=0.008,
        ),
    ],
    ids=[
        "plain",
        "adaptive",
        "relativistic",
        "warm-up",
        "truth",
        "exchange and texture",
        "critic",
        "places",
        "growing",
    ],
)
def test_resume_equals_a_straight_run_bit_for_bit(heads, tmp_path, config):
    straight = train(heads, config, tmp_path / "straight", device=CPU)
    steps = iter([False, True])
    stopped = train(heads, config, tmp_path / "resumed", device=CPU, should_stop=lambda: next(steps))
    assert stopped.images == 8
    assert not stopped.finished
    resumed = train(heads, config, tmp_path / "resumed", device=CPU)
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
    last = rows[0][-1]
    assert ("augmentation" in last) == (config.augmentation.mode != "off")
    assert ("r2" in last) == (config.training.loss == "relativistic")
    if config.augmentation.mode == "adaptive":
        assert last["augmentation"] != 0.2


def test_a_run_goes_on_whose_state_an_earlier_version_wrote(heads, tmp_path):
    """One that kept tensors which nothing reads any more."""
    run = tmp_path / "run"
    stopped = train(heads, recipe(), run, device=CPU, should_stop=lambda: True)
    assert not stopped.finished
    state = load_state(run / runs.STATE_NAME)
    for name in ("generator", "average"):
        state["modules"][name]["mapping.choice_means"] = torch.ones(3, 16)
    save_state(run / runs.STATE_NAME, state)
    resumed = train(heads, recipe(), run, device=CPU)
    straight = train(heads, recipe(), tmp_path / "straight", device=CPU)
    assert load_model(resumed.model).sha256 == load_model(straight.model).sha256


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


def test_the_mapping_learns_faster_in_the_warm_up_alone(heads):
    def moved(**changes):
        """How far a step moves the mapping's weights and the upsampler's."""
        config = recipe(generator_lr=0.001, **changes)
        state = TrainingState.create(config, PORTRAIT, CPU)
        facts = gather_facts(heads, config.model.part_resolution, True)
        trainer = Trainer(config, state, heads, facts, CPU)
        watched = [next(net.parameters()) for net in (state.generator.mapping, state.generator.upsampler)]
        before = [parameter.detach().clone() for parameter in watched]
        trainer.step(next(heads.batches(config, 0, config.training.batch)))
        return [float((now - was).detach().abs().max()) for now, was in zip(watched, before, strict=True)]

    slow, fast = (moved(warmup_kimg=1.0, warmup_mapping=factor) for factor in (1.0, 100.0))
    assert fast[0] == pytest.approx(100 * slow[0], rel=0.01)
    assert fast[1] == slow[1] > 0
    assert moved(warmup_mapping=100.0)[0] == pytest.approx(slow[0], rel=0.05)


def test_successive_views_of_a_head_are_recognised(heads):
    batch = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4))

    def views(parameters, mirrored):
        told = torch.tensor(parameters)[:, None]
        return replace(batch, parameters=told, mirrored=torch.tensor(mirrored)).views_a_head()

    no, yes = False, True
    assert views([1.0, 1, 2, 2], [no, no, yes, yes]) == 2
    assert views([1.0, 1, 1, 1], [no, no, yes, yes]) == 2
    assert views([1.0, 1, 1, 1], [no] * 4) == 4
    assert views([1.0, 1, 1, 2], [no] * 4) == 1
    assert views([1.0, 2, 3, 4], [no] * 4) == 1
    assert replace(batch, parameters=None).views_a_head() == 1


def test_a_run_that_another_process_trains_is_left_alone(heads, tmp_path, monkeypatch):
    monkeypatch.setattr("ssgan_core.files._PATIENCE", 0.1)
    tmp_path.joinpath("run").mkdir()
    with owned(tmp_path / "run"), pytest.raises(SsganError, match="another process is writing"):
        train(heads, recipe(), tmp_path / "run", device=CPU)
    assert list(tmp_path.joinpath("run").iterdir()) == []


@pytest.mark.parametrize("warmup_kimg", [0.0, 0.004])
def test_learning_with_truth_begins_with_what_is_known_of_heads(heads, tmp_path, warmup_kimg):
    config = recipe(kimg=0.004, warmup_kimg=warmup_kimg, generator_lr=1e-30, discriminator_lr=1e-30)
    result = train(heads, config, tmp_path / "run", device=CPU)
    columns = weights(result.model)["mapping.layers.0.weight"].abs().amax(0)
    known = heads.parameter_count() + 1
    assert known < len(columns)
    assert columns[:known].min() > 0
    assert (columns[known:] > 1e-6).all() == (warmup_kimg == 0)


def test_truth_fades_beside_the_game(heads, tmp_path):
    config = recipe(warmup_kimg=0.008, truth_kimg=0.032, kimg=0.064, tick_kimg=0.004)
    schedule = Schedule(config)
    assert [schedule.truth_share(images) for images in (8, 24, 40, 60)] == [1, 0.5, 0, 0]
    train(heads, config, tmp_path / "run", device=CPU)
    rows = runs.read_stats(tmp_path / "run")[1:]  # a row a step
    kinds = ["".join(key[0] for key in ("warmup_image", "loss_g") if key in row) for row in rows]
    assert kinds[:3] == ["w", "w", "wl"]
    assert kinds[10:] == ["l"] * 6
    assert set(kinds[3:10]) == {"wl", "l"}


def test_the_game_and_truth_both_reach_the_generator(heads):
    config = recipe(truth_kimg=1.0)
    state = TrainingState.create(config, heads.schema, CPU)
    phases = Phases(config, state.generator, state.discriminator, True, CPU)
    areas = torch.full((len(heads.schema.parts),), 0.1)
    warmup = Warmup(phases, heads.parameter_count(), areas, torch.from_numpy(heads.labels))
    batch = next(heads.batches(config, 0, 4))

    def gradient(weights):
        state.generator.zero_grad()
        rng = torch.Generator().manual_seed(0)
        with patch.object(warmup, "losses", lambda *_: {k: weights[0] * v for k, v in losses(*_).items()}):
            _, loss, output, _ = warmup.reconstruction(batch, rng)
        fake, real = phases.judged(output, batch.labels, 0), phases.real(batch, 0)
        (loss + weights[1] * phases.adversarial_terms(fake, real, rng)["loss_g"]).backward()
        return torch.cat([p.grad.flatten() for p in state.generator.parts.parameters()])

    losses = warmup.losses
    truth, both, game = (gradient(weights) for weights in ((1, 0), (1, 1), (0, 1)))
    curvature = gradient((0, 0))
    assert min((truth - curvature).norm(), (game - curvature).norm()) > 1e-4
    torch.testing.assert_close(both, truth + game - curvature, atol=1e-5, rtol=1e-3)


def test_all_ranks_reconstruct_in_the_same_steps(heads):
    config = recipe(truth_kimg=0.4)
    state = TrainingState.create(config, heads.schema, CPU)
    facts = gather_facts(heads, config.model.part_resolution, True)
    decided = []
    for rank in (0, 1):
        trainer = Trainer(config, state, heads, facts, CPU, Ranks(rank, 2))
        decided.append([])
        for step in range(100):
            state.steps, state.images = step, 4 * step
            decided[-1].append(trainer.reconstructs())
    assert decided[0] == decided[1]
    assert sum(decided[0][:25]) > 17  # of 25, as the share falls from all to three quarters
    assert sum(decided[0][75:]) < 8


def test_random_heads_are_judged_from_as_many_sides_as_those_of_the_batch(heads):
    config = recipe(truth_kimg=1.0)
    state = TrainingState.create(config, heads.schema, CPU)
    phases = Phases(config, state.generator, state.discriminator, True, CPU)
    batch = next(heads.batches(config, 0, 4))
    two, other = batch.parameters[:1], batch.parameters[:1] + 1
    pairs = replace(batch, parameters=torch.cat([two, two, other, other]), mirrored=torch.zeros(4))
    same_side = batch.labels[:1].expand(4, -1)
    rng = torch.Generator().manual_seed(0)
    _, fake = phases.generator_phase(phases.real(pairs, 0), pairs.views_a_head(), same_side, rng, 0)
    assert torch.equal(fake.images[0], fake.images[1])
    assert torch.equal(fake.masks[2], fake.masks[3])
    assert not torch.allclose(fake.images[0], fake.images[2])
    assert not any(examples.requires_grad for examples in fake)


def test_places_are_reported_and_teach_both_networks(heads, tmp_path):
    assert train(heads, with_places(recipe()), tmp_path / "run", device=CPU).finished
    rows = runs.read_stats(tmp_path / "run")[1:]
    assert all(row["places_real"] != row["places_fake"] for row in rows)
    config = with_places(recipe())
    state = TrainingState.create(config, heads.schema, CPU)
    phases = Phases(config, state.generator, state.discriminator, True, CPU)
    batch = next(heads.batches(config, 0, 4))
    output = state.generator(phases.draw_codes(4, torch.Generator().manual_seed(0)), batch.labels)
    state.discriminator(*phases.judged(output, batch.labels, 0))[:, 1:].mean().backward()
    generator = state.generator
    for layer in (
        state.discriminator.to_places,
        generator.parts.to_opacity,
        generator.upsampler.scales[0].to_rgb,
    ):
        assert layer.weight.grad.abs().sum() > 0
    assert not state.discriminator.to_score.weight.grad.any()


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
    examples = shuffled(heads, 1, True)
    seen = [(int(b.indices[0]), bool(b.mirrored[0])) for b in stream(examples, 1, 0, 2 * EXAMPLES, workers=0)]
    assert len(set(seen)) == 2 * EXAMPLES
    again = [
        (int(b.indices[0]), bool(b.mirrored[0])) for b in stream(examples, 1, 2 * EXAMPLES, 4 * EXAMPLES, 0)
    ]
    assert set(again) == set(seen)
    assert again != seen


def test_the_stream_is_the_same_from_any_position_and_with_workers(heads):
    straight = list(stream(shuffled(heads, 5, True), 4, 0, 32, workers=0))
    resumed = list(stream(shuffled(heads, 5, True), 4, 16, 32, workers=1))
    for a, b in zip(straight[4:], resumed, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_mirrored_examples_mirror_image_mask_depth_and_camera(heads):
    examples = shuffled(heads, 1, True)
    pairs: dict[int, dict[bool, tuple]] = {}
    for position in range(2 * EXAMPLES):
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


@pytest.mark.parametrize("count", [1, 2, 16])
def test_ranks_measure_shares_of_the_samples(heads, count):
    facts = gather_facts(heads, 16, mirror=False)
    monitors = [Monitor(facts, 16, 3, CPU, Ranks(rank, count)) for rank in range(count)]
    assert {len(monitor.z) for monitor in monitors} == {max(64 // count, 8)}
    whole = torch.cat([monitor.z for monitor in monitors])
    assert len(torch.unique(whole, dim=0)) == len(whole) == max(64, 8 * count)
    if count <= 8:
        alone = Monitor(facts, 16, 3, CPU, ALONE)
        assert torch.equal(whole, alone.z)
        assert torch.equal(torch.cat([monitor.labels for monitor in monitors]), alone.labels)


def test_ranks_average_what_they_measure(heads, monkeypatch):
    facts = replace(gather_facts(heads, 16, mirror=False), mask_spread=0.3)
    generator = TrainingState.create(recipe(), heads.schema, CPU).average

    def average(ranks, tensors):
        areas, spreads = tensors
        areas.copy_(facts.part_areas)
        areas[:2] += torch.tensor([0.25, -0.25])
        spreads.copy_(torch.tensor([0.4 * facts.image_spread, 0.8 * facts.mask_spread]))

    monkeypatch.setattr(Ranks, "average", average)
    measured = Monitor(facts, recipe().model.latent, 3, CPU, Ranks(1, 2)).measure(generator)
    expected = {"area_distance": 0.5, "image_spread": 0.4, "mask_spread": 0.8, "collapsed": 1.0}
    assert measured == pytest.approx(expected, rel=1e-5)


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
    """The networks under autocast, cameras, rays and sums not: on processors with AMX, as this one now says it is."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    losses = []
    for precision in ("fp32", "bf16"):
        config = recipe(precision=precision)
        state = TrainingState.create(config, PORTRAIT, CPU)
        phases = Phases(config, state.generator, state.discriminator, True, CPU)
        batch = next(stream(shuffled(heads, 0, True), 4, 0, 4, workers=0))
        rng = torch.Generator().manual_seed(0)
        real = phases.real(batch, 0)
        terms, fake = phases.generator_phase(real, 1, batch.labels, rng, 0)
        terms |= phases.discriminator_phase(real, fake, rng)
        terms |= phases.penalty_phase(real, fake, rng)
        losses.append({name: float(value.detach()) for name, value in terms.items()})
        with phases.autocast():
            masks = state.generator(phases.draw_codes(2, rng), batch.labels[:2]).low_mask
        assert masks.dtype == torch.float32
        assert (masks.sum(1) - 1).abs().max() < 1e-5
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=0.1, abs=0.05), name
    assert losses[0] != losses[1]


def test_bf16_is_left_to_devices_that_gain_by_it(monkeypatch):
    assert has_fast_bf16(torch.device("cuda"))
    for capabilities in ({"amx_bf16": False}, {}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda said=capabilities: said, raising=False)
        assert not has_fast_bf16(CPU)


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


def test_a_step_that_is_not_finite_is_skipped_and_counted(heads, tmp_path, monkeypatch):
    honest, calls = Phases.generator_phase, []

    def broken_once(self, *arguments):
        terms = honest(self, *arguments)
        calls.append([parameter.detach().clone() for parameter in self.generator.parameters()])
        if len(calls) == 2:
            next(self.generator.parameters()).grad.fill_(float("nan"))
        return terms

    monkeypatch.setattr(Phases, "generator_phase", broken_once)
    result = train(heads, recipe(), tmp_path / "run", device=CPU)
    assert result.finished
    assert [row["skipped_updates"] for row in runs.read_stats(tmp_path / "run")] == [0, 1, 0]
    unchanged = [
        all(torch.equal(a, b) for a, b in zip(one, two, strict=True)) for one, two in pairwise(calls)
    ]
    assert unchanged == [False, True, False]
    assert all(value.isfinite().all() for value in weights(result.model).values())


def test_tensorboard_gets_the_rows_where_it_is_installed(heads, tmp_path, monkeypatch):
    told: list = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            told.append((step, name, value))

        def flush(self):
            pass

        def close(self):
            told.append("closed")

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run = tmp_path / "run"
    train(heads, recipe(), run, device=CPU)
    assert told[0] == (str(run), 1)
    assert told[-1] == "closed"
    rows = runs.read_stats(run)
    assert told[1:-1] == [(row["images"], name, value) for row in rows for name, value in row.items()]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as if it were not installed
    assert train(heads, recipe(kimg=0.02), run, device=CPU).images == 20


def test_learning_rates_rise_over_the_ramp(heads, tmp_path, monkeypatch):
    taken = []
    honest = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self: taken.append(self.param_groups[0]["lr"]) or honest(self)
    )
    config = recipe(lr_ramp_kimg=0.008, generator_lr=0.004, discriminator_lr=0.003, r1_interval=100)
    train(heads, config, tmp_path / "run", device=CPU)
    assert taken[::3][0] == pytest.approx(0.002)
    assert [rate for rate in taken if rate > 0.0031] == pytest.approx([0.004] * 3)
    assert taken[-1] == pytest.approx(0.003 * 100 / 101)


def test_learning_rates_fall_at_the_end_to_less_than_a_step_from_nothing():
    config = recipe(kimg=0.04, batch=4, lr_ramp_kimg=0.008, lr_fall_kimg=0.016, generator_lr=0.004)
    rates = [Schedule(config).generator_lr(images) for images in range(0, 40, 4)]
    assert rates == pytest.approx([0.002, *[0.004] * 6, 0.003, 0.002, 0.001])
    lazy = Schedule(config).discriminator_lr(36) / Schedule(config).discriminator_lr(20)
    assert lazy == Schedule(config).critic_lr(36) / Schedule(config).critic_lr(20) == pytest.approx(0.25)


def test_what_was_learnt_is_kept_before_it_is_measured(heads, tmp_path, monkeypatch):
    """Measuring takes longer than torchrun waits for who is asked to stop."""
    measured = Log.tick

    def killed(log):
        if log.state.images:
            raise KeyboardInterrupt
        measured(log)

    monkeypatch.setattr(Log, "tick", killed)
    with pytest.raises(KeyboardInterrupt):
        train(heads, recipe(), tmp_path / "run", device=CPU, should_stop=lambda: True)
    assert runs.newest_model(tmp_path / "run").name == "model-000000004.safetensors"
    assert load_carry(tmp_path / "run").images == 4
    monkeypatch.setattr(Log, "tick", measured)
    resumed = train(heads, recipe(), tmp_path / "run", device=CPU)
    straight = train(heads, recipe(), tmp_path / "straight", device=CPU)
    assert resumed.finished
    assert load_model(resumed.model).sha256 == load_model(straight.model).sha256
