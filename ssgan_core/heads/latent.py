"""Generating parameters as a generative model wants them: about normal, independent, of unit variance.

A generator that is warmed up on known heads is later fed with z drawn from N(0, I). So what it learns to read
must look like such a draw: numbers are replaced by the normal score of their rank in the population, choices by
scores of which the largest (after adding the choice's log share) decides, and the whole row is whitened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from ssgan_core.heads.sampler import Identity, sample_identity, traits

_POPULATION_SEED = 20_240_107  # any fixed one: it only fixes which sample the ranks refer to
_POPULATION = 2000
# Of a principal direction: below, whitening would blow up rounding; and, of numbers, what a random z has and no head.
_LEAST_VARIANCE = 0.01
_LEAST_VARIANCE_OF_NUMBERS = 0.05
_NORMAL = NormalDist()
_RANK_SCORES = np.array([_NORMAL.inv_cdf((rank + 0.5) / _POPULATION) for rank in range(_POPULATION)])


def latent_parameters(identity: Identity) -> np.ndarray:
    """The identity as a row of about N(0, I) [n], float32; the same for the same seed and index."""
    population = _population()
    return (_scores(identity, population) @ population.whitening).astype(np.float32)


@dataclass(frozen=True)
class ChoiceLayout:
    """How latent parameters [n] say which options a head chose: in every group the one with the largest sum of its
    share's logarithm and the Gumbel number whose normal score lies along its direction.

    Attributes:
        directions: [N, n] float32.
        shares: [N] float32, of the population.
        groups: [N] int64, from 0.
    """

    directions: np.ndarray
    shares: np.ndarray
    groups: np.ndarray


def choice_layout() -> ChoiceLayout:
    """The options of all traits that are choices, in the order of `traits`."""
    population = _population()
    directions, shares, groups = [], [], []
    for trait, rows in _score_directions(population):
        if trait.name in population.shares:
            directions.append(rows)
            groups += [len(shares)] * len(rows)
            shares.append(population.shares[trait.name])
    return ChoiceLayout(
        np.concatenate(directions).astype(np.float32),
        np.concatenate(shares).astype(np.float32),
        np.array(groups),
    )


def option_numbers(name: str) -> range:
    """Where the options of a trait stand among all of `choice_layout`."""
    first = 0
    for trait in traits():
        if trait.name == name:
            return range(first, first + trait.metadata["choices"])
        first += trait.metadata.get("choices", 0)
    raise KeyError(name)


@dataclass(frozen=True)
class NumberLayout:
    """How latent parameters [n] say a head's numbers: along a number's direction lies the normal score of its rank.

    Attributes:
        directions: [N, n] float32.
        quantiles: [N, knots] float32: the numbers at ranks from 0 to 1, less the population's mean, over its deviation.
        whitening: [N, N] float32: the product of a row of such numbers with it is uncorrelated over the population, and
            as near to them as can be. Red, green and blue rise together: without it, hues would hardly be told.
        odd: [N] bool, of which a mirror changes the sign.
    """

    directions: np.ndarray
    quantiles: np.ndarray
    whitening: np.ndarray
    odd: np.ndarray


def number_layout(knots: int) -> NumberLayout:
    """All traits that are numbers, in the order of `traits`; colours as sRGB, as pictures hold them."""
    population, values = _population(), _numbers()
    directions = [
        rows[0] for trait, rows in _score_directions(population) if trait.name not in population.shares
    ]
    quantiles = np.quantile(values, np.linspace(0, 1, knots), axis=0).T
    return NumberLayout(
        np.array(directions, np.float32),
        quantiles.astype(np.float32),
        _whitening_of_numbers().astype(np.float32),
        odd_numbers(),
    )


def odd_numbers() -> np.ndarray:
    """[N] bool, of which numbers a mirror changes the sign; in the order of `traits`."""
    return np.array([spec.metadata["odd"] for spec in traits() if "choices" not in spec.metadata])


def population_numbers(count: int) -> tuple[tuple[Identity, ...], np.ndarray, np.ndarray]:
    """So many people of the population, at most 2,000; their numbers [count, N], of mean 0 and variance 1 over the
    population; and the whitening of `number_layout` [N, N]."""
    return _people()[:count], _numbers()[:count], _whitening_of_numbers()


@lru_cache(maxsize=1)
def _numbers() -> np.ndarray:
    """All numbers of the population [people, N], less their means, over their deviations."""
    columns = []
    for trait in traits():
        if "choices" not in trait.metadata:
            column = np.array([getattr(person, trait.name) for person in _people()])
            columns.append(column ** (1 / 2.2) if trait.name.endswith(("_r", "_g", "_b")) else column)
    values = np.stack(columns, axis=1)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _whitening_of_numbers() -> np.ndarray:
    return _whitening(_numbers().T, _LEAST_VARIANCE_OF_NUMBERS)


@dataclass(frozen=True)
class _Population:
    """Sorted values of every number, shares of every choice, and what makes their scores uncorrelated."""

    values: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    whitening: np.ndarray


@lru_cache(maxsize=1)
def _people() -> tuple[Identity, ...]:
    return tuple(sample_identity(_POPULATION_SEED, index) for index in range(_POPULATION))


@lru_cache(maxsize=1)
def _population() -> _Population:
    people = _people()
    rng = np.random.default_rng(_POPULATION_SEED)
    values, shares = {}, {}
    columns: list[np.ndarray] = []
    for trait in traits():
        column = np.array([getattr(person, trait.name) for person in people])
        if choices := trait.metadata.get("choices"):
            counts = np.bincount(column, minlength=choices) + 0.5
            shares[trait.name] = counts / counts.sum()
            rows = [_choice_scores(rng, value, shares[trait.name]) for value in column.tolist()]
            columns += list(np.array(rows).T)
        else:
            values[trait.name] = np.sort(column)
            order = np.lexsort((rng.random(len(column)), column))  # equal values in random order
            scores = np.empty(len(column))
            scores[order] = _RANK_SCORES
            columns.append(scores)
    return _Population(values, shares, _whitening(np.stack(columns), _LEAST_VARIANCE))


def _score_directions(population: _Population) -> Iterator[tuple[Field[Any], np.ndarray]]:
    """Every trait with the rows [options, n], one for a number, along which latent parameters hold its scores."""
    scores, column = np.linalg.inv(population.whitening).T, 0
    for trait in traits():
        width = len(population.shares.get(trait.name, (0,)))
        yield trait, scores[column : column + width]
        column += width


def _whitening(columns: np.ndarray, least: float) -> np.ndarray:
    """[n, n] that makes rows uncorrelated and changes them least; of [n, people]."""
    variances, directions = np.linalg.eigh(np.cov(columns))
    gains = 1 / np.sqrt(np.maximum(variances, least))
    return (directions * gains) @ directions.T


def _scores(identity: Identity, population: _Population) -> np.ndarray:
    rng = np.random.default_rng([identity.seed, identity.index, _POPULATION_SEED])
    scores: list[float] = []
    for trait in traits():
        value = getattr(identity, trait.name)
        if trait.name in population.shares:
            scores += _choice_scores(rng, value, population.shares[trait.name])
        else:
            scores.append(_normal_score(rng, value, population.values[trait.name]))
    return np.array(scores)


def _normal_score(rng: np.random.Generator, value: float, ordered: np.ndarray) -> float:
    """Normal score of a value's rank; equal values (a trait that is absent) get a random rank among themselves."""
    low, high = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    rank = rng.uniform(low, high) if high > low + 1 else (low + high) / 2
    return _NORMAL.inv_cdf(float(np.clip((rank + 0.5) / (len(ordered) + 1), 1e-4, 1 - 1e-4)))


def _choice_scores(rng: np.random.Generator, chosen: int, shares: np.ndarray) -> list[float]:
    """Independent normal scores, one a choice, given which choice they led to.

    A choice with shares p is the argmax of log p_k + g_k with independent Gumbel g_k (Maddison et al., "A* Sampling",
    2014). Given the argmax, its value is a Gumbel draw and the others are Gumbel draws truncated below it.
    """
    locations = np.log(shares)
    largest = -np.log(rng.exponential())
    others = locations - np.log(np.exp(locations - largest) + rng.exponential(size=len(shares)))
    others[chosen] = largest
    uniform = np.exp(-np.exp(-(others - locations)))
    return [_NORMAL.inv_cdf(u) for u in np.clip(uniform, 1e-4, 1 - 1e-4).tolist()]
