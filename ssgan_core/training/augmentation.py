"""Adaptive augmentation against a discriminator that learns few examples by heart.

After Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020): everything that the
discriminator sees, real and generated, is transformed at random, each transformation with probability p. As long as
p is well below 1, a transformed distribution determines the original, so nothing of this shows in the portraits.

Image, masks and depth of an example undergo the same geometric transformation and stay aligned. The camera label is
left as it is. A roll, a zoom or a shift of the picture is not the camera's yaw or pitch, which are all that labels
differ in; but for every camera, real and generated pictures are transformed alike and independently of it, so
whoever matches the transformed pictures of a camera matches its untransformed ones. Mirroring is not among the
transformations: it does change the camera, and data.mirror does it with the label.

Where this is simpler than the paper: rotations are small (faces stand upright), shifts are whole pixels of the
rendering, so that both resolutions are moved without loss, and instead of wavelet filters a picture that is made
smaller is averaged over what a pixel covers (exact enough for the scales drawn here, 0.66 to 1.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.autograd import Function

from ssgan_core.config import AugmentationConfig

MOST_PROBABILITY = 0.8
"""Up to it, the characteristic function of no transformation has a zero, so that all of them could be undone; the
paper sees transformations leak into generated pictures a little above it."""
_INTERVAL = 4  # steps between two adjustments
_SHIFT = 0.125  # of the side, at most
_ZOOM = 0.2  # standard deviation of log2
_ROLL = math.radians(8)  # standard deviation
_BRIGHTNESS = 0.2
_CONTRAST = 0.5  # standard deviations of log2
_SATURATION = 1.0
_CUTOUT = 0.5  # side of the square that is blanked


@dataclass
class Adaptation:
    """The probability p of a run, and the signs seen since it was last adjusted; part of the training state."""

    probability: float
    signs: float = 0.0
    steps: int = 0

    def observe(self, sign: float, batch: int, config: AugmentationConfig) -> None:
        """Adjust p every four steps by the overfitting heuristic r_t = E[sign(D(real))] (section 3.1).

        Args:
            sign: mean sign of the logits of this step's real examples.
            batch: examples of the step.
        """
        self.signs += sign
        self.steps += 1
        if self.steps < _INTERVAL:
            return
        direction = math.copysign(1.0, self.signs / self.steps - config.target)
        moved = self.probability + direction * batch * self.steps / (config.kimg * 1000)
        self.probability = min(max(moved, 0.0), MOST_PROBABILITY)
        self.signs, self.steps = 0.0, 0


def augment(
    images: Tensor, masks: Tensor, probability: float, rng: Generator, cutout: bool = False
) -> tuple[Tensor, Tensor]:
    """Transform what the discriminator sees, each example in its own way; differentiable twice.

    Args:
        images: [B, 3 n, H, H], n pictures of one example in [-1, 1], which are treated alike.
        masks: [B, C, R, R] masks and depth; only moved, R divides H.
        probability: of each transformation; at 0 nothing is drawn and both come back as they are.
        rng: CPU generator, the only source of chance.
        cutout: also blank a random square, in all of them.
    """
    if probability == 0:
        return images, masks
    chance = _Chance(len(images), probability, rng)
    colour, shift_colour = draw_colours(chance)
    inverse, zoom = draw_geometry(chance, masks.shape[-1])
    images = recolour(images, colour.to(images), shift_colour.to(images))
    images, masks = (resample(x, inverse, zoom) for x in (images, masks))
    if cutout:
        centre = torch.where(chance.happens()[:, None], chance.uniform(0, 1, 2), torch.full((2,), math.inf))
        images, masks = (x * _outside(centre, x.shape[-1]).to(x) for x in (images, masks))
    return images, masks


class _Chance:
    """Random numbers, one a sample."""

    def __init__(self, count: int, probability: float, rng: Generator) -> None:
        self.count, self.probability, self.rng = count, probability, rng

    def happens(self) -> Tensor:
        """[B] whether a transformation is applied."""
        return torch.rand(self.count, generator=self.rng) < self.probability

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """[B, *shape]"""
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.rng)

    def normal(self, deviation: float) -> Tensor:
        """[B] normal, and zero where the transformation is not applied."""
        return torch.randn(self.count, generator=self.rng) * deviation * self.happens()


# ------------------------------------------------------------------------------------------ colours


def draw_colours(chance: _Chance) -> tuple[Tensor, Tensor]:
    """Matrices [B, 3, 3] and offsets [B, 3]: brightness, contrast, luma flip, hue and saturation, in this order."""
    grey = torch.full((3, 3), 1 / 3)  # projection on the axis of greys
    brightness = chance.normal(_BRIGHTNESS)
    contrast = torch.exp2(chance.normal(_CONTRAST))
    flip = chance.happens() & (torch.rand(chance.count, generator=chance.rng) < 0.5)
    angle = chance.uniform(-math.pi, math.pi) * chance.happens()
    saturation = torch.exp2(chance.normal(_SATURATION))
    # A turn about the axis of greys mixes the projection, the rest, and the rest a quarter turn further.
    quarter = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    rest = torch.eye(3) - grey
    rotated = angle.cos()[:, None, None] * rest + angle.sin()[:, None, None] * quarter
    sign = torch.where(flip, -1.0, 1.0)[:, None, None]  # mirrors light and dark, and keeps hues
    matrix = contrast[:, None, None] * (sign * grey + saturation[:, None, None] * rotated)
    return matrix, matrix.sum(2) * brightness[:, None]


def recolour(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Apply matrices [B, 3, 3] and offsets [B, 3] to every three channels of [B, 3 n, H, W]."""
    triples = images.unflatten(1, (-1, 3))
    return (torch.einsum("bij,bnjhw->bnihw", matrix, triples) + offset[:, None, :, None, None]).flatten(1, 2)


# ----------------------------------------------------------------------------------------- geometry


def draw_geometry(chance: _Chance, size: int) -> tuple[Tensor, Tensor]:
    """Maps [B, 2, 3] from places in the result to places in the picture, both in [-1, 1], and zooms [B].

    Args:
        size: side whose whole pixels shifts are made of.
    """
    most = _SHIFT * size
    shift = chance.uniform(-most, most, 2).round() * (2 / size) * chance.happens()[:, None]
    zoom = torch.exp2(chance.normal(_ZOOM))
    roll = chance.normal(_ROLL)
    turn = torch.stack([roll.cos(), roll.sin(), -roll.sin(), roll.cos()], 1).view(-1, 2, 2)
    linear = turn / zoom[:, None, None]
    return torch.cat([linear, -linear @ shift[:, :, None]], 2), zoom


def resample(x: Tensor, inverse: Tensor, zoom: Tensor) -> Tensor:
    """Move pictures [B, C, S, S]; beyond the frame they are reflected.

    Unmoved ones, and those shifted by whole pixels, come back without loss. Where a picture shrinks, four bilinear
    samples are averaged over the part of a pixel that a single one would miss.
    """
    size = x.shape[-1]
    unmoved = torch.eye(2, 3).expand_as(inverse)
    if torch.equal(inverse, unmoved):
        return x
    grid = F.affine_grid(inverse, [len(x), 1, size, size], align_corners=False)
    reach = 0.5 * (1 - zoom).clamp(min=0) * (2 / size)  # in the result; half of 1 - zoom of its pixel
    signs = [(-1, -1), (-1, 1), (1, -1), (1, 1)] if bool((reach > 0).any()) else [(0, 0)]
    total = torch.zeros_like(x)
    for sign in signs:
        step = reach[:, None, None] * (inverse[:, :, :2] @ torch.tensor(sign, dtype=inverse.dtype).view(2, 1))
        total = total + sample_bilinear(x, (grid + step.view(-1, 1, 1, 2)).to(x))
    return total / len(signs)


def sample_bilinear(x: Tensor, grid: Tensor) -> Tensor:
    """F.grid_sample with reflection, which unlike it can be differentiated twice by x (the grid is constant)."""
    return _Sample.apply(x, grid)  # type: ignore[no-any-return]


class _Sample(Function):
    """Sampling is linear in x: its derivative is its transpose, whose derivative is sampling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = x.shape
        return F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _SampleTransposed.apply(grads[0], grid, ctx.shape), None  # type: ignore[return-value]


class _SampleTransposed(Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        # Looks at the picture's shape alone, since the gradient by the grid is not asked for: bilinear, reflection.
        return torch.ops.aten.grid_sampler_2d_backward(
            grad, grad.new_empty(shape), grid, 0, 2, False, [True, False]
        )[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(grads[0], grid), None, None  # type: ignore[return-value]


def _outside(centre: Tensor, size: int) -> Tensor:
    """1 outside of each sample's square and 0 inside [B, 1, size, size]; centres [B, 2] in [0, 1]."""
    places = (torch.arange(size) + 0.5) / size
    inside_x, inside_y = ((places - centre[:, i : i + 1]).abs() <= _CUTOUT / 2 for i in range(2))
    return (~(inside_y[:, :, None] & inside_x[:, None, :])).float()[:, None]
