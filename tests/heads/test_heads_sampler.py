import dataclasses
import itertools
from collections import Counter
from statistics import NormalDist

import numpy as np

from ssgan_core.heads.latent import _choice_scores, choice_layout, latent_parameters, number_layout
from ssgan_core.heads.sampler import (
    EARRINGS,
    GLASSES,
    HAIR_STYLES,
    HATS,
    Identity,
    sample_identity,
    traits,
)


def test_an_identity_depends_on_seed_and_index_alone():
    assert sample_identity(3, 8) == sample_identity(3, 8)
    assert len({sample_identity(seed, index) for seed in range(4) for index in range(4)}) == 16


def test_fields_are_plain_numbers():
    identity = sample_identity(0, 5)
    for spec in dataclasses.fields(Identity):
        assert type(getattr(identity, spec.name)) in (int, float), spec.name


def test_latent_parameters_look_like_independent_normal_numbers():
    rows = np.stack([latent_parameters(sample_identity(1, index)) for index in range(300)])
    assert rows.dtype == np.float32
    assert np.abs(rows.mean(axis=0)).max() < 0.25
    assert np.abs(rows.std(axis=0) - 1).max() < 0.25
    correlations = np.corrcoef(rows.T) - np.eye(rows.shape[1])
    assert np.sqrt((correlations**2).mean()) < 0.08


def test_latent_parameters_repeat_and_tell_people_apart():
    first, again, other = (latent_parameters(sample_identity(2, index)) for index in (7, 7, 8))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.5


def test_the_layout_reads_every_choice_off_the_latent_parameters():
    layout = choice_layout()
    starts = np.searchsorted(layout.groups, np.arange(layout.groups[-1] + 2))
    assert np.allclose(np.add.reduceat(layout.shares, starts[:-1]), 1)
    choices = [trait.name for trait in traits() if "choices" in trait.metadata]
    for index in range(100):
        person = sample_identity(4, index)
        scores = layout.directions @ latent_parameters(person)
        gumbel = -np.log(-np.log([NormalDist().cdf(float(score)) for score in scores]))
        values = np.log(layout.shares) + gumbel
        read = [int(values[a:b].argmax()) for a, b in itertools.pairwise(starts)]
        assert read == [getattr(person, name) for name in choices]


def test_the_layout_reads_every_number_off_the_latent_parameters():
    layout, knots = number_layout(129), np.linspace(0, 1, 129)
    numbers = [trait.name for trait in traits() if "choices" not in trait.metadata]
    people = [sample_identity(4, index) for index in range(150)]
    scores = np.stack([latent_parameters(person) for person in people]) @ layout.directions.T
    ranks = np.vectorize(NormalDist().cdf)(scores)
    read = np.stack([np.interp(ranks[:, k], knots, layout.quantiles[k]) for k in range(len(numbers))], 1)
    for k, name in enumerate(numbers):
        truth = np.array([getattr(person, name) for person in people])
        truth = truth ** (1 / 2.2) if name.endswith(("_r", "_g", "_b")) else truth
        assert np.corrcoef(truth, read[:, k])[0, 1] > 0.97, name
    white = read @ layout.whitening
    assert np.abs(white.mean(axis=0)).max() < 0.4
    assert np.abs(np.corrcoef(white.T) - np.eye(len(numbers))).mean() < 0.08
    # Brightness of a wall and its hue are told apart, though its red, green and blue rise together.
    red, green = (numbers.index(f"back_{channel}") for channel in "rg")
    assert np.corrcoef(read[:, red], read[:, green])[0, 1] > 0.7
    assert abs(np.corrcoef(white[:, red], white[:, green])[0, 1]) < 0.3


def test_choices_can_be_read_off_their_scores():
    """The largest of log share + Gumbel score is the choice, whatever was chosen."""
    shares = np.array([0.6, 0.3, 0.1])
    for chosen in range(3):
        for seed in range(20):
            normal = _choice_scores(np.random.default_rng(seed), chosen, shares)
            uniform = [NormalDist().cdf(score) for score in normal]
            gumbel = -np.log(-np.log(np.array(uniform)))
            assert np.argmax(np.log(shares) + gumbel) == chosen


def test_every_choice_occurs_about_as_often_as_meant():
    people = [sample_identity(0, index) for index in range(600)]
    assert set(Counter(person.hair_style for person in people)) == set(range(len(HAIR_STYLES)))
    for field, names, share in (
        ("glasses", GLASSES, 0.15),
        ("hat", HATS, 0.08),
        ("earrings", EARRINGS, 0.15),
    ):
        counts = Counter(getattr(person, field) for person in people)
        assert set(counts) == set(range(len(names)))
        assert abs(1 - counts[0] / len(people) - share) < 0.05, field


def test_nobody_wears_a_hat_over_hair_that_would_pierce_it():
    for person in (sample_identity(2, index) for index in range(600)):
        if HATS[person.hat] != "none":
            assert HAIR_STYLES[person.hair_style] not in ("afro", "buns", "quiff", "ponytail")
