"""A head's numbers in its codes: by hand, as random heads have them, and kept apart from w."""

import pytest
import torch

from ssgan_core.model.mapping import Mapping
from ssgan_core.model.traits import KNOTS, Traits

LATENT = 6
ODD = torch.tensor([False, True])


def described(traits):
    """The first number of z as it is ranked; and the second, squared ranks, of which the first is taken away."""
    ranks = torch.linspace(0, 1, KNOTS)
    quantiles = torch.stack([ranks - 0.5, ranks.square()])
    traits.describe(torch.eye(2, 3), quantiles, torch.tensor([[1.0, -1.0], [0.0, 2.0]]), ODD)
    return traits


def rank(number):
    return 0.5 * (1 + torch.erf(torch.tensor(number / 2**0.5))).item()


def test_numbers_are_read_off_the_ranks_and_mixed():
    traits = described(Traits(2, LATENT))
    z = torch.zeros(3, LATENT)
    z[0, :2] = torch.tensor([0.0, 0.0])
    z[1, :2] = torch.tensor([0.7, -0.3])
    z[2, :2] = torch.tensor([40.0, -40.0])  # beyond every head
    first = [0.0, rank(0.7) - 0.5, 0.5]
    second = [0.25, rank(-0.3) ** 2, 0.0]
    wanted = torch.tensor([[a, 2 * b - a] for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(traits(z), 4 * wanted, atol=4e-4, rtol=0)


def test_numbers_of_sides_are_told_as_mirrored_heads_show_them():
    blind, seeing = described(Traits(2, LATENT)), described(Traits(2, LATENT, as_seen=True))
    z = torch.randn(40, LATENT, generator=torch.Generator().manual_seed(0))
    mirrored = z.clone()
    mirrored[:, 3] = -z[:, 3]  # after the three numbers that are known
    assert torch.equal(blind(mirrored), blind(z))
    side = torch.where(z[:, 3] < 0, -1.0, 1.0)[:, None]
    # Told are the first, less the second in the first's place; and twice the second.
    numbers = blind(z) @ torch.linalg.inv(blind.whitening)
    for told, sign in ((seeing(z), side), (seeing(mirrored), -side)):
        found = told @ torch.linalg.inv(seeing.whitening)
        torch.testing.assert_close(found[:, :1], numbers[:, :1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[:, 1:], sign * numbers[:, 1:], atol=1e-5, rtol=1e-5)


def test_low_precision_around_it_says_the_same():
    traits = described(Traits(2, LATENT))
    z = torch.randn(50, LATENT, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        low = traits(z)
    assert torch.equal(low, traits(z))


def test_codes_are_w_and_then_the_traits():
    torch.manual_seed(0)
    plain, told = Mapping(LATENT, 2), Mapping(LATENT, 2, traits=2)
    told.load_state_dict({**told.state_dict(), **dict(plain.named_parameters())})
    assert not told.traits.known
    described(told.traits)
    assert told.traits.known
    z = torch.randn(64, LATENT)
    codes = told(z)
    torch.testing.assert_close(codes[:, :LATENT], plain(z))
    torch.testing.assert_close(codes[:, LATENT:], told.traits(z))


def test_truncation_moves_traits_to_their_means():
    torch.manual_seed(0)
    mapping = Mapping(LATENT, 2, traits=2).requires_grad_(False)
    described(mapping.traits)
    mapping.measure()
    # A mean rank is one half; of its square one third, twice, less the first.
    torch.testing.assert_close(mapping.mean[LATENT:], torch.tensor([0.0, 4 * 2 / 3]), atol=0.03, rtol=0)
    z = torch.randn(5, LATENT)
    torch.testing.assert_close(mapping(z, 0.0), mapping.mean.expand(5, -1))
    torch.testing.assert_close(mapping(z, 0.5), (mapping(z) + mapping.mean) / 2)


@pytest.mark.parametrize("count", [0, 3])
def test_only_as_many_as_told(count):
    mapping = Mapping(LATENT, 2, traits=count)
    assert mapping(torch.randn(2, LATENT)).shape == (2, LATENT + count)
    assert len(list(mapping.parameters())) == len(
        list(Mapping(LATENT, 2).parameters())
    )  # nothing is learnt of them
