"""Other looks of parts: each changes what it names, where it says so, and keeps the masks true."""

import pytest
import torch
from torch import Generator

from ssgan_core.parsing.appearance import bare_shoulders, marked_skin, retextured, retoned
from ssgan_core.parsing.data import annotated
from ssgan_core.parsing.textures import scenery, streaks, strokes, texture, things
from ssgan_core.parts import PORTRAIT

SIZE, BATCH = 64, 4
ID = {name: index for index, name in enumerate(PORTRAIT.names)}


def chance(seed):
    return Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def portraits():
    """Bands of parts from top to bottom, nose and mouth in the skin, every pixel of some grey."""
    mask = torch.full((SIZE, SIZE), ID["background"])
    for name, top, bottom in (
        ("hair", 8, 20),
        ("skin", 20, 40),
        ("neck", 40, 48),
        ("cloth", 48, 64),
    ):
        mask[top:bottom, 8:56] = ID[name]
    mask[24:32, 28:36] = ID["nose"]
    mask[33:37, 24:40] = ID["mouth"]
    images = 0.3 + 0.4 * torch.rand(BATCH, 3, SIZE, SIZE, generator=chance(0))
    return images, mask.repeat(BATCH, 1, 1)


def changed(before, after):
    return ((before - after).abs().amax(1) > 0.02).float()


def test_textures_are_pictures_that_chance_alone_decides():
    for make in (texture, scenery):
        first, again, other = (make(SIZE, chance(seed)) for seed in (1, 1, 2))
        assert first.shape == (3, SIZE, SIZE)
        assert first.isfinite().all()
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    for make in (streaks, strokes):
        assert make(SIZE, chance(3)).shape == (SIZE, SIZE)
        assert make(SIZE, chance(3)).std() > 0.01


def test_things_hide_parts_of_a_scene_and_not_its_range():
    plain = torch.full((3, SIZE, SIZE), 0.5)
    drawn = torch.stack([things(plain, chance(seed)) for seed in range(10)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    covered = changed(plain[None], drawn).mean((1, 2))
    assert covered.max() > 0.3
    assert covered.min() < 0.99


def test_bare_shoulders_are_labelled_neck_and_have_its_colour(portraits):
    images, masks = portraits
    images = torch.where((masks == ID["neck"])[:, None], torch.tensor([0.8, 0.5, 0.4]).view(3, 1, 1), images)
    was_cloth = masks == ID["cloth"]
    bared = 0
    for seed in range(12):
        seen, ids = bare_shoulders(images, masks, PORTRAIT, chance(seed))
        assert torch.equal(ids[~was_cloth], masks[~was_cloth])
        new = (ids == ID["neck"]) & was_cloth
        assert torch.equal(ids[was_cloth & ~new], masks[was_cloth & ~new])
        if new.any():
            red, _, blue = seen.movedim(1, -1)[new].mean(0)
            assert red > 1.4 * blue
            bared += 1
    assert 2 <= bared < 12


def test_hair_and_backgrounds_change_and_faces_do_not(portraits):
    images, masks = portraits
    changes = torch.stack([changed(images, retextured(images, masks, PORTRAIT, chance(s))) for s in range(6)])
    inner = torch.zeros_like(masks[0], dtype=torch.bool)
    inner[25:44, 14:50] = True  # skin, nose, mouth, neck, away from all borders
    assert changes[..., inner].max() == 0
    for name in ("hair", "background", "cloth"):
        assert 0.2 < changes[:, masks == ID[name]].mean() < 1


def test_clothes_and_backgrounds_are_often_nearly_black(portraits):
    _, masks = portraits
    plain = torch.full((BATCH, 3, SIZE, SIZE), 0.5)
    seen = torch.cat([retextured(plain, masks, PORTRAIT, chance(seed)) for seed in range(30)])
    darkness = {
        name: seen[:, :, masks[0] == ID[name]].mean((1, 2)) < 0.16 for name in ("cloth", "background")
    }
    assert 0.25 < darkness["cloth"].float().mean() < 0.6
    assert 0.1 < darkness["background"].float().mean() < 0.4
    assert seen[:, :, 28, 16].min() > 0.4  # skin


def test_skin_is_marked_and_what_is_none_is_not(portraits):
    images, masks = portraits
    changes = torch.stack(
        [changed(images, marked_skin(images, masks, PORTRAIT, chance(s))) for s in range(6)]
    )
    for name in ("hair", "background", "cloth", "neck"):
        far = (masks[0] == ID[name]) & (torch.arange(SIZE)[:, None] < 18 if name == "hair" else True)
        assert changes[..., far].max() == 0
    assert changes[:, masks == ID["skin"]].mean() > 0.03
    assert changes[:, masks == ID["mouth"]].mean() > 0.1


def test_noses_keep_the_tone_of_the_skin(portraits):
    _, masks = portraits
    plain = torch.full((BATCH, 3, SIZE, SIZE), 0.5)
    for seed in range(6):
        toned = retoned(plain, masks, PORTRAIT, chance(seed))
        nose, skin = toned[:, :, 28, 32], toned[:, :, 28, 16]
        torch.testing.assert_close(nose, skin, atol=5e-3, rtol=0)
    assert (toned[:, :, 28, 16] - toned[:, :, 14, 16]).abs().max() > 0.01


def test_annotators_draw_no_single_strands_and_keep_thin_parts():
    mask = torch.full((20, 20), ID["background"], dtype=torch.uint8)
    mask[:, 10:] = ID["hair"]
    mask[5, 3:10] = ID["hair"]  # a strand
    mask[12, 10:20] = ID["background"]  # a gap
    mask[16, :] = ID["glasses"]
    drawn = annotated(mask)
    assert (drawn[:15, :9] == ID["background"]).all()
    assert (drawn[:15, 11:] == ID["hair"]).all()
    assert torch.equal(drawn == ID["glasses"], mask == ID["glasses"])
