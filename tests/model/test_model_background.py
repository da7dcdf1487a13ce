"""The background: waves as they are told, by hand, at any size; nothing of them where nobody tells."""

import math

import pytest
import torch

from ssgan_core.config import BACKDROP_NUMBERS, ModelConfig
from ssgan_core.model.background import BackgroundGenerator, cosines, drawn_waves
from ssgan_core.model.traits import LOUDNESS

CONFIG = ModelConfig(
    resolution=32, render_resolution=16, part_resolution=16, latent=48, part_width=8, features=5,
    frequencies=8, highest_frequency=4.0, backdrop=BACKDROP_NUMBERS,
)  # fmt: skip


def background() -> BackgroundGenerator:
    torch.manual_seed(0)
    return BackgroundGenerator(CONFIG).requires_grad_(False)


def test_cosines_by_hand():
    basis = cosines(3, 4).view(4, 4, 9)
    centres = (torch.arange(4) + 0.5) / 4 * math.pi
    assert (basis[..., 0] == 1).all()
    for down in range(3):
        for across in range(3):
            wave = torch.cos(down * centres)[:, None] * torch.cos(across * centres)
            torch.testing.assert_close(basis[..., 3 * down + across], wave)


def test_heights_raise_the_wave_that_they_belong_to():
    heights = torch.zeros(3, BACKDROP_NUMBERS)
    heights[0, 0] = 1.0  # brightness: half a wave across
    heights[1, 24 + 2] = 2.0  # the first hue: half a wave down
    heights[2, -1] = 3.0  # the second: whole waves both ways
    sums = drawn_waves(heights, 8).view(3, 8, 8, 3)
    slow, fast = (torch.cos(n * (torch.arange(8) + 0.5) / 8 * math.pi) for n in (1, 2))
    expected = torch.zeros(3, 8, 8, 3)
    expected[0, ..., 0] = slow
    expected[1, ..., 1] = 2 * slow[:, None]
    expected[2, ..., 2] = 3 * fast * fast[:, None]
    torch.testing.assert_close(sums, expected)


def test_told_waves_are_added_to_the_features():
    made = background()
    code = torch.randn(2, CONFIG.code_width)
    plain = made(code)
    assert plain.shape == (2, 5, 16, 16)
    made.from_waves.weight[0, :3, 0] = made.from_waves.scale**-1  # brightness to all three colours
    made.from_waves.styles.weight.zero_()
    expected = drawn_waves(made.to_waves(code[:, -BACKDROP_NUMBERS:] / LOUDNESS), 16)[..., 0].view(2, 16, 16)
    added = made(code) - plain
    torch.testing.assert_close(added[:, :3], expected[:, None].expand(-1, 3, -1, -1))
    assert not added[:, 3:].any()
    assert added.std() > 0.03


def test_slow_waves_are_the_highest_at_first():
    made = background()
    told = made.to_waves(torch.eye(BACKDROP_NUMBERS))
    assert torch.equal(told != 0, torch.eye(BACKDROP_NUMBERS, dtype=torch.bool))
    heights = told.diagonal()
    assert heights[:4].tolist() == pytest.approx([0.15, 0.1, 0.075, 0.06])
    assert heights[23] == pytest.approx(0.3 / 9)
    assert heights[24] == pytest.approx(0.15)


def test_another_size_samples_the_same_background():
    made = background()
    made.from_waves.weight.normal_()
    code = torch.randn(1, CONFIG.code_width)
    large, small = made(code, 32), made(code, 16)
    averaged = torch.nn.functional.avg_pool2d(large, 2)
    assert (averaged - small).abs().mean() < 0.1 * small.std()


def test_without_numbers_there_are_no_waves():
    plain = BackgroundGenerator(
        ModelConfig(resolution=16, render_resolution=8, part_resolution=24, latent=16)
    )
    assert plain.to_waves is None
    assert not [name for name in plain.state_dict() if "waves." in name]
