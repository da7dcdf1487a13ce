"""What leaks out of exchanged parts as a loss."""

import pytest
import torch
from recipes import recipe

from ssgan_core.model.generator import Generator
from ssgan_core.parts import PORTRAIT
from ssgan_core.synthesis import load_generator
from ssgan_core.training import exchange, runs
from ssgan_core.training.exchange import exchange_terms
from ssgan_core.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return Generator(recipe().model, PORTRAIT)


def terms_and_gradients(generator, heads):
    labels = torch.from_numpy(heads.labels)[:6]
    terms = exchange_terms(generator, labels, torch.Generator().manual_seed(1))
    sum(terms.values()).backward()
    return terms, {name: p.grad for name, p in generator.named_parameters()}


def test_leaks_teach_parts_and_upsampler_but_not_the_mapping(generator, heads):
    terms, gradients = terms_and_gradients(generator, heads)
    assert terms.keys() == {"leaked_image", "leaked_masks"}
    assert all(0 < value.item() < 1 for value in terms.values())
    assert gradients["upsampler.scales.0.first.weight"].abs().sum() > 0
    assert any(g is not None and g.abs().sum() > 0 for n, g in gradients.items() if n.startswith("parts."))
    assert all(g is None for n, g in gradients.items() if n.startswith("mapping."))


def test_nothing_leaks_where_heads_are_alike(generator, heads, monkeypatch):
    one = generator.map(torch.zeros(1, recipe().model.latent))
    monkeypatch.setattr(generator, "map", lambda z: one[[0] * len(z)])
    terms, gradients = terms_and_gradients(generator, heads)
    assert [value.item() for value in terms.values()] == [0, 0]
    assert all(g is None or g.isfinite().all() for g in gradients.values())


def test_what_changes_behind_lenses_is_no_leak(heads, monkeypatch):
    """Glasses cover the picture, so masks never show the part that is exchanged behind them."""
    torch.manual_seed(0)
    generator = Generator(recipe(model={"see_through": True}).model, PORTRAIT)
    layout = torch.full_like(generator.parts.layout_prior, -9.0)
    layout[[PORTRAIT.foreground_index("skin"), PORTRAIT.foreground_index("glasses")]] = 9.0
    generator.parts.set_layout(layout)
    generator.parts.to_clearness.bias.data.fill_(10.0)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(PORTRAIT.foreground_index("skin")))
    labels = torch.from_numpy(heads.labels)[:6]

    def leaked():
        return exchange_terms(generator, labels, torch.Generator().manual_seed(1))["leaked_image"].item()

    assert leaked() == 0
    monkeypatch.setattr(exchange, "_where", lambda output, parts: output.mask.argmax(1) == parts[0] + 1)
    assert leaked() > 0.1


def test_leaks_are_learnt_away(heads, tmp_path):
    result = train(heads, recipe(kimg=0.1, warmup_kimg=0.1, snapshot_kimg=0.1), tmp_path / "run", device=CPU)
    generator, _ = load_generator(result.model, CPU)
    generator.requires_grad_(True)
    labels = torch.from_numpy(heads.labels)

    def leaked():
        rng = torch.Generator().manual_seed(7)
        with torch.no_grad():
            found = [exchange_terms(generator, labels, rng)["leaked_masks"] for _ in range(40)]
        return sum(found).item() / len(found)

    before, rng = leaked(), torch.Generator().manual_seed(8)
    optimiser = torch.optim.Adam(generator.parameters(), 0.003, (0.0, 0.99))
    for _ in range(100):
        optimiser.zero_grad()
        sum(exchange_terms(generator, labels, rng).values()).backward()
        optimiser.step()
    after = leaked()
    assert after < 0.8 * before, (before, after)


def test_a_recipe_asks_for_it(heads, tmp_path):
    train(heads, recipe(warmup_kimg=0.008, exchange_weight=1.0), tmp_path / "run", device=CPU)
    rows = runs.read_stats(tmp_path / "run")[1:]
    # Rows of steps 1 and 2, 3 and 4: it is every fourth step, from the first.
    assert ["leaked_masks" in row for row in rows] == [True, False]
