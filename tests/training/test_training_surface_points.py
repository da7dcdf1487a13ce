"""Points of surfaces: where pixels lie, what the networks say there, and what they alone teach."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recipes import networks, recipe

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.errors import SsganError
from ssgan_core.layers import dilate, texel_places
from ssgan_core.model.codes import Codes
from ssgan_core.model.geometry import light_stops_ahead
from ssgan_core.parts import PORTRAIT
from ssgan_core.rendering.rays import camera_rays, project
from ssgan_core.rendering.render import render
from ssgan_core.training.data import Batch
from ssgan_core.training.loop import train
from ssgan_core.training.origin import FromModel
from ssgan_core.training.phases import Phases
from ssgan_core.training.state import TrainingState
from ssgan_core.training.surface_points import SurfacePoints, draw_points, point_errors
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
PARTS = len(PORTRAIT.foreground)
SIDE = 16


@pytest.mark.parametrize("optical_depth", [0.1, 1.0, 5.0, 20.0])
def test_a_dense_shell_stops_light_before_its_middle(optical_depth):
    """As the renderer says of a flat sheet seen from the front."""
    side, width, height = 8, 0.02, 0.1
    maps = (torch.ones(1, 1, 4, side, side), torch.full((1, 1, side, side), height))
    optical = torch.full((1, 1, side, side), optical_depth)
    rays = camera_rays(torch.from_numpy(cameras.label(np.zeros(1), 0.0)), 8)
    window = torch.tensor([[-0.5, -0.5, 0.5, 0.5]])
    found = render(
        *maps, optical, torch.tensor(width), window, rays, depth_bounds=(0.0, 0.2), uniform=512, importance=0,
        backend="reference",
    )  # fmt: skip
    opacity = 1 - found.transmittance
    middle = (found.depth / opacity)[0].view(8, 8)[3:5, 3:5].mean()
    ahead = (2.7 - height - middle.item()) / width
    assert light_stops_ahead(torch.tensor(optical_depth)).item() == pytest.approx(ahead, abs=0.03)


def test_what_is_hardly_there_stops_light_in_its_middle():
    few = light_stops_ahead(torch.tensor([0.0, 1e-4, 1.0, 10.0, 20.0]))
    assert few[:2].abs().max() < 1e-3
    assert (few.diff() > 0).all()
    # Of a density of 1, exp(-Phi(x)) phi(x): the mean of normal quantiles under an exponential, by hand.
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    expected = -(torch.special.ndtri(u) * torch.exp(-u)).sum() / torch.exp(-u).sum()
    assert few[2].item() == pytest.approx(expected.item(), abs=1e-4)


def a_batch(count=3):
    """Squares: hair above, skin below, an earring of one pixel; of the last picture nothing. Every pixel has a colour
    of its own, and none of cloth is near."""
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.uint8)
    masks[:, 2:6, 3:12], masks[:, 6:12, 3:12], masks[:, 13, 5] = 7, 1, 12
    masks[-1] = 0
    pixels = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    images = torch.stack([pixels, 255 - pixels, pixels // 2]).expand(count, -1, -1, -1).to(torch.uint8)
    depths = torch.where(masks > 0, 2.4 + pixels / 1000, 0.0)[:, None]
    depths[:, :, 2] = 0  # hair's first row has no depth
    yaws = torch.linspace(-0.4, 0.4, count).numpy()
    labels = torch.from_numpy(cameras.label(yaws, 0.1))
    return Batch(images, masks, depths, labels, torch.arange(count), torch.zeros(count, dtype=torch.bool))


def test_points_are_pixels_of_their_parts():
    batch = a_batch()
    told = torch.zeros_like(batch.masks, dtype=torch.bool)
    told[:, :, :8] = True
    points = draw_points(batch, told, batch.masks == 7, PARTS, 40, torch.Generator().manual_seed(0))
    hair = torch.zeros_like(points.told)
    hair[:2, 6] = True
    assert torch.equal(points.open & points.shown[..., None], hair)
    shown = torch.zeros(3, PARTS, dtype=torch.bool)
    shown[:2, [0, 6, 11]] = True
    assert torch.equal(points.shown, shown)
    for head in range(2):
        for part, pixels in ((0, 54), (6, 27), (11, 1)):
            place = project(points.places[head, part][None], batch.labels[head : head + 1])[0] * SIDE
            column, row = place.floor().long().unbind(1)
            torch.testing.assert_close(place - place.floor(), torch.full((40, 2), 0.5), atol=1e-3, rtol=0)
            assert (batch.masks[head, row, column] == part + 1).all()
            assert (batch.depths[head, 0, row, column] > 0).all()
            expected = batch.images[head, :, row, column].T.float() / 127.5 - 1
            torch.testing.assert_close(points.colours[head, part], expected)
            assert torch.equal(points.told[head, part], column < 8)
            # No pixel comes twice before all of them came.
            assert len({(r, c) for r, c in zip(row.tolist(), column.tolist(), strict=True)}) == min(
                pixels, 40
            )


def test_points_lie_as_deep_as_pixels():
    batch = a_batch()
    points = draw_points(batch, batch.masks > 0, batch.masks > 9, PARTS, 8, torch.Generator().manual_seed(1))
    pose = batch.labels[:2, :16].view(2, 4, 4)
    seen = torch.einsum("bkni,bij->bknj", points.places[:2, :1] - pose[:, None, None, :3, 3], pose[:, :3, :3])
    numbers = ((points.colours[:2, :1, :, 0] + 1) * 127.5).round()
    torch.testing.assert_close(seen[..., 2], 2.4 + numbers / 1000, atol=1e-4, rtol=0)


def portraits(**model):
    generator, _ = networks(recipe(model={"latent": 32, **model}))
    generator.eval()
    generator.parts.to_depth.weight.data.mul_(8)  # as uneven as a trained one
    generator.parts.layout_prior.normal_(generator=torch.Generator().manual_seed(2))
    codes = generator.map(torch.randn(2, 32, generator=torch.Generator().manual_seed(3)))
    return generator, codes


@pytest.mark.parametrize("model", [{}, {"see_through": True, "paint_frequencies": 4, "part_resolution": 12}])
def test_at_texels_points_are_what_maps_are(model):
    generator, codes = portraits(**model)
    side = generator.part_side
    low, high = generator.windows.unflatten(1, (2, 2)).unbind(1)
    world = ((low + high)[:, None] + (high - low)[:, None] * texel_places(side, torch.zeros(0))) / 2
    world = world.expand(2, -1, -1, -1)
    first, last = torch.tensor(PORTRAIT.frame).unflatten(0, (2, 2))
    maps, sheets = (
        generator.parts(codes),
        generator.parts.at(codes, (2 * world - first - last) / (last - first)),
    )
    for name in ("features", "relative_depth", "optical_depth", "veil"):
        expected = getattr(maps, name)
        torch.testing.assert_close(getattr(sheets, name).view(expected.shape), expected, atol=1e-5, rtol=1e-5)
    colours, depth = generator.surfaces(codes, world)
    whole = generator.part_maps(codes)
    ahead = generator.shell_width * light_stops_ahead(whole.optical_depth)
    # The skin below maps of other windows is interpolated in its own.
    alike = (generator.windows == generator.windows[0]).all(1)
    expected = (whole.depth + ahead)[:, alike]
    torch.testing.assert_close(depth[:, alike].view(expected.shape), expected, atol=1e-5, rtol=1e-5)
    expected = whole.features[:, :, :3].flatten(3).transpose(2, 3)
    torch.testing.assert_close(colours, expected, atol=1e-5, rtol=1e-5)


def test_a_learning_models_points_are_as_sharp_as_in_use():
    generator, codes = portraits(outline_sharpness=3.0)
    world = torch.rand(2, PARTS, 5, 2, generator=torch.Generator().manual_seed(4)) - 0.5
    expected = generator.surfaces(codes, world)
    generator.train()
    for found, of_use in zip(generator.surfaces(codes, world), expected, strict=True):
        assert torch.equal(found, of_use)
    blunt, _ = portraits(outline_sharpness=1.0)
    assert not torch.allclose(blunt.surfaces(codes, world)[1], expected[1])


def test_skin_at_its_texels_is_what_maps_are():
    generator, codes = portraits()
    own = texel_places(generator.part_side, torch.zeros(0))
    low, high = generator.windows[0].unflatten(0, (2, 2))
    found = generator.skin_at(codes, ((low + high + (high - low) * own) / 2).expand(2, -1, -1))
    generator.train()  # as soft as then
    expected = generator.parts(codes).optical_depth[:, 0].flatten(1)
    torch.testing.assert_close(F.softplus(found).clamp(max=20), expected, atol=1e-5, rtol=1e-5)


class Plain:
    """Everything is grey and lies at z 0.1; skin is there as surely as not."""

    def surfaces(self, codes, points):
        return torch.zeros(*points.shape[:3], 3), torch.full(points.shape[:3], 0.1)

    def skin_at(self, codes, points):
        return points[..., 0] - 0.1


def test_errors_by_hand():
    """Skin has errors of 0.3 and, where it is told, of 0.6; hair lies too near by 0.07, but its colour nobody knows."""
    shown = torch.zeros(2, PARTS, dtype=torch.bool)
    shown[0, 0], shown[1, 6] = True, True
    places, colours = torch.full((2, PARTS, 4, 3), 0.1), torch.full((2, PARTS, 4, 3), 0.3)
    told = torch.zeros(2, PARTS, 4, dtype=torch.bool)
    told[0, 0, :2] = True
    colours[0, 0, :2] = -0.6
    places[1, 6, :, 2] = 0.03
    seen_through = torch.zeros_like(told)
    points = SurfacePoints(places, colours, shown, told, seen_through)
    codes, hair = Codes(*(torch.zeros(2, 1) for _ in range(3))), torch.tensor([6])
    errors = point_errors(Plain(), codes, points, 1, hair)
    assert errors.colour.item() == pytest.approx(0.6)
    assert errors.depth.item() == pytest.approx((0 + 0.07 / 0.35) / 2)
    assert errors.opening == 0
    # As two views of one head, parts are the same, each seen in one.
    both = point_errors(Plain(), codes, points, 2, hair)
    assert [error.item() for error in both] == pytest.approx([error.item() for error in errors])
    nothing = point_errors(Plain(), codes, points._replace(shown=torch.zeros_like(shown)), 1, hair)
    assert [error.item() for error in nothing] == [0, 0, 0]
    # Were hair seen through the skin, at two of its points, of which one has skin for sure and one as surely as not.
    seen_through[1, 6, :2], places[1, 6, 0, 0] = True, 20.1
    assert point_errors(Plain(), codes, points, 1, hair).opening.item() == pytest.approx(
        (20 + math.log(2)) / 2
    )
    assert point_errors(Plain(), codes, points, 1, torch.tensor([0])).opening == 0
    assert point_errors(Plain(), codes, points, 1, torch.tensor([], dtype=torch.long)).opening == 0


def test_skin_opens_where_eyes_are_but_for_their_rims(heads):
    _, warmup = warmup_of(heads, recipe(surface_points=64, warmup_kimg=1.0))
    batch, asked = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4)), []
    masks = batch.masks.clone()
    masks[masks == 1] = PORTRAIT.names.index("eyes")
    batch, generator = replace(batch, masks=masks), warmup.phases.generator

    def skin_at(codes, points):
        asked.append(points)
        return torch.zeros(points.shape[:2])

    generator.skin_at = skin_at
    terms, _ = warmup.surfaces(batch, torch.Generator().manual_seed(0))
    assert terms["warmup_point_opening"].item() == pytest.approx(math.log(2))
    assert asked[0].shape == (4, 2 * 64, 2)  # of eyes and mouth
    eye = masks == PORTRAIT.names.index("eyes")
    inner = ~dilate(~eye, 1)
    points = draw_points(batch, eye, inner, PARTS, 64, torch.Generator().manual_seed(0))
    assert 0.4 < points.open[:, 1].float().mean() < 0.6  # 6 x 5 of 8 x 7 pixels
    blind = replace(batch, depths=torch.where(inner[:, None], 0, batch.depths))
    terms, _ = warmup.surfaces(blind, torch.Generator().manual_seed(0))
    assert terms["warmup_point_opening"] == 0


POINTS = {"surface_points": 6, "kimg": 0.016, "warmup_kimg": 0.016, "generator_lr": 0.01}


def test_points_alone_teach_looks_and_depths(heads, tmp_path):
    model = {"paint_frequencies": 4}
    first = train(heads, recipe(None, model, kimg=0.004, warmup_kimg=0.004), tmp_path / "first", device=CPU)
    config, origin = recipe(None, model, points_alone=True, **POINTS), FromModel.open(first.model)
    stopped = train(heads, config, tmp_path / "run", device=CPU, origin=origin, should_stop=lambda: True)
    assert not stopped.finished
    resumed = train(heads, config, tmp_path / "run", device=CPU)
    straight = train(heads, config, tmp_path / "straight", device=CPU, origin=origin)
    before, found, same = (load_model(result.model).tensors for result in (first, resumed, straight))
    learnt = (
        "parts.texture_layers.",
        "parts.to_features.",
        "parts.to_fine.",
        "parts.depth_layers.",
        "parts.to_depth.",
    )
    for name, tensor in found.items():
        assert torch.equal(tensor, same[name]), name
        if not name.startswith(learnt) and name not in ("shell_width", "mapping.mean"):
            assert torch.equal(tensor, before[name]), name
    for name in learnt:
        assert any(not torch.equal(found[n], before[n]) for n in found if n.startswith(name)), name
    assert {"warmup_point_colour", "warmup_point_depth"} <= set(resumed.last)
    assert not {"warmup_masks", "warmup_image"} & set(resumed.last)


def warmup_of(heads, config, has_depth=True):
    state = TrainingState.create(config, heads.schema, CPU)
    phases = Phases(config, state.generator, state.discriminator, has_depth, CPU)
    areas = torch.full((len(heads.schema.parts),), 0.1)
    return state, Warmup(phases, heads.parameter_count(), areas, torch.from_numpy(heads.labels))


def test_points_teach_the_colours_and_depths_of_pixels(heads):
    state, warmup = warmup_of(heads, recipe(None, {"latent": 32}, surface_points=16, warmup_kimg=1.0))
    batch = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4))
    optimiser = torch.optim.Adam(state.generator.parts.parameters(), 0.02, betas=(0.0, 0.99))
    errors = []
    for step in range(60):
        terms, loss = warmup.surfaces(batch, torch.Generator().manual_seed(step))
        torch.testing.assert_close(loss, 4 * terms["warmup_point_colour"] + 6 * terms["warmup_point_depth"])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        errors.append(torch.stack(list(terms.values())).detach())
    first, last = torch.stack(errors[:3]).mean(0), torch.stack(errors[-3:]).mean(0)
    assert (last < 0.5 * first)[:2].all(), (first, last)


def test_drawn_heads_have_points_instead_of_drawn_depth(heads):
    state, warmup = warmup_of(heads, recipe(surface_points=16, warmup_kimg=1.0))
    batch = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4))
    known = warmup.reconstruction(batch, torch.Generator().manual_seed(0))
    assert "warmup_depth" not in known.terms
    _, plain = warmup_of(heads, recipe(warmup_kimg=1.0))
    plain.phases.generator.load_state_dict(state.generator.state_dict())
    without = plain.reconstruction(batch, torch.Generator().manual_seed(0))
    colour, depth = (known.terms[f"warmup_point_{name}"] for name in ("colour", "depth"))
    expected = without.loss - 3 * without.terms["warmup_depth"] + 4 * colour + 6 * depth
    assert known.terms["warmup_point_opening"] == 0  # nobody has eyes
    torch.testing.assert_close(known.loss, expected)


def test_parts_that_do_not_learn_have_no_points(heads):
    settings = {"surface_points": 16, "warmup_kimg": 1.0, "kimg": 1.0}
    _, warmup = warmup_of(heads, recipe(parts_alone="hair", **settings))
    batch = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4))
    hair = (batch.masks == 7)[:, None]
    terms, _ = warmup.surfaces(batch, torch.Generator().manual_seed(0))
    assert terms["warmup_point_colour"] == 0  # how strands run no parameter tells
    assert terms["warmup_point_depth"] > 0
    elsewhere = replace(batch, depths=torch.where(hair, batch.depths, 3.0 * (batch.depths > 0)))
    again, _ = warmup.surfaces(elsewhere, torch.Generator().manual_seed(0))
    assert torch.equal(again["warmup_point_depth"], terms["warmup_point_depth"])


def test_colours_seen_through_lenses_teach_nothing(heads):
    model = {"see_through": True}
    _, warmup = warmup_of(heads, recipe(None, model, surface_points=16, warmup_kimg=1.0))
    batch = next(heads.batches(recipe(warmup_kimg=1.0), 0, 4))
    glasses = PORTRAIT.names.index("glasses")
    batch = replace(batch, masks=torch.where(batch.masks == 1, glasses, batch.masks).to(torch.uint8))
    lenses = (batch.masks == glasses)[:, None]
    terms, _ = warmup.surfaces(batch, torch.Generator().manual_seed(0))
    other = replace(batch, images=torch.where(lenses, 255 - batch.images, batch.images))
    again, _ = warmup.surfaces(other, torch.Generator().manual_seed(0))
    assert torch.equal(again["warmup_point_colour"], terms["warmup_point_colour"])
    assert terms["warmup_point_colour"] > 0  # of cloth


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {"surface_points": -1}, "surface_points must lie between 0 and 65536, got -1"),
        ({}, {"surface_points": 4}, "surface_points needs known heads"),
        ({"sheets": 2}, POINTS, r"needs parts of one smooth sheet each in space: model\.lifting=depth"),
        ({"parts": "one"}, POINTS, "needs parts of one smooth sheet each in space"),
        ({"lifting": "none"}, POINTS, "needs parts of one smooth sheet each in space"),
        ({"depth_trunk": "shape"}, POINTS, "needs parts of one smooth sheet each in space"),
        ({}, {"points_alone": True, "warmup_kimg": 0.016}, "points_alone draws no heads"),
        ({}, {**POINTS, "points_alone": True, "warmup_kimg": 0.004}, "points_alone draws no heads"),
        ({}, {**POINTS, "points_alone": True, "critic_weight": 0.1}, "points_alone draws no heads"),
        ({}, {**POINTS, "backdrop_alone": True}, "surface_points needs known heads"),
    ],
)
def test_settings_that_cannot_work_are_named(model, training, message):
    with pytest.raises(SsganError, match=message):
        recipe(None, model, **training)


def test_points_need_depth_and_points_alone_first_weights(heads, tmp_path):
    with pytest.raises(SsganError, match="surface_points needs depth, which the data lacks"):
        warmup_of(heads, recipe(surface_points=4, warmup_kimg=1.0), has_depth=False)
    with pytest.raises(SsganError, match="points_alone keeps what first weights know"):
        train(heads, recipe(None, points_alone=True, **POINTS), tmp_path / "run", device=CPU)


def test_points_alone_may_leave_depths(heads, tmp_path):
    """Looks are learnt as they are beside depths: neither hears of the other."""
    first = train(heads, recipe(None, kimg=0.004, warmup_kimg=0.004), tmp_path / "first", device=CPU)
    origin, found = FromModel.open(first.model), []
    for name, keep in (("both", False), ("looks", True)):
        config = recipe(None, points_alone=True, keep_depths=keep, **POINTS)
        found.append(
            load_model(train(heads, config, tmp_path / name, device=CPU, origin=origin).model).tensors
        )
    both, looks = found
    kept = {name for name in both if not torch.equal(both[name], looks[name])}
    assert kept
    assert all(name.startswith(("parts.depth_layers.", "parts.to_depth.")) for name in kept), kept
    before = load_model(first.model).tensors
    assert all(torch.equal(looks[name], before[name]) for name in kept)
    assert not torch.equal(looks["parts.to_features.weight"], before["parts.to_features.weight"])
