"""Fewer rays and coarser maps at first: which steps see them, and that real examples are made alike."""

import pytest
import torch
from recipes import networks, recipe

from ssgan_core import losses
from ssgan_core.layers import box_average, resize_bilinear
from ssgan_core.model.generator import Generator, Output, PartMaps
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs
from ssgan_core.training.data import Batch
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.loop import train
from ssgan_core.training.origin import FromModel
from ssgan_core.training.phases import Phases
from ssgan_core.training.warmup import Warmup

CPU = torch.device("cpu")
FINAL = {"render_resolution": 16, "part_resolution": 24}
GROWING = {"render_start": 8, "render_kimg": 0.012, "part_start": 8, "part_kimg": 0.012}


@pytest.fixture
def rendered(monkeypatch):
    """Sides of rays and maps, in order of first use: by the network that trains (True), and by the average."""
    seen = {True: [], False: []}
    honest = Generator.render

    def noting(self, maps, *arguments, **options):
        sides = self.render_side, maps.depth.shape[-1]
        if sides not in seen[self.training]:
            seen[self.training].append(sides)
        return honest(self, maps, *arguments, **options)

    monkeypatch.setattr(Generator, "render", noting)
    return seen


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_steps_grow_and_looks_do_not(heads, tmp_path, rendered, warmup):
    config = recipe(model=FINAL, warmup_kimg=warmup, **GROWING)
    train(heads, config, tmp_path / "run", device=CPU)
    assert rendered == {True: [(8, 8), (8, 16), (16, 24)], False: [(16, 24)]}
    rows = runs.read_stats(tmp_path / "run")
    assert [(row["render_side"], row["part_side"]) for row in rows] == [(8, 8), (8, 16), (16, 24)]


def test_growth_goes_on_from_the_weights_age(heads, tmp_path, rendered):
    config = recipe(model=FINAL, kimg=0.008, **GROWING)
    train(heads, config, tmp_path / "first", device=CPU)
    rendered[True].clear()
    origin = FromModel.open(tmp_path / "first")
    train(heads, config, tmp_path / "second", device=CPU, origin=origin)
    assert rendered[True] == [(8, 16), (16, 24)]


@pytest.fixture
def coarse(heads):
    """Phases whose generator casts half the rays a side, and a batch."""
    config = recipe(model=FINAL, warmup_kimg=1.0)
    generator, discriminator = networks(config)
    generator.set_sides(8, 24)
    phases = Phases(config, generator, discriminator, True, CPU)
    return phases, next(heads.batches(config, 0, 4))


def test_real_examples_are_as_coarse_as_generated_ones(coarse):
    phases, batch = coarse
    images, masks, labels = phases.real(batch, 0)
    assert torch.equal(labels, batch.labels)
    full = batch.normalised_images()
    assert torch.equal(images[:, :3], full)
    torch.testing.assert_close(images[:, 3:], resize_bilinear(box_average(full, 8), 16))
    ids = losses.real_mask_channels(batch.masks, 13, 8, phases.config.training.label_smoothing)
    expected = losses.judged_masks(resize_bilinear(ids, 16), phases.schedule.mask_blur(0))
    torch.testing.assert_close(masks[:, :13], expected)
    depth = losses.real_depth_channel(batch.depths, 8)
    torch.testing.assert_close(masks[:, 13:], resize_bilinear(depth, 16))
    phases.generator.set_sides(16, 24)
    assert torch.equal(phases.real(batch, 0).images[:, 3:], full)


def test_known_heads_are_compared_as_coarse_as_they_are_rendered(coarse, heads):
    phases, batch = coarse
    facts = gather_facts(heads, 24, True)
    warmup = Warmup(phases, 1, facts.part_areas, facts.labels)
    output = phases.generator(phases.draw_codes(4, torch.Generator().manual_seed(0)), batch.labels)
    low = resize_bilinear(box_average(batch.normalised_images(), 8), 16)
    terms = warmup.losses(output, batch)
    expected = (output.image - batch.normalised_images()).abs().mean() + (output.low_image - low).abs().mean()
    assert terms["warmup_image"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("weight", "part", "seen"), [(0.0, "hair", 1), (1.0, "hair", 0), (1.0, "eyes", 1)])
def test_the_course_of_details_that_no_parameter_tells_costs_nothing(heads, weight, part, seen):
    """Pictures that differ from the truth in stripes finer than a 16th of their side, and not in the mean of any."""
    config = recipe(model={"resolution": 128, "render_resolution": 64}, texture_weight=weight, truth_kimg=1.0)
    phases = Phases(config, *networks(config), True, CPU)
    facts = gather_facts(heads, 8, True)
    warmup = Warmup(phases, 1, facts.part_areas, facts.labels)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(64, 192, (2, 3, 128, 128), generator=rng, dtype=torch.uint8)
    ids = torch.full((2, 128, 128), PORTRAIT.names.index(part), dtype=torch.uint8)
    nothing = torch.zeros(2, 1, 128, 128)
    batch = Batch(images, ids, nothing, torch.from_numpy(heads.labels[:2]), *torch.zeros(2, 2))
    stripes = torch.tensor([0.2, 0.2, -0.2, -0.2]).repeat(32)

    def found(change):
        image = batch.normalised_images() + change
        masks = torch.eye(13)[0][:, None, None].expand(2, 13, 64, 64)
        output = Output(image, masks, nothing[..., :64, :64], box_average(image, 64), masks)
        terms = warmup.losses(output, batch)
        return [terms[f"warmup_{name}"].item() for name in ("image", "square", "gradient")]

    # An edge at every second pixel, then at every one.
    assert found(stripes) == pytest.approx([seen * x for x in (0.4, 0.08, 0.4 * (63 / 127 + 1))], abs=1e-5)
    # Another colour everywhere costs as much in pixels, and at either size four times that at the side of 16.
    told = seen + 4 * bool(weight)
    assert found(0.2) == pytest.approx([told * x for x in (0.4, 0.08, 0.0)], abs=1e-5)


@pytest.mark.parametrize(("fringes", "reach"), [(False, 0), (True, 2)])
def test_single_strands_may_lie_around_hair_where_they_are_drawn(heads, fringes, reach):
    """Stripes over skin left of hair: in the two columns next to it, a 64th of the side, they cost nothing."""
    model = {"resolution": 128, "render_resolution": 64, "detail_octaves": 2, "fringes": fringes}
    config = recipe(model=model, texture_weight=1.0, truth_kimg=1.0)
    phases = Phases(config, *networks(config), True, CPU)
    warmup = Warmup(phases, 1, torch.full((13,), 0.1), torch.from_numpy(heads.labels))
    ids = torch.full((1, 128, 128), PORTRAIT.names.index("skin"), dtype=torch.uint8)
    ids[..., 64:] = PORTRAIT.names.index("hair")
    told = warmup._told(ids)[0, 0]
    assert told[:, : 64 - reach].all()
    assert not told[:, 64 - reach :].any()


def test_textures_do_not_teach_where_codes_tell_every_line_nor_a_critic_where_parts_are_small(heads):
    config = recipe(model={"resolution": 128, "render_resolution": 64}, texture_weight=1.0, truth_kimg=1.0)
    phases = Phases(config, *networks(config), True, CPU)
    warmup = Warmup(phases, 1, torch.full((13,), 0.1), torch.from_numpy(heads.labels))
    ids = torch.ones(1, 128, 128, dtype=torch.uint8)
    ids[:, 40:50, 40:60] = PORTRAIT.names.index("brows")
    ids[:, 100:, 40:60] = PORTRAIT.names.index("hair")
    ids[:, 80:90, 40:60] = PORTRAIT.names.index("cloth")
    small = torch.zeros(128, 128, dtype=torch.bool)
    small[38:52, 38:62] = True  # a 64th of the side around
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    seen = warmup._but_small(image, ids)
    assert torch.equal(seen, image)
    seen.sum().backward()
    assert (image.grad[0, :, small] == 0).all()
    assert (image.grad[0, :, ~small] == 1).all()
    # Stripes far within the brows, or as many on skin, in place of a plain colour.
    zero = torch.zeros(1, 1, 128, 128)
    images = torch.full((1, 3, 128, 128), 128, dtype=torch.uint8)

    def cost(part):
        all_of_it = torch.full_like(ids, PORTRAIT.names.index(part))
        batch = Batch(images, all_of_it, zero, torch.from_numpy(heads.labels[:1]), *torch.zeros(2, 1))
        drawn = batch.normalised_images()
        drawn[..., 60:64, 40:60:2] += 0.3
        masks = torch.eye(13)[0][:, None, None].expand(1, 13, 64, 64)
        output = Output(drawn, masks, zero[..., :64, :64], box_average(drawn, 64), masks)
        return warmup.losses(output, batch)["warmup_texture"].item()

    assert cost("brows") == cost("eyes") == cost("cloth") == cost("hat") == 0
    assert cost("skin") > 0.01


def test_rare_parts_weigh_more_and_are_not_drawn_larger(heads):
    """Pixels of which a quarter is eyes: no other share of them costs less, however rare eyes are."""
    config = recipe(model={"resolution": 128, "render_resolution": 64}, truth_kimg=1.0)
    phases = Phases(config, *networks(config), True, CPU)
    areas = torch.full((13,), 1e-4)
    areas[1], areas[2] = 1.0, 0.002
    warmup = Warmup(phases, 1, areas, gather_facts(heads, 8, True).labels)
    ids = torch.ones(1, 128, 128, dtype=torch.uint8)
    ids[:, ::2, ::2] = 2
    nothing = torch.zeros(1, 1, 128, 128)
    images = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    batch = Batch(images, ids, nothing, torch.from_numpy(heads.labels[:1]), *torch.zeros(2, 1))

    def cost(eyes):
        masks = torch.zeros(1, 13, 64, 64)
        masks[:, 1], masks[:, 2] = 1 - eyes, eyes
        output = Output(
            batch.normalised_images(), masks, nothing[..., :64, :64], torch.zeros(1, 3, 64, 64), masks
        )
        return warmup.losses(output, batch)["warmup_masks"].item()

    assert cost(0.25) < min(cost(0.2), cost(0.3))


def test_curvature_means_the_same_at_any_side(coarse):
    phases, _ = coarse
    found = []
    for size in (12, 24):
        x = (torch.arange(size) + 0.5) / size
        bowl = (0.3 * x**2 - 0.2 * x[:, None] ** 2).expand(1, len(PORTRAIT.foreground), size, size)
        maps = PartMaps(bowl, bowl, bowl, torch.full_like(bowl, 20), bowl, bowl)
        found.append(phases.curvature(maps).item())
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert found[0] > 0
