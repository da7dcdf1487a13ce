"""Training the parser: varied pictures with fitting masks, a falling loss, and the same weights after a stop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from ssgan_core.cameras import label
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.parsing import augmentation
from ssgan_core.parsing.agreement import Agreement
from ssgan_core.parsing.augmentation import IGNORED, augment
from ssgan_core.parsing.data import TrainingData, _evened
from ssgan_core.parsing.parser import FaceParser, save_parser
from ssgan_core.parsing.training import ParserTraining, Recipe, parsing_loss, train
from ssgan_core.parts import PORTRAIT

SIZE, PEOPLE = 64, 21
PLAN = Recipe(
    size=SIZE, small_steps=4, full_steps=4, small_batch=4, full_batch=2, warmup_steps=2, average_decay=0.5
)


def drawn(index):
    """A face of ellipses [S, S]: enough to learn something from."""
    rng = np.random.default_rng(index)
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1 - rng.uniform(-0.1, 0.1, (2, 1, 1))
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for name, cx, cy, rx, ry in (
        ("cloth", 0, 1, 0.8, 0.35), ("hair", 0, -0.2, 0.6, 0.7), ("skin", 0, 0, 0.45, 0.6), ("nose", 0, 0.1, 0.1, 0.2),
        ("eyes", -0.2, -0.1, 0.1, 0.07), ("eyes", 0.2, -0.1, 0.1, 0.07), ("mouth", 0, 0.35, 0.2, 0.08),
    ):  # fmt: skip
        mask[np.hypot((x - cx) / rx, (y - cy) / ry) < 1] = PORTRAIT.names.index(name)
    colours = rng.integers(0, 256, (len(PORTRAIT.parts), 3)).astype(np.uint8)
    return colours[mask], mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("drawn")
    with DatasetWriter(path, PORTRAIT, SIZE) as writer:
        for index in range(PEOPLE):
            meta = {"identity": index, "seed": 7}
            writer.add(f"{index:03d}", *drawn(index), label(0, 0), meta)
    return path


@pytest.fixture(scope="module")
def data(folder):
    return TrainingData(folder, SIZE)


def weights(training):
    return training.average.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


# ------------------------------------------------------------------------------------ augmentation


def batch_of(data, seed, small=False):
    return data.batch(4, small, Generator().manual_seed(seed))


def test_the_same_chance_gives_the_same_pictures_and_another_one_others(data):
    images, masks = batch_of(data, 0)
    before = images.clone(), masks.clone()
    first, again, other = (augment(images, masks, PORTRAIT, Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_augmented_pictures_are_pictures_and_ids_stay_ids(data):
    for seed in range(12):
        images, masks = augment(
            *batch_of(data, seed, small=seed % 2 == 0), PORTRAIT, Generator().manual_seed(seed)
        )
        side = SIZE if seed % 2 else SIZE // 2
        assert images.shape == (4, 3, side, side)
        assert images.isfinite().all()
        assert images.min() >= -1
        assert images.max() <= 1
        assert masks.shape == (4, side, side)
        assert set(masks.unique().tolist()) <= {*range(len(PORTRAIT.parts)), IGNORED}
        assert (masks == IGNORED).float().mean() < 0.6


def test_light_and_colour_change_from_a_little_to_a_lot():
    grey = torch.full((200, 3, 16, 16), 0.5)
    wild = torch.linspace(0, 1, 200).view(-1, 1, 1, 1)
    seen = augmentation._graded(
        augmentation._lit(grey, wild, Generator().manual_seed(0)), wild, Generator().manual_seed(1)
    )
    change = (seen - 0.5).abs().mean((1, 2, 3))
    assert change[0] < 1e-3
    assert change[:40].mean() < 0.4 * change[-40:].mean()
    assert change[-40:].mean() > 0.08


# ----------------------------------------------------------------------------------- loss and steps


def test_the_loss_is_small_for_the_truth_and_blind_to_what_is_ignored():
    masks = torch.from_numpy(drawn(0)[1]).long()[None]
    right = 20.0 * torch.nn.functional.one_hot(masks, 13).movedim(-1, 1)
    even = torch.ones(13)
    assert parsing_loss(right, masks, even) < 1e-3
    wrong = right.roll(1, 1)
    assert parsing_loss(wrong, masks, even) > 5
    mixed = torch.where(torch.arange(SIZE) < 9, wrong, right)
    masks[..., :9] = IGNORED
    assert parsing_loss(mixed, masks, even) < 1e-3


def test_a_few_steps_lower_the_loss(data):
    recipe = Recipe(size=SIZE, small_steps=40, full_steps=1, small_batch=8, warmup_steps=5)
    training = ParserTraining(data, recipe)
    losses = [training.step() for _ in range(40)]
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:5])


def test_rare_parts_weigh_more_up_to_a_limit_but_for_those_on_skin(data):
    by_name = dict(zip(PORTRAIT.names, data.part_weights.tolist(), strict=True))
    assert by_name["background"] < 1 < by_name["ears"]
    assert by_name["eyes"] == by_name["brows"] == by_name["mouth"] == by_name["nose"] == by_name["skin"]
    assert max(by_name.values()) <= 8
    assert len(data.held_out) == 1
    assert data.facts["portraits"] == data.facts["people"] == PEOPLE
    assert data.facts["seeds"] == ["7"]


def test_much_hair_is_drawn_more_often_than_it_comes():
    share = torch.tensor([0.01] * 6 + [0.1] * 3 + [0.5])  # three groups
    odds = _evened(share)
    shares = torch.stack([odds[:6].sum(), odds[6:9].sum(), odds[9]]) / odds.sum()
    torch.testing.assert_close(shares, torch.tensor([6, 3, 1]).sqrt() / torch.tensor([6, 3, 1]).sqrt().sum())


def test_low_precision_changes_a_step_a_little(data):
    full, low = (ParserTraining(data, replace(PLAN, precision=precision)) for precision in ("fp32", "bf16"))
    loss, low_loss = full.step(), low.step()
    assert low_loss == pytest.approx(loss, rel=0.02)
    assert low_loss != loss


# ------------------------------------------------------------------------------- stops and budgets


def test_a_stop_changes_nothing(data, tmp_path):
    whole = ParserTraining(data, PLAN)
    train(whole, tmp_path / "whole.pt")
    assert whole.steps == 8
    begun = ParserTraining(data, PLAN)
    for _ in range(5):
        begun.step()
    begun.save(tmp_path / "state.pt")
    resumed = ParserTraining(data, PLAN)
    resumed.restore(tmp_path / "state.pt")
    assert resumed.steps == 5
    train(resumed, tmp_path / "state.pt", threads=2)  # nor do threads
    assert same(weights(whole), weights(resumed))
    train(resumed, tmp_path / "state.pt")  # nothing is left to do
    assert resumed.steps == 8
    assert resumed.validate().shown()[1] == 1


def test_a_budget_of_time_becomes_steps_that_repeat_it(data, tmp_path):
    timed = ParserTraining(data, Recipe(size=SIZE, small_batch=2, full_batch=2))
    noted = []
    train(timed, tmp_path / "state.pt", minutes=0.015, progress=lambda *facts: noted.append(facts))
    assert timed.total_steps == timed.steps == noted[-1][0] == noted[-1][1]
    repeated = ParserTraining(data, timed.recipe)
    train(repeated, tmp_path / "again.pt")
    assert same(weights(timed), weights(repeated))
    goes_on = ParserTraining(data, Recipe(size=SIZE, small_batch=2, full_batch=2))
    goes_on.restore(tmp_path / "state.pt")
    assert goes_on.recipe == timed.recipe


def test_a_state_of_another_recipe_or_no_state(data, tmp_path):
    ParserTraining(data, PLAN).save(tmp_path / "state.pt")
    with pytest.raises(SsganError, match="another recipe"):
        ParserTraining(data, Recipe(size=SIZE, seed=9)).restore(tmp_path / "state.pt")
    (tmp_path / "state.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(SsganError, match="is not a training state"):
        ParserTraining(data, PLAN).restore(tmp_path / "state.pt")


@pytest.mark.parametrize(
    "options",
    [
        {"size": 100},
        {"full_batch": 3},
        {"small_steps": 3},
        {"small_steps": 3, "full_steps": 0},
        {"small_share": 1},
        {"learning_rate": 0},
        {"precision": "fp64"},
        {"new_share": 0},
        {"new_share": 1.5},
    ],
)
def test_impossible_recipes(options):
    with pytest.raises(SsganError):
        Recipe(**options)


def test_a_training_goes_on_from_weights(data, tmp_path):
    first = ParserTraining(data, PLAN)
    train(first, tmp_path / "first.pt")
    digest = save_parser(tmp_path / "first.safetensors", first.average, {})
    parser = FaceParser.load(tmp_path / "first.safetensors")
    second = ParserTraining(data, PLAN, parser)
    assert second.recipe.initial == digest
    assert same(second.network.state_dict(), {k: v.half().float() for k, v in weights(first).items()})
    second.step()
    second.save(tmp_path / "second.pt")
    assert same(
        parser.network.state_dict(), FaceParser.load(tmp_path / "first.safetensors").network.state_dict()
    )
    with pytest.raises(SsganError, match="another recipe"):
        ParserTraining(data, PLAN).restore(tmp_path / "second.pt")
    again = ParserTraining(data, PLAN, parser)
    again.restore(tmp_path / "second.pt")
    assert again.steps == 1


def test_the_result_lies_between_the_weights_before_and_after(data, tmp_path):
    first = ParserTraining(data, PLAN)
    save_parser(tmp_path / "first.safetensors", first.average, {})
    before = FaceParser.load(tmp_path / "first.safetensors")
    recipe = replace(PLAN, new_share=0.25)
    training = ParserTraining(data, recipe, before)
    training.step()
    for name, mixed in training.result().state_dict().items():
        old, new = before.network.state_dict()[name], weights(training)[name]
        torch.testing.assert_close(mixed, 0.75 * old + 0.25 * new)
    assert not same(training.result().state_dict(), weights(training))
    assert same(first.result().state_dict(), weights(first))
    with pytest.raises(SsganError, match="no other weights"):
        ParserTraining(data, recipe)


def test_a_training_needs_an_end_and_people(data, folder, tmp_path):
    with pytest.raises(SsganError, match="needs an end"):
        train(ParserTraining(data, Recipe(size=SIZE)), tmp_path / "state.pt")
    with DatasetWriter(tmp_path / "few", PORTRAIT, SIZE) as writer:
        writer.add("one", *drawn(0), label(0, 0), {})
    with pytest.raises(SsganError, match="fewer than 20 people"):
        TrainingData(tmp_path / "few", SIZE)


# -------------------------------------------------------------------------------------- agreement


def test_agreement_by_hand():
    found = Agreement(3)
    found.add(np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 2]], np.uint8))
    found.add(np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 0, 0, 1]], np.uint8))
    np.testing.assert_allclose(found.mean_iou(), [(1 / 2 + 3 / 4) / 2, 1 / 2, np.nan])
    np.testing.assert_allclose(found.pooled_iou(), [4 / 6, 1 / 3, np.nan])
    assert found.shown().tolist() == [2, 1, 0]
