"""Reconstruction of squares: where they lie, and that they are compared as whole pictures are."""

import json

import pytest
import torch
from recipes import networks, recipe

from ssgan_core.checkpoints import load_model
from ssgan_core.errors import SsganError
from ssgan_core.layers import box_average
from ssgan_core.model.crops import Crop
from ssgan_core.model.generator import Output
from ssgan_core.parts import PORTRAIT
from ssgan_core.training.crops import around_parts, cropped
from ssgan_core.training.data import Batch
from ssgan_core.training.loop import train
from ssgan_core.training.origin import FromModel
from ssgan_core.training.phases import Phases
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
ALL = torch.arange(1, 13)


def test_rare_parts_are_in_the_middle_as_often_as_large_ones():
    """Of 64 x 64 pixels one is an earring, half are hair."""
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[:, :32] = 7
    mask[40, 50] = 12
    crop = around_parts(mask.expand(600, -1, -1), 8, 32, torch.Generator().manual_seed(0), ALL)
    assert (crop.side, crop.whole) == (8, 32)
    earring = (crop.corner == torch.tensor([21, 16])).all(1)
    assert 0.42 < earring.float().mean() < 0.58
    others = crop.corner[~earring]
    assert others.min() == 0
    assert others[:, 0].max() <= 16 - 4
    assert others[:, 1].max() == 32 - 8
    assert others.float().std(0).min() > 2


def test_squares_around_some_parts_alone():
    """The second mask has none of them, so that squares lie around what it has; the third nothing at all."""
    masks = torch.zeros(3, 64, 64, dtype=torch.uint8)
    masks[:2, :32], masks[:1, 40, 50], masks[:1, 60:] = 7, 12, 3
    masks = masks.repeat(200, 1, 1)
    crop = around_parts(masks, 8, 32, torch.Generator().manual_seed(0), torch.tensor([12, 3]))
    corners = crop.corner.view(200, 3, 2)
    earring = (corners[:, 0] == torch.tensor([21, 16])).all(1)
    assert 0.4 < earring.float().mean() < 0.6
    assert (corners[~earring, 0, 1] == 24).all()
    assert corners[:, 1, 1].max() <= 16 - 4
    assert corners[:, 1, 1].float().std() > 2


def test_parts_learn_alone_in_squares_around_them(heads, tmp_path):
    """Weights of hats and glasses become others, those of all other parts and of what is no part's stay."""
    model = {"sheets": 2, "see_through": True}
    first = train(heads, recipe(None, model, kimg=0.004, warmup_kimg=0.004), tmp_path / "first", device=CPU)
    settings = {"kimg": 0.008, "warmup_kimg": 0.008, "crop": 0.5, "parts_alone": "hat, glasses"}
    result = train(
        heads,
        recipe(None, model, **settings),
        tmp_path / "run",
        device=CPU,
        origin=FromModel.open(first.model),
    )
    before, after = (load_model(run.model).tensors for run in (first, result))
    learnt = [2 * PORTRAIT.foreground_index(name) + sheet for name in ("glasses", "hat") for sheet in (0, 1)]
    kept = [sheet for sheet in range(2 * len(PORTRAIT.foreground)) if sheet not in learnt]
    changed = set()
    for name, tensor in before.items():
        if "to_clearness" in name:  # of glasses alone
            changed |= set() if torch.equal(after[name], tensor) else {name}
        elif name.startswith("parts.") and ("_layers." in name or ".to_" in name):
            assert torch.equal(after[name][kept], tensor[kept]), name
            changed |= set() if torch.equal(after[name][learnt], tensor[learnt]) else {name}
        elif name not in ("mapping.mean", "shell_width"):
            assert torch.equal(after[name], tensor), name
    assert {"parts.to_clearness.weight", "parts.to_opacity.weight", "parts.shape_layers.0.weight"} <= changed
    assert {"parts.to_features.bias", "parts.base_layers.0.styles.weight", "parts.to_depth.weight"} <= changed


def test_parts_that_learn_alone_are_the_datas_and_known_heads(heads, tmp_path):
    settings = {"warmup_kimg": 0.008, "kimg": 0.008}
    with pytest.raises(SsganError, match="there is no part 'tail'"):
        train(heads, recipe(None, parts_alone="hat, tail", **settings), tmp_path / "run", device=CPU)
    with pytest.raises(SsganError, match="parts_alone keeps what first weights know"):
        train(heads, recipe(None, parts_alone="hat", **settings), tmp_path / "random", device=CPU)
    with pytest.raises(SsganError, match="parts_alone needs known heads"):
        recipe(None, parts_alone="hat", kimg=0.008)


def test_masks_without_parts_have_squares_too():
    crop = around_parts(
        torch.zeros(3, 16, 16, dtype=torch.uint8), 4, 8, torch.Generator().manual_seed(0), ALL
    )
    assert crop.corner.min() >= 0
    assert crop.corner.max() <= 4


def test_a_batch_of_squares():
    images = torch.arange(2 * 3 * 64).view(2, 3, 8, 8).to(torch.uint8)
    masks, depths = images[:, 0].clone(), images[:, :1].float()
    labels = torch.eye(4).flatten().repeat(2, 1)
    labels = torch.cat([labels, torch.tensor([4.0, 0, 0.5, 0, 4.0, 0.5, 0, 0, 1]).repeat(2, 1)], 1)
    batch = Batch(images, masks, depths, labels, *torch.zeros(2, 2), torch.zeros(2, 5))
    found = cropped(batch, Crop(torch.tensor([[0, 1], [2, 0]]), 2, 4))
    assert torch.equal(found.images[0], images[0, :, 2:6, :4])
    assert torch.equal(found.masks[1], masks[1, :4, 4:])
    assert torch.equal(found.depths[1], depths[1, :, :4, 4:])
    assert found.labels[0, 16:].tolist() == [8, 0, 1, 0, 8, 0.5, 0, 0, 1]
    assert found.parameters is batch.parameters


def test_squares_teach_and_the_same_ones_every_time(heads, tmp_path):
    settings = {"warmup_kimg": 0.016, "texture_weight": 2.0, "crop": 0.5}
    runs = [train(heads, recipe(**settings), tmp_path / name, device=CPU) for name in "ab"]
    runs.append(train(heads, recipe(**{**settings, "crop": 1.0}), tmp_path / "whole", device=CPU))
    first, second, whole = (load_model(run.model).tensors for run in runs)
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())
    assert not torch.equal(whole["parts.to_features.weight"], first["parts.to_features.weight"])
    last = json.loads((tmp_path / "a" / "stats.jsonl").read_text().splitlines()[-1])
    assert last["warmup_image"] > 0
    assert last["skipped_updates"] == 0


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {"crop": 0.0}, r"training\.crop must lie in \(0, 1\], got 0\.0"),
        (
            {},
            {"crop": 0.4, "warmup_kimg": 1.0},
            r"crop 0\.4 of model\.render_resolution 8 is 3\.2 rays, no multiple of 4",
        ),
        ({}, {"crop": 0.5}, r"training\.crop below 1 needs known heads"),
        ({"lifting": "none"}, {"crop": 0.5, "warmup_kimg": 1.0}, r"needs model\.lifting=depth and all rays"),
        (
            {"render_resolution": 16},
            {"crop": 0.5, "warmup_kimg": 1.0, "render_start": 8},
            r"all rays from the start",
        ),
    ],
)
def test_what_squares_need_is_named(model, training, message):
    with pytest.raises(SsganError, match=message):
        recipe(model=model, **training)


def test_a_squares_losses_are_those_of_its_pixels(heads):
    """Hair's surroundings and coarse cells are as large in a square as in the whole picture."""
    model = {"resolution": 128, "render_resolution": 64, "detail_octaves": 2, "fringes": True}
    config = recipe(model=model, texture_weight=1.0, warmup_kimg=1.0, crop=0.25)
    phases = Phases(config, *networks(config), True, CPU)
    warmup = Warmup(phases, 1, torch.full((13,), 0.1), torch.from_numpy(heads.labels))
    rng = torch.Generator().manual_seed(0)
    ids = torch.ones(1, 128, 128, dtype=torch.uint8)
    ids[..., 70:] = 7
    images = torch.randint(0, 255, (1, 3, 128, 128), generator=rng, dtype=torch.uint8)
    zero = torch.zeros(1, 1, 128, 128)
    batch = Batch(images, ids, zero, torch.from_numpy(heads.labels[:1]), *torch.zeros(2, 1), None)
    crop = Crop(torch.tensor([[24, 24]]), 16, 64)  # whole cells of a 16th of the picture
    assert torch.equal(
        warmup._told(crop.cut(ids))[..., 4:-4, 4:-4], crop.cut(warmup._told(ids))[..., 4:-4, 4:-4]
    )
    difference = 0.2 * torch.randn(1, 3, 128, 128, generator=rng)
    difference[..., :48], difference[..., 80:] = 0, 0
    difference[..., :48, :], difference[..., 80:, :] = 0, 0

    def terms(shown, change):
        image, size = shown.normalised_images() + change, shown.masks.shape[-1] // 2
        masks = torch.full((1, 13, size, size), 1 / 13)
        output = Output(image, masks, torch.zeros(1, 1, size, size), box_average(image, size), masks)
        return warmup.losses(output, shown)

    whole, square = terms(batch, difference), terms(cropped(batch, crop), crop.cut(difference))
    for name in ("warmup_image", "warmup_square"):
        assert square[name].item() == pytest.approx(16 * whole[name].item(), rel=1e-4), name
    assert whole["warmup_image"] > 0
