"""Points of heads that the frames were not made of, brought to the mean head."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ssgan_core.heads import frames
from ssgan_core.heads.bust import build_bust
from ssgan_core.heads.frames import eye_points, frame_layout, visible_vertices, worn, worn_layout
from ssgan_core.heads.latent import choice_layout, odd_numbers, option_numbers, population_numbers
from ssgan_core.heads.sampler import HATS, NECKLINES, traits
from ssgan_core.model.frames import RANK, SIDE, WORN_RANK, WORN_SIDE
from ssgan_core.parts import HEAD_WINDOW

PIXEL = 0.0025  # world units of a portrait of 256 pixels


@pytest.fixture(scope="module")
def layout():
    return frame_layout(HEAD_WINDOW, SIDE, RANK)


@pytest.fixture(scope="module")
def others():
    """People beyond those that frames are made of: busts and what the frames are told of them."""
    people, numbers, whitening = population_numbers(430)
    told = np.concatenate([numbers @ whitening, np.ones((430, 1))], axis=1)[400:]
    return people[400:], [build_bust(person) for person in people[400:]], told


def displacement(layout, frame, told, points):
    """By how much points [V, 2] of the head that is told moved; of a FrameLayout or a WornLayout."""
    fields = np.einsum("n,nr,rcyx->cyx", told, layout.shares[frame], layout.fields[frame])
    at = torch.from_numpy(points * [1, -1] / HEAD_WINDOW[2]).float()
    found = F.grid_sample(torch.from_numpy(fields).float()[None], at[None, None], align_corners=False)
    return found[0, :, 0].T.numpy()


def test_sizes(layout):
    numbers = len(odd_numbers())
    assert layout.shares.shape == (2, numbers + 1, RANK)
    assert layout.fields.shape == (2, RANK, 2, SIDE, SIDE)
    assert layout.shares.dtype == layout.fields.dtype == np.float32


def test_points_of_other_heads_come_to_lie_on_the_mean_head(layout, others):
    people, busts, told = others
    mean = np.mean([bust.points for bust in busts], axis=0)
    seen = visible_vertices(mean)
    face = seen[(np.abs(mean[seen, 0]) < 0.17) & (np.abs(mean[seen, 1]) < 0.2)]
    assert len(face) > 1000
    bodies = np.stack([bust.points[face, :2] for bust in busts])
    eyes = np.stack([eye_points(bust, person) for bust, person in zip(busts, people, strict=True)])
    for frame, (points, most) in enumerate(((bodies, 1.0), (eyes, 0.6))):
        moved = [displacement(layout, frame, *pair) for pair in zip(told, points, strict=True)]
        spread, left = (np.linalg.norm(x - x.mean(axis=0), axis=2).mean() for x in (points, points - moved))
        assert spread > 2 * PIXEL
        assert left < most * PIXEL


@pytest.fixture(scope="module")
def wardrobe():
    """Caps and crew necks: frames of all kinds take most of a minute."""
    few = (("neckline", (NECKLINES.index("crew"),), "cloth"), ("hat", (HATS.index("cap"),), "hat"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_WARDROBE", few)
        return few, worn_layout(HEAD_WINDOW, WORN_SIDE, WORN_RANK)


def test_points_of_other_hats_and_clothes_come_to_lie_on_the_mean_one(wardrobe, layout, others):
    """And nearer than by the body's frame, which does not know how high a hat sits."""
    few, kinds = wardrobe
    people, busts, told = others
    for number, (trait, (kind,), name) in enumerate(few):
        pieces = [worn(person, bust, trait, kind) for person, bust in zip(people, busts, strict=True)]
        assert kinds.classes[number] == name == pieces[0].material.name.lower()
        points = frames._outside(pieces)
        points = points[:, (np.abs(points.mean(axis=0)) < 0.25).all(axis=1)]
        assert points.shape[1] > 100
        errors = {}
        for source, frame in ((kinds, number), (layout, 0)):
            left = points - [displacement(source, frame, *pair) for pair in zip(told, points, strict=True)]
            errors[id(source)] = np.median(np.linalg.norm(left - left.mean(axis=0), axis=2))
        spread = np.median(np.linalg.norm(points - points.mean(axis=0), axis=2))
        assert errors[id(kinds)] < 0.45 * spread
        assert errors[id(kinds)] < 0.9 * errors[id(layout)]


def test_every_kind_is_an_option_of_its_trait():
    for trait, kinds, name in frames._WARDROBE:
        assert name in ("cloth", "hat")
        numbers = option_numbers(trait)
        assert len(numbers) == len({"neckline": NECKLINES, "hat": HATS}[trait])
        assert set(kinds) <= set(range(len(numbers)))
        groups = choice_layout().groups
        assert set(groups[list(numbers)]) == {groups[numbers[0]]}
        assert (groups == groups[numbers[0]]).sum() == len(numbers)
    assert sum(len(kinds) for _, kinds, _ in frames._WARDROBE) == 9
    with pytest.raises(KeyError):
        option_numbers("age_of_hat")


def test_a_mirrored_head_moves_as_a_mirror_image(layout, others):
    _, _, whitening = population_numbers(1)
    numbers = np.random.default_rng(0).standard_normal(len(whitening))
    mirrored = np.where(odd_numbers(), -numbers, numbers)
    for frame in (0, 1):
        fields = [
            np.einsum(
                "n,nr,rcyx->cyx", np.append(x @ whitening, 1.0), layout.shares[frame], layout.fields[frame]
            )
            for x in (numbers, mirrored)
        ]
        reflected = fields[0][..., ::-1] * np.array([-1, 1])[:, None, None]
        assert np.abs(fields[0] - fields[1]).max() > 2 * PIXEL
        assert np.abs(reflected - fields[1]).max() < 0.35 * np.abs(fields[0] - fields[1]).max()


def test_numbers_of_sides_are_those_that_a_mirror_changes():
    names = [spec.name for spec in traits() if "choices" not in spec.metadata]
    odd = {name for name, is_odd in zip(names, odd_numbers(), strict=True) if is_odd}
    assert odd == {
        "skew_jaw", "skew_nose", "skew_mouth", "skew_brows", "smirk", "gaze_yaw", "body_yaw", "light_yaw", "hair_part",
    }  # fmt: skip
