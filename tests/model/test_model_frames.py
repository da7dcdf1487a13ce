"""Places on the mean head: by hand, told by shape codes alone, and heard by shapes and paint."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from ssgan_core.config import ModelConfig
from ssgan_core.layers import place_code, position_code, texel_places
from ssgan_core.model.codes import Codes
from ssgan_core.model.frames import COUNT, RANK, SIDE, WORN_RANK, WORN_SIDE, Frames
from ssgan_core.model.part_generators import PartGenerators
from ssgan_core.model.traits import LOUDNESS
from ssgan_core.parts import HEAD_WINDOW, PORTRAIT

LATENT, TRAITS, SIZE = 5, 3, 6
PARTS = len(PORTRAIT.foreground)
EYES = PORTRAIT.foreground_index("eyes")
NAMES = ("skin", "eyes", "hair")
TINY = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=12, latent=LATENT, traits=TRAITS, part_width=8, depth_width=8,
    features=5, frequencies=6, highest_frequency=4.0, paint_frequencies=4, highest_paint_frequency=6.0,
    upsampler_width=16, see_through=True, frames=True,
)  # fmt: skip


def sheets(names=NAMES):
    return [PORTRAIT.foreground[PORTRAIT.foreground_index(name)] for name in names]


def described(frames):
    """Of the body all points move to the right by the first trait, and up by .1; of the eyes down by the second, the
    more the further to the left they lie."""
    shares, fields = torch.zeros(COUNT, TRAITS + 1, RANK), torch.zeros(COUNT, RANK, 2, SIDE, SIDE)
    shares[0, 0, 0] = shares[0, -1, 1] = shares[1, 1, 0] = 1
    fields[0, 0, 0], fields[0, 1, 1] = 1.0, 0.1
    x0, _, x1, _ = HEAD_WINDOW
    fields[1, 0, 1] = x0 + (torch.arange(SIDE) + 0.5) / SIDE * (x1 - x0)
    frames.describe(shares, fields)
    return frames


def codes_of(traits, sheets=len(NAMES)):
    codes = torch.randn(len(traits), sheets, LATENT + TRAITS, generator=torch.Generator().manual_seed(0))
    codes[..., LATENT:] = LOUDNESS * torch.as_tensor(traits)[:, None]
    return codes


def own_places(size):
    return texel_places(size, torch.zeros(0))


def test_nobody_moves_until_described():
    frames = Frames(sheets(), HEAD_WINDOW, LATENT, TRAITS)
    assert not frames.known
    places = frames(codes_of([[3.0, 2.0, 1.0]]), own_places(SIZE))
    torch.testing.assert_close(places, own_places(SIZE).expand(1, len(NAMES), -1, -1))


def test_places_by_hand():
    frames = described(Frames(sheets(), HEAD_WINDOW, LATENT, TRAITS))
    assert frames.known
    places, own = frames(codes_of([[0.0, 0.0, 7.0], [0.2, -3.0, 7.0]]), own_places(SIZE)), own_places(SIZE)
    half = HEAD_WINDOW[2]
    for sheet in (0, 2):
        expected = torch.stack([own - torch.tensor([move, 0.1]) / half for move in (0.0, 0.2)])
        torch.testing.assert_close(places[:, sheet], expected)
    torch.testing.assert_close(places[0, 1], own)
    # A point at x lies lower by 3 x, so it is at home that much higher.
    expected = own + torch.stack([torch.zeros(len(own)), 3 * own[:, 0]], 1)
    torch.testing.assert_close(places[1, 1], expected)


def test_a_smaller_rectangle_looks_at_its_own_part_of_the_fields():
    smaller = (0.1, 0.0, 0.3, 0.1)
    places = described(Frames(sheets()[1:2], smaller, LATENT, TRAITS))(
        codes_of([[0.0, 1.0, 0.0]], 1), own_places(SIZE)
    )[0, 0]
    own = own_places(SIZE)
    x = 0.2 + 0.1 * own[:, 0]
    torch.testing.assert_close(places[:, 0], own[:, 0])
    torch.testing.assert_close(places[:, 1], own[:, 1] - x / 0.05)


def test_each_sheet_has_its_own_numbers_and_low_precision_says_the_same():
    frames, codes = described(Frames(sheets(), HEAD_WINDOW, LATENT, TRAITS)), codes_of([[0.1, 0.2, 0.3]])
    before = frames(codes, own_places(SIZE))
    codes[:, 2, LATENT] += 1
    after = frames(codes, own_places(SIZE))
    assert torch.equal(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2], before[:, 2])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(frames(codes, own_places(SIZE)), after)


WORN_NAMES = ("skin", "hat", "cloth")


def dressed(parts):
    """Beanies and caps move to the right by the first trait and always by .1; shirts up by the second, the more the
    further right they lie."""
    frames = described(Frames(sheets(parts), HEAD_WINDOW, LATENT, TRAITS, worn=3))
    assert not frames.knows_worn
    shares, fields = torch.zeros(3, TRAITS + 1, WORN_RANK), torch.zeros(3, WORN_RANK, 2, WORN_SIDE, WORN_SIDE)
    shares[0, 0, 0], shares[1, -1, 0], shares[2, 1, 0] = 1, 0.1, 1
    x0, _, x1, _ = HEAD_WINDOW
    fields[:2, 0, 0], fields[2, 0, 1] = 1.0, x0 + (torch.arange(WORN_SIDE) + 0.5) / WORN_SIDE * (x1 - x0)
    frames.describe_worn(shares, fields, ("hat", "hat", "cloth"))
    assert frames.knows_worn
    return frames


def wearing(traits, kinds, sheets=len(WORN_NAMES)):
    return torch.cat(
        [codes_of(traits, sheets), LOUDNESS * torch.tensor(kinds)[:, None].expand(-1, sheets, -1)], 2
    )


def test_what_is_worn_has_the_frame_of_its_kind():
    frames, half, own = dressed(WORN_NAMES), HEAD_WINDOW[2], own_places(SIZE)
    bare = described(Frames(sheets(WORN_NAMES), HEAD_WINDOW, LATENT, TRAITS))
    traits = [[0.2, -3.0, 1.0]] * 4
    #        a beanie and a shirt, a cap, neither, and half of both hats
    codes = wearing(traits, [[1.0, 0, 1], [0, 1, 0], [0, 0, 0], [0.5, 0.5, 0]])
    places, before = frames(codes, own_places(SIZE)), bare(codes[..., : LATENT + TRAITS], own_places(SIZE))
    assert torch.equal(places[:, 0], before[:, 0])
    torch.testing.assert_close(places[2], before[2])
    for head, move in ((0, 0.2), (1, 0.1), (3, 0.15)):
        torch.testing.assert_close(places[head, 1], own - torch.tensor([move / half, 0.0]))
    # A point at x lies lower by 3 x, so it is at home that much higher. Fields are known from the middle of their
    # first node to that of their last, and as these beyond.
    reached = own[:, 0].clamp(-1 + 1 / WORN_SIDE, 1 - 1 / WORN_SIDE)
    torch.testing.assert_close(places[0, 2], own + torch.stack([torch.zeros(len(own)), 3 * reached], 1))
    torch.testing.assert_close(places[1, 2], before[1, 2])


def test_another_parts_kind_says_nothing():
    frames = dressed(WORN_NAMES)
    codes = wearing([[0.2, -3.0, 1.0]], [[1.0, 0, 1]])
    before = frames(codes, own_places(SIZE))
    codes[:, 2, -3:] = LOUDNESS * torch.tensor([0.0, 1, 1])  # of a cap clothes do not hear
    assert torch.equal(frames(codes, own_places(SIZE)), before)
    codes[:, 1, -3:] = LOUDNESS * torch.tensor([0.0, 1, 0])
    after = frames(codes, own_places(SIZE))
    assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])
    assert not torch.allclose(after[:, 1], before[:, 1])


def part_codes(count, seed=0, width=LATENT + TRAITS):
    rng = torch.Generator().manual_seed(seed)
    shapes = [(count, width), (count, PARTS, width), (count, PARTS + 1, width)]
    return Codes(*(torch.randn(shape, generator=rng) for shape in shapes))


def generators(config=TINY, layers=("to_place", "to_fine", "to_clearness")):
    torch.manual_seed(0)
    made = PartGenerators(config, PORTRAIT).eval().requires_grad_(False)
    described(made.frames)
    for layer in layers:
        getattr(made, layer).weight.normal_()
    return made


def test_networks_begin_as_those_without():
    framed = generators(layers=("to_clearness",))
    torch.manual_seed(0)
    plain = PartGenerators(replace(TINY, frames=False), PORTRAIT).eval().requires_grad_(False)
    named = framed.state_dict()
    plain.load_state_dict({name: named[name] for name in plain.state_dict()})
    assert all(map(torch.equal, framed(part_codes(2)), plain(part_codes(2))))


def test_shapes_and_paint_hear_of_places_and_depth_does_not():
    framed, codes = generators(), part_codes(1)
    before = framed(codes)
    framed.frames.shares.zero_()
    after = framed(codes)
    assert torch.equal(after.relative_depth, before.relative_depth)
    for name in ("optical_depth", "features", "veil"):
        assert not torch.allclose(getattr(after, name), getattr(before, name), atol=0.01), name
    # Paint alone, where shapes cannot hear.
    framed.to_place.weight.zero_()
    still = framed(codes)
    described(framed.frames)
    moved = framed(codes)
    assert torch.equal(moved.optical_depth, still.optical_depth)
    assert not torch.allclose(moved.features, still.features, atol=0.01)


def test_paint_follows_the_shape_that_it_is_on():
    """Another head's texture lies where the part's own shape has its places; another part's codes say nothing."""
    framed, codes, other = generators(), part_codes(1), part_codes(1, 1)
    before = framed(codes)
    painted = framed(codes.with_part(other, EYES, shape=False))
    assert torch.equal(painted.optical_depth, before.optical_depth)
    exchanged = framed(codes.with_part(other, EYES))
    rest = [k for k in range(PARTS) if k != EYES]
    for name in ("optical_depth", "features"):
        assert torch.equal(getattr(exchanged, name)[:, rest], getattr(before, name)[:, rest]), name
    assert not torch.allclose(exchanged.optical_depth[:, EYES], before.optical_depth[:, EYES], atol=0.01)


def test_the_same_place_on_the_mean_head_is_told_the_same():
    """A head whose points all lie one texel further right is told at each texel what another is one texel left."""
    framed = generators()
    for layer in framed.base_layers:
        layer.weight.zero_()  # of positions nothing is known but places
    for layer in framed.texture_layers[:1]:
        layer.styles.weight.zero_()
    texel = (HEAD_WINDOW[2] - HEAD_WINDOW[0]) / 12
    codes, moved = part_codes(1), part_codes(1)
    framed.frames.shares[0, -1] = framed.frames.shares[1] = 0
    framed.frames.fields[0, 0, 0] = texel
    codes.shape[:, :, LATENT], moved.shape[:, :, LATENT] = 0.0, LOUDNESS
    # Numbers modulate as well: only places may tell these heads apart.
    for layer in [*framed.shape_layers, framed.to_place, framed.to_opacity]:
        layer.styles.weight[:, LATENT] = 0
    here, there = framed(codes), framed(moved)
    for name in ("optical_depth", "features"):
        a, b = (getattr(maps, name)[:, 0] for maps in (here, there))
        torch.testing.assert_close(b[..., 1:], a[..., :-1], atol=1e-4, rtol=1e-4, msg=name)
        assert a.std() > 1e-3


@pytest.mark.parametrize("size", [24, 25])
def test_texels_that_nobody_sees_are_left_out_of_moved_parts_too(size):
    framed = generators(replace(TINY, part_resolution=size))
    framed.to_place.weight.mul_(0.1)
    log_odds = torch.full((PARTS, size, size), -30.0)
    log_odds[:, 4:9, 4:9] = 2.0
    framed.set_layout(log_odds)
    whole = copy.deepcopy(framed)
    whole.least_sparse = math.inf
    for look in (None, lambda depth: torch.ones_like(depth, dtype=torch.bool)):
        fewer, every = framed(part_codes(2), look), whole(part_codes(2), look)
        visible = every.optical_depth > 1e-4
        assert 0 < visible.float().mean() < 0.2
        for name in ("optical_depth", "veil"):
            torch.testing.assert_close(
                getattr(fewer, name)[visible], getattr(every, name)[visible], atol=1e-5, rtol=1e-4
            )
        assert (fewer.optical_depth[~visible] <= 1e-4).all()
        features, expected = (maps.features.movedim(2, -1)[visible] for maps in (fewer, every))
        torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def told_kinds(frames):
    """Two kinds of hats, one of clothes, whose points stay."""
    shares, fields = torch.zeros(3, TRAITS + 1, WORN_RANK), torch.zeros(3, WORN_RANK, 2, WORN_SIDE, WORN_SIDE)
    frames.describe_worn(shares, fields, ("hat", "hat", "cloth"))


@pytest.mark.parametrize("size", [12, 24])
def test_nobody_has_a_hat_whose_codes_tell_no_kind(size):
    wide = LATENT + TRAITS + 3
    framed = generators(replace(TINY, part_resolution=size, choices=3, worn=3))
    framed.least_sparse = 24
    framed.frames.shares.zero_()  # the mean head: every frame says the same
    log_odds = torch.full((PARTS, size, size), -30.0)
    log_odds[:, : size // 2, : size // 2] = 5.0
    framed.set_layout(log_odds)
    hat, cloth = (PORTRAIT.foreground_index(name) for name in ("hat", "cloth"))
    codes = part_codes(3, width=wide)
    codes.shape[..., -3:] = LOUDNESS * torch.tensor([[1.0, 0, 1], [0, 0, 1], [0.5, 0, 1]])[:, None]
    before = framed(codes).optical_depth  # nobody said which kinds there are
    told_kinds(framed.frames)
    after = framed(codes).optical_depth
    assert (before[:, hat] > 0.5).any(2).any(1).all()
    torch.testing.assert_close(after[0, hat], before[0, hat])
    assert after[1, hat].max() < 0.02 * before[1, hat].max()
    assert after[1, hat].sum() <= after[2, hat].sum() < after[0, hat].sum()
    torch.testing.assert_close(after[:, cloth], before[:, cloth])
    rest = [k for k in range(PARTS) if k not in (hat, cloth)]
    torch.testing.assert_close(after[:, rest], before[:, rest])


@pytest.mark.parametrize("size", [24, 25])
def test_what_is_worn_stands_out_within_bounds_and_nothing_else_does(size):
    wide = LATENT + TRAITS + 3
    framed = generators(replace(TINY, part_resolution=size, choices=3, worn=3), ("to_place", "to_clearness"))
    told_kinds(framed.frames)
    log_odds = torch.full((PARTS, size, size), -30.0)
    log_odds[:, 4:12, 4:12] = 2.0
    framed.set_layout(log_odds)
    codes = part_codes(2, width=wide)
    codes.shape[..., -3:] = LOUDNESS * torch.tensor([0.0, 1, 1])
    flat = framed(codes)
    framed.to_relief.weight.normal_()
    whole = copy.deepcopy(framed)
    whole.least_sparse = math.inf
    fewer, every = framed(codes), whole(codes)
    worn = [PORTRAIT.foreground_index(name) for name in ("cloth", "hat")]
    assert framed.worn.tolist() == worn
    rest = [k for k in range(PARTS) if k not in worn]
    for maps in (fewer, every):
        assert torch.equal(maps.relative_depth[:, rest], flat.relative_depth[:, rest])
        assert torch.equal(maps.optical_depth, (flat if maps is fewer else every).optical_depth)
    visible = every.optical_depth[:, worn] > 1e-4
    assert visible.any()
    shown, expected, before = (maps.relative_depth[:, worn] for maps in (fewer, every, flat))
    torch.testing.assert_close(shown[visible], expected[visible], atol=1e-5, rtol=1e-4)
    assert (expected - before).abs().amax((0, 2, 3)).min() > 0.01
    for k, depth in zip(worn, expected.unbind(1), strict=True):
        part = PORTRAIT.foreground[k]
        assert (depth - part.depth_start).abs().max() <= part.depth_bound + 1e-6
    framed.keep_depths()
    assert not framed.to_relief.weight.requires_grad


@pytest.mark.parametrize("least_sparse", [0, math.inf])
def test_parts_that_learn_alone_have_the_slopes_that_they_had(least_sparse):
    """Where texels are left out, as where they are not."""
    wide = LATENT + TRAITS + 3
    found = []
    for alone in (False, True):
        framed = generators(replace(TINY, part_resolution=24, choices=3, worn=3)).requires_grad_(True)
        framed.to_relief.weight.data.normal_(generator=torch.Generator().manual_seed(5))
        log_odds = torch.full((PARTS, 24, 24), -30.0)
        log_odds[:, 4:12, 4:12] = 2.0
        framed.set_layout(log_odds)
        framed.least_sparse = least_sparse
        told_kinds(framed.frames)
        if alone:
            framed.learn_alone([PORTRAIT.foreground_index("hat"), PORTRAIT.foreground_index("glasses")])
        codes = part_codes(2, width=wide)
        codes.shape[..., -3:] = LOUDNESS * torch.tensor([0.0, 1, 1])
        maps = framed(codes)
        visible = maps.optical_depth > 1e-4
        assert 0 < visible.float().mean() < 0.5
        seen = torch.stack([maps.optical_depth, maps.relative_depth, maps.veil], -1)[visible].sum()
        (seen + maps.features.movedim(2, -1)[visible].square().sum()).backward()
        found.append({name: weight.grad for name, weight in framed.named_parameters()})
    learnt = [PORTRAIT.foreground_index(name) for name in ("glasses", "hat")]
    for name, every in found[0].items():
        sheets = {"to_clearness": [0], "to_relief": [1]}.get(name.split(".")[0], learnt)
        kept = [i for i in range(len(every)) if i not in sheets]
        torch.testing.assert_close(found[1][name][sheets], every[sheets], atol=1e-4, rtol=1e-4, msg=name)
        assert not found[1][name][kept].any(), name
        assert every[sheets].any(), name


def test_codes_of_places_are_those_of_positions():
    waves = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(place_code(waves, own_places(5)), position_code(waves, 5))
