"""The critic: whom its losses teach, that it learns at once, and that it leaves alone what `ssgan evaluate` reads."""

import math

import pytest
import torch

from ssgan_core.layers import gaussian_blur
from ssgan_core.model.critic import Critic

CPU = torch.device("cpu")


@pytest.fixture
def critic():
    torch.manual_seed(0)
    return Critic(CPU)


def pictures(count: int, seed: int) -> torch.Tensor:
    """Smooth blobs with edges, [count, 3, 64, 64] in [-1, 1]."""
    noise = torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    return gaussian_blur(noise, 3.0).sign() * 0.8


def test_pictures_that_are_alike_cannot_be_told_apart(critic):
    truth = pictures(2, 0)
    pair = critic.look(truth, truth)
    loss, right = critic.loss(pair)
    # softplus(0) on both levels, whatever the weights.
    assert loss.item() == pytest.approx(2 * math.log(2), abs=1e-5)
    assert critic.generator_loss(pair).item() == pytest.approx(2 * math.log(2), abs=1e-5)
    assert right.item() == 0


def test_maps_lie_at_strides_four_and_eight_and_are_scaled_by_the_truth(critic):
    pair = critic.look(pictures(2, 0), pictures(2, 1))
    assert [tuple(maps.shape[2:]) for maps in pair.drawn] == [(16, 16), (8, 8)]
    for maps in pair.true:
        assert maps.mean().item() == pytest.approx(1)
        assert not maps.requires_grad


def test_each_side_learns_from_its_own_loss_alone(critic):
    drawn = pictures(2, 0).requires_grad_()
    pair = critic.look(drawn, pictures(2, 1))
    critic.generator_loss(pair).backward(retain_graph=True)
    assert drawn.grad is not None
    assert drawn.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in critic.parameters())
    drawn.grad = None
    critic.loss(pair)[0].backward()
    assert drawn.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


def test_blur_is_told_from_truth_within_few_steps_and_mending_it_pays(critic):
    optimiser = torch.optim.Adam(critic.parameters(), 0.002, (0.0, 0.99))
    for step in range(20):
        truth = pictures(4, step)
        optimiser.zero_grad()
        critic.loss(critic.look(gaussian_blur(truth, 1.0), truth))[0].backward()
        optimiser.step()
    truth = pictures(4, 100)
    with torch.no_grad():
        blurred, better = (critic.look(gaussian_blur(truth, sigma), truth) for sigma in (1.0, 0.5))
        assert critic.loss(blurred)[1] > 0.8
        assert critic.generator_loss(better) < critic.generator_loss(blurred)


def test_the_parser_is_frozen_and_not_kept(critic):
    assert {name.split(".")[0] for name in critic.state_dict()} == {"heads"}
    critic.generator_loss(critic.look(pictures(1, 0).requires_grad_(), pictures(1, 1))).backward()
    assert not any(p.requires_grad for p in critic._parser.network.parameters())
