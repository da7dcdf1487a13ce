"""Which options z chooses: by hand, as often as told, and exactly whatever the precision around."""

from statistics import NormalDist

import numpy as np
import pytest
import torch

from ssgan_core.model import mapping as mapping_module
from ssgan_core.model.choices import Choices
from ssgan_core.model.mapping import Mapping

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


def test_truncation_keeps_choices_and_averages_the_rest(monkeypatch):
    torch.manual_seed(0)
    mapping = Mapping(LATENT, 2, choices=5).requires_grad_(False)
    described(mapping.choices)
    chosen_w = torch.randn(5, LATENT)
    monkeypatch.setattr(
        mapping_module, "_MEASURED", 2**18
    )  # groups of options are independent, but not in few z
    monkeypatch.setattr(mapping, "forward", lambda z: mapping.choices(z) @ chosen_w + 2)
    mapping.measure()
    monkeypatch.undo()
    z = torch.randn(400, LATENT)
    with torch.autocast("cpu", torch.bfloat16):  # as trainings call it
        assert mapping(z, 0.5).dtype == torch.float32
    centres = mapping(z, 0.0)
    torch.testing.assert_close(centres, mapping.choices(z) @ chosen_w + 2, atol=0.02, rtol=0)
    assert len(torch.unique((centres * 1e4).round(), dim=0)) == 6  # the combinations of two and three options
    torch.testing.assert_close(mapping(z, 0.5), (mapping(z) + centres) / 2)


def test_means_are_those_of_the_layers_as_they_are():
    torch.manual_seed(0)
    mapping = Mapping(LATENT, 2, choices=5).requires_grad_(False)
    described(mapping.choices)
    z = torch.randn(32768, LATENT, generator=torch.Generator().manual_seed(0))  # those that it measures
    for _ in range(2):  # measured again, nothing is left of the first
        mapping.layers[0].weight.mul_(-1.5)
        mapping.measure()
        w, chosen = mapping(z), mapping.choices.chosen(z)
        torch.testing.assert_close(mapping.mean, w.mean(0), atol=1e-4, rtol=0)
        for option in range(5):
            means = mapping.mean + mapping.choice_means[option]
            torch.testing.assert_close(means, w[chosen[:, option]].mean(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [0, 3])
def test_only_as_many_weights_as_choices(count):
    names = {name for name, _ in Mapping(LATENT, 2, choices=count).named_parameters()}
    assert ("from_choices.weight" in names) == bool(count)
