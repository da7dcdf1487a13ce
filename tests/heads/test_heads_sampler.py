import dataclasses
from collections import Counter

import numpy as np

from ssgan_core.heads.sampler import (
    EARRINGS,
    GLASSES,
    HAIR_STYLES,
    HATS,
    VECTOR_SIZE,
    Identity,
    sample_identity,
)


def test_an_identity_depends_on_seed_and_index_alone():
    assert sample_identity(3, 8) == sample_identity(3, 8)
    assert len({sample_identity(seed, index) for seed in range(4) for index in range(4)}) == 16


def test_fields_are_plain_numbers():
    identity = sample_identity(0, 5)
    for spec in dataclasses.fields(Identity):
        assert type(getattr(identity, spec.name)) in (int, float), spec.name


def test_vector_is_standardised_over_the_population():
    vectors = np.stack([sample_identity(1, index).vector() for index in range(400)])
    assert vectors.dtype == np.float32
    assert vectors.shape == (400, VECTOR_SIZE)
    assert np.isfinite(vectors).all()
    assert np.abs(vectors.mean(axis=0)).max() < 1.3
    assert vectors.std(axis=0).max() < 2
    assert (vectors.std(axis=0) > 0).all()


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
