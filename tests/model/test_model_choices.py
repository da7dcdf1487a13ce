"""Which options z chooses: by hand, as often as told, and exactly whatever the precision around."""

from statistics import NormalDist

import numpy as np
import pytest
import torch

from ssgan_core.model.choices import Choices
from ssgan_core.model.mapping import Mapping
from ssgan_core.model.traits import LOUDNESS

LATENT = 8
SHARES = [0.9, 0.1, 0.2, 0.3, 0.5]
GROUPS = [0, 0, 1, 1, 1]


def described(choices):
    """Two groups, of two and of three options, whose scores are the first five numbers of z."""
    choices.describe(torch.eye(5), torch.tensor(SHARES), torch.tensor(GROUPS))
    return choices


def by_hand(z):
    gumbel = -np.log(-np.log([NormalDist().cdf(float(x)) for x in z[:5]]))
    values = np.log(SHARES) + gumbel
    return int(values[:2].argmax()), 2 + int(values[2:].argmax())


def test_the_largest_of_each_group_is_chosen():
    choices = described(Choices(5, LATENT))
    z = torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0))
    told = choices(z)
    rows = [tuple(row.nonzero()[:, 0].tolist()) for row in told > 0]
    assert rows == [by_hand(row) for row in z]
    shares = torch.tensor(SHARES)
    chosen = (told > 0).float()
    torch.testing.assert_close(told, (chosen - shares) / shares.sqrt())
    assert len(set(rows)) == 6


def test_options_come_as_often_as_their_shares_say():
    told = described(Choices(5, LATENT))(
        torch.randn(20_000, LATENT, generator=torch.Generator().manual_seed(1))
    )
    torch.testing.assert_close((told > 0).float().mean(0), torch.tensor(SHARES), atol=0.01, rtol=0)
    torch.testing.assert_close(told.mean(0), torch.zeros(5), atol=0.03, rtol=0)


def test_codes_tell_the_kinds_that_are_worn():
    """The options 2 and 4 are kinds; they stand behind traits, which nobody described, and before what lies behind."""
    mapping = Mapping(LATENT, 2, choices=5, traits=3, backdrop=2, worn=2).requires_grad_(False)
    described(mapping.choices)
    mapping.choices.describe_worn(torch.tensor([2, 4]))
    z = torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0))
    codes = mapping(z)
    assert codes.shape == mapping.mean.expand(200, -1).shape == (200, LATENT + 3 + 2 + 2)
    expected = torch.tensor([[by_hand(row)[1] == option for option in (2, 4)] for row in z])
    assert torch.equal(codes[:, LATENT + 3 : -2], LOUDNESS * expected.float())
    assert torch.equal(codes[:, -2:], LOUDNESS * z[:, -2:])
    assert torch.equal(mapping(z, 0.5)[:, LATENT + 3 : -2], LOUDNESS * expected.float())  # half a hat is none
    assert expected.sum(0).min() > 10


def test_low_precision_around_it_and_extreme_numbers_choose_the_same():
    choices = described(Choices(5, LATENT))
    z = torch.randn(2000, LATENT, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(choices(z), choices(z).float())
        low = choices(z)
    assert torch.equal(low, choices(z))
    assert choices(torch.tensor([[50.0, -50, 0, 0, 0, 0, 0, 0]])).isfinite().all()


def test_a_mapping_hears_of_choices_and_without_weights_is_one_of_z_alone():
    torch.manual_seed(0)
    plain, told = Mapping(LATENT, 2), Mapping(LATENT, 2, choices=5)
    told.load_state_dict(plain.state_dict(), strict=False)
    described(told.choices)
    assert not Mapping(LATENT, 2, choices=5).choices.known
    assert told.choices.known
    z = torch.randn(64, LATENT)
    assert not torch.allclose(plain(z), told(z))
    torch.nn.init.zeros_(told.from_choices.weight)
    torch.testing.assert_close(plain(z), told(z))


def test_truncation_keeps_what_z_chooses_and_shrinks_the_rest():
    """Along directions that are neither of unit length nor at right angles, as whitening leaves them."""
    choices = Choices(5, LATENT)
    directions = torch.eye(5, 6) + 0.3 * torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    choices.describe(directions, torch.tensor(SHARES), torch.tensor(GROUPS))
    z = torch.randn(400, LATENT, generator=torch.Generator().manual_seed(4))
    with torch.autocast("cpu", torch.bfloat16):  # as trainings call it
        half, none = choices.truncated(z, 0.5), choices.truncated(z, 0.0)
    assert half.dtype == torch.float32
    for truncated in (half, none):
        torch.testing.assert_close(truncated @ choices.directions.T, z @ choices.directions.T)
        assert torch.equal(choices.chosen(truncated), choices.chosen(z))
    torch.testing.assert_close(half[:, 6:], z[:, 6:] / 2)
    torch.testing.assert_close(half, (z + none) / 2)
    # Five scores are all that is left: nothing is to be seen at right angles to them.
    assert torch.linalg.matrix_rank(none, rtol=1e-5) == 5
    assert none.norm() < z.norm()


def test_a_mapping_with_choices_truncates_z_and_one_without_codes():
    torch.manual_seed(0)
    told, plain = (Mapping(LATENT, 2, choices=count, backdrop=1).requires_grad_(False) for count in (5, 0))
    described(told.choices)
    for mapping in (told, plain):
        mapping.measure()
    z = torch.randn(100, LATENT)
    for psi in (0.0, 0.6):
        # The last number says what lies behind, which stays.
        expected = told(torch.cat([z[:, :5], psi * z[:, 5:-1], z[:, -1:]], dim=1))
        torch.testing.assert_close(told(z, psi), expected)
        expected = plain.mean + psi * (plain(z) - plain.mean)
        torch.testing.assert_close(plain(z, psi)[:, :-1], expected[:, :-1])
        assert torch.equal(plain(z, psi)[:, -1], plain(z)[:, -1])
    assert torch.equal(told(z, 1.0), told(z))


@pytest.mark.parametrize("count", [0, 3])
def test_only_as_many_weights_as_choices(count):
    names = {name for name, _ in Mapping(LATENT, 2, choices=count).named_parameters()}
    assert ("from_choices.weight" in names) == bool(count)
