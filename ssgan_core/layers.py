"""Building blocks of the networks: equalised layers, modulated per-part layers, resampling.

Equalised learning rate and leaky ReLU with gain sqrt(2) follow Karras et al., "Progressive Growing of GANs"
(2018) and "Analyzing and Improving the Image Quality of StyleGAN" (2020); weights are drawn from N(0, 1) and
scaled at run time by 1 / sqrt(fan in).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
GAIN = math.sqrt(2)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance: slope 0.2, gain sqrt(2)."""
    return F.leaky_relu(x, SLOPE) * GAIN


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: [..., inputs] -> [..., outputs].

    Args:
        bias: initial bias.
        lr_multiplier: scales the effective learning rate; the mapping network trains slowly with 0.01.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.scale = lr_multiplier / math.sqrt(inputs)
        self.lr_multiplier = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)


class EqualConv2d(nn.Module):
    """Stride 1 convolution with equalised learning rate and zero padding: [B, inputs, H, W] -> [B, outputs, H, W].

    Args:
        gain: multiplies the initial output; 0 < gain << 1 starts a residual branch near zero.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel * kernel)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self.scaled(), padding=self.padding)

    def activated(self, x: Tensor) -> Tensor:
        """leaky_relu of the convolution; its gain is folded into the weights, as leaky_relu(g x) = g leaky_relu(x)."""
        weight, bias = self.scaled()
        return F.leaky_relu(F.conv2d(x, weight * GAIN, bias * GAIN, padding=self.padding), SLOPE)

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Weights and biases as the convolution uses them."""
        return self.weight * self.scale, self.bias


class PartStyles(nn.Module):
    """Per-part affine maps from codes to styles: [B, G, latent] -> [B, G, outputs], one matrix for each of G groups."""

    def __init__(self, groups: int, latent: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(groups, latent, outputs))
        self.bias = nn.Parameter(torch.ones(groups, outputs))
        self.scale = 1 / math.sqrt(latent)

    def forward(self, codes: Tensor) -> Tensor:
        return torch.einsum("bgw,gwo->bgo", codes, self.weight * self.scale) + self.bias

    def learn_beyond(self, count: int) -> None:
        """Learn from now on only how those of the codes' numbers change styles that come after the first `count`."""
        self.bias.requires_grad_(False)
        self.weight.requires_grad_(True)
        learns = torch.zeros_like(self.weight[:1, :, :1])
        learns[:, count:] = 1
        self.weight.register_hook(lambda gradient: gradient * learns)


class PartLinear(nn.Module):
    """A style-modulated 1x1 convolution for every group at once, as one batched matrix product.

    Modulation and demodulation (StyleGAN2, section 2.2) are folded into the small weights, never into the
    activations: these are touched once by the product and once by the nonlinearity.

    Args:
        groups: G independent networks side by side, usually the parts.
        latent: width of the codes.
        inputs, outputs: channels.
        demodulate: normalise the folded weights and apply the leaky ReLU; an output layer does neither.
        gain: scales an output layer's initial values.
    """

    def __init__(
        self,
        groups: int,
        latent: int,
        inputs: int,
        outputs: int,
        *,
        demodulate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.styles = PartStyles(groups, latent, inputs)
        self.weight = nn.Parameter(torch.randn(groups, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(groups, outputs))
        self.scale = gain / math.sqrt(inputs)
        self.demodulate = demodulate
        self.learning = [True] * groups

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Apply the layer.

        A position's channels lie side by side: the last layer's features then are what the renderer reads, without a
        copy, and its opacity and depth are contiguous maps.

        Args:
            x: [B, G, N, inputs] activations, or [N, inputs] shared by all samples and groups.
            codes: [B, G, latent].

        Returns:
            [B, G, N, outputs].
        """
        return self.applied(x, *self.folded(codes))

    def applied(self, x: Tensor, folded: Tensor, bias: Tensor) -> Tensor:
        """The layer [B, G, N, outputs] of activations [B, G, N, inputs], or [N, inputs], by what `folded` returns."""
        batch, groups, outputs, _ = folded.shape
        rows = x.flatten(0, 1) if x.ndim == 4 else x.expand(batch * groups, -1, -1)
        y = torch.baddbmm(
            bias.reshape(batch * groups, 1, outputs), rows, folded.flatten(0, 1).transpose(1, 2)
        )
        return self._activated(y).view(batch, groups, -1, outputs)

    def learn_alone(self, groups: Tensor) -> None:
        """Learn from now on only what some of the groups [G], bool, do."""
        self.learning = groups.tolist()
        for weight in self.parameters():
            weight.requires_grad_(True)
            weight.register_hook(lambda gradient: gradient * groups.view(-1, *[1] * (gradient.ndim - 1)))

    def one(self, x: Tensor, folded: Tensor, bias: Tensor) -> Tensor:
        """The layer of one group for one sample [N, inputs] -> [N, outputs], by its share of what `folded` returns."""
        return self._activated(torch.addmm(bias, x, folded.T))

    def _activated(self, y: Tensor) -> Tensor:
        return F.leaky_relu(y, SLOPE, inplace=True) if self.demodulate else y

    def folded(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [B, G, outputs, inputs] and biases [B, G, outputs] with styles and activation gain folded in."""
        folded = (self.weight * self.scale) * self.styles(codes)[:, :, None, :]
        bias = self.bias
        if self.demodulate:
            norm = torch.rsqrt(folded.square().sum(-1, keepdim=True) + 1e-8)
            # leaky_relu(gain x) = gain leaky_relu(x) for a positive gain, so it costs nothing here.
            folded, bias = folded * (norm * GAIN), bias * GAIN
        return folded, bias.expand(codes.shape[0], -1, -1)


def part_stack(groups: int, codes: int, inputs: int, width: int, layers: int) -> nn.ModuleList:
    """So many PartLinear layers, one after the other, of the same width."""
    return nn.ModuleList(
        PartLinear(groups, codes, inputs if index == 0 else width, width) for index in range(layers)
    )


def place(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device; on a GPU its convolutions work on channels-last pictures from then on."""
    network.to(device)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def has_fast_bf16(device: torch.device) -> bool:
    """Whether products and convolutions in bf16 are faster than in fp32: on GPUs, and on processors with AMX.

    Without AMX a processor emulates them, and is slower.
    """
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)  # PyTorch before 2.12 may lack it
        return bool(capabilities().get("amx_bf16", False))
    return device.type == "cuda"


def up2(x: Tensor) -> Tensor:
    """Bilinear upsampling by two [B, C, H, W] -> [B, C, 2H, 2W]."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def resize_bilinear(x: Tensor, size: int) -> Tensor:
    """Bilinear resizing to a square of side `size`; the same map when it has that size already."""
    return (
        x
        if x.shape[-1] == size
        else F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    )


def down2(x: Tensor) -> Tensor:
    """2x2 box average [B, C, H, W] -> [B, C, H/2, W/2], as strided sums: the pooling operator's backward is slow."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) * 0.25


def box_average(x: Tensor, size: int) -> Tensor:
    """Area average of square maps down to side `size`, which must divide theirs."""
    factor = x.shape[-1] // size
    if factor * size != x.shape[-1]:
        raise ValueError(f"{size} does not divide the side {x.shape[-1]}")
    return x if factor == 1 else F.avg_pool2d(x, factor)


def area_average(x: Tensor, size: int) -> Tensor:
    """Area average of square maps down to any smaller side; a pixel across a border counts for both by its shares."""
    fine, coarse = (torch.arange(n + 1, dtype=torch.float64) / n for n in (x.shape[-1], size))
    overlap = torch.minimum(fine[1:], coarse[1:, None]) - torch.maximum(fine[:-1], coarse[:-1, None])
    shares = (overlap.clamp(min=0) * size).to(x)
    return shares @ x @ shares.T


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """Masks [B, H, W] or [B, L, H, W] (bool) grown by so many pixels in every direction, diagonals included."""
    for dim in (-1, -2):
        side, grown = mask.shape[dim], mask.clone()
        for step in range(1, min(pixels, side - 1) + 1):
            grown.narrow(dim, step, side - step).logical_or_(mask.narrow(dim, 0, side - step))
            grown.narrow(dim, 0, side - step).logical_or_(mask.narrow(dim, step, side - step))
        mask = grown
    return mask


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of [B, C, H, W] with replicated borders; sigma in pixels."""
    if x.device.type == "cpu" and max(x.shape[-2:]) <= _BLURRED_AS_PRODUCT:
        rows, columns = (_blur_matrix(x, side, sigma) for side in x.shape[-2:])
        return rows @ x @ columns.T
    kernel = _blur_kernel(x, sigma)
    radius, channels = len(kernel) // 2, x.shape[1]
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


# Pixels a side up to which a CPU blurs faster by matrix products than by grouped convolutions, whose
# kernels of many taps and few channels it is bad at: 1.8 against 11 ms at 3 x 256 x 256, sigma 8, on
# one core of a Xeon.
_BLURRED_AS_PRODUCT = 256


def _blur_kernel(x: Tensor, sigma: float) -> Tensor:
    radius = max(1, min(math.ceil(3 * sigma), x.shape[-1] - 1))
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    return torch.softmax(-0.5 * (offsets / sigma) ** 2, 0)


def _blur_matrix(x: Tensor, side: int, sigma: float) -> Tensor:
    """[side, side] whose product with a column of pixels blurs it; what lies beyond the border is the border's."""
    kernel = _blur_kernel(x, sigma)
    radius = len(kernel) // 2
    taken = torch.arange(side)[:, None] + torch.arange(-radius, radius + 1)
    return x.new_zeros(side, side).scatter_add_(1, taken.clamp(0, side - 1), kernel.expand(side, -1))


def fourier_features(frequencies: int, highest: float, lowest: float = 0.25) -> Tensor:
    """Wave vectors [frequencies, 2] in cycles across a window: log-spaced lengths, directions by the golden angle."""
    steps = torch.arange(frequencies, dtype=torch.float64)
    lengths = lowest * (highest / lowest) ** (steps / max(frequencies - 1, 1))
    turns = steps * math.pi * (3 - math.sqrt(5))
    return torch.stack([lengths * turns.cos(), lengths * turns.sin()], 1).float()


def position_code(waves: Tensor, size: int) -> Tensor:
    """Fourier position code [size * size, 2 F + 2] of texel centres; the first row is the window's +y edge."""
    return place_code(waves, texel_places(size, waves))


def texel_places(size: int, like: Tensor) -> Tensor:
    """Texel centres [size * size, 2], x and y from -1 to 1 across the window, the +y edge first; of the type and on the
    device of `like`."""
    centres = ((torch.arange(size, device=like.device, dtype=like.dtype) + 0.5) / size) * 2 - 1
    y, x = torch.meshgrid(-centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def place_code(waves: Tensor, places: Tensor) -> Tensor:
    """Fourier position code [..., 2 F + 2] of places [..., 2], x and y in [-1, 1] across the window. They are its last
    two columns."""
    with torch.autocast(
        places.device.type, enabled=False
    ):  # products in bf16 would shift high waves by parts of them
        phases = places @ (math.pi * waves).T
    return torch.cat([GAIN * phases.sin(), GAIN * phases.cos(), places], dim=-1)
