"""Longer and fuller hair: where it may be, labelled as it is painted, on some heads that have any."""

import pytest
import torch
from torch import Generator

from ssgan_core.parsing.full_hair import full_hair
from ssgan_core.parts import PORTRAIT

SIZE, BATCH = 64, 6
ID = {name: index for index, name in enumerate(PORTRAIT.names)}
BROWN = torch.tensor([0.3, 0.2, 0.1])


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def heads(*, hair=True, hat=False):
    """A face below some brown hair, neck and cloth, all else light blue."""
    mask = torch.full((SIZE, SIZE), ID["background"])
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    mask[(y > 46) & ((x - 32).abs() < 28)] = ID["cloth"]
    mask[(y > 40) & (y < 52) & ((x - 32).abs() < 6)] = ID["neck"]
    face = ((x - 32) / 12) ** 2 + ((y - 28) / 16) ** 2 < 1
    mask[face] = ID["skin"]
    mask[face & (y > 32) & (y < 36) & ((x - 32).abs() < 5)] = ID["mouth"]
    if hair:
        mask[face & (y < 19)] = ID["hair"]
    if hat:
        mask[8:14, 20:44] = ID["hat"]
    images = torch.where(
        mask == ID["hair"], BROWN[:, None, None], torch.tensor([0.6, 0.7, 0.9])[:, None, None]
    )
    return images.repeat(BATCH, 1, 1, 1), mask.repeat(BATCH, 1, 1)


def grown(seed, **options):
    images, masks = heads(**options)
    return images, masks, *full_hair(images, masks, PORTRAIT, Generator().manual_seed(seed))


def test_chance_alone_decides_and_what_is_given_stays():
    images, masks, first, ids = grown(1)
    assert torch.equal(images, heads()[0])
    assert torch.equal(masks, heads()[1])
    *_, again, same = grown(1)
    *_, other, _ = grown(2)
    assert torch.equal(first, again)
    assert torch.equal(ids, same)
    assert not torch.equal(first, other)


def test_what_becomes_hair_looks_like_it_and_nothing_else_becomes_anything():
    share, dark = [], []
    for seed in range(8):
        images, masks, seen, ids = grown(seed)
        new = (ids == ID["hair"]) & (masks != ID["hair"])
        assert torch.equal(ids[~new], masks[~new])
        # A pixel's border is soft; beyond it only hair may have another look.
        near = torch.nn.functional.max_pool2d((ids == ID["hair"]).float()[:, None], 7, 1, 3)[:, 0] > 0
        assert torch.equal(seen.movedim(1, -1)[~near], images.movedim(1, -1)[~near])
        share += (ids == ID["hair"]).float().mean((1, 2)).tolist()
        dark += seen.movedim(1, -1)[new].tolist()
    assert seen.min() >= 0
    assert seen.max() <= 1
    before = (heads()[1] == ID["hair"]).float().mean().item()
    changed = [value for value in share if value != before]
    assert 0.15 * len(share) < len(changed) < 0.5 * len(share)
    assert sum(changed) / len(changed) > 2 * before
    assert max(changed) > 0.35
    red, green, blue = torch.tensor(dark).mean(0)
    assert red > 1.2 * green > 1.2 * 1.2 * blue


def test_mouths_and_noses_stay_in_sight():
    for seed in range(12):
        _, masks, _, ids = grown(seed)
        assert torch.equal(ids[masks == ID["mouth"]], masks[masks == ID["mouth"]])


def test_bald_heads_stay_bald_and_hats_often_bare():
    for seed in range(6):
        images, masks, seen, ids = grown(seed, hair=False)
        assert torch.equal(seen, images)
        assert torch.equal(ids, masks)

    def how_many(**options):
        return sum(
            int((ids != masks).any((1, 2)).sum())
            for seed in range(20)
            for _, masks, _, ids in [grown(seed, **options)]
        )

    assert 0 < how_many(hat=True) < 0.6 * how_many()
