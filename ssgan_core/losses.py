"""Loss terms as pure functions.

Logits are [B, 1 + n]: of the whole picture, then of n places of it. All places together weigh as much as the whole.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.layers import area_average, box_average, gaussian_blur, resize_bilinear

# Depth is judged as (camera distance - z_cam) / scale, so that heads fill about [-1, 1] and the background is zero.
_CAMERA_DISTANCE = 2.7
_DEPTH_SCALE = 0.35
_TEXTURE_BLUR = 3.0  # pixels around over which textures are averaged
_LEAST_SLOPE = 0.01  # a slope a pixel, in [-1, 1], below which there is no texture
# Cells of the grid of places, along a side, that a place is judged by: 5.5 at 32 places of 128 pixels, 6 at 16.
_SEEN_CELLS = 5


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss (Goodfellow et al., 2014): mean softplus(-D(fake))."""
    return _mean(F.softplus(-fake_logits))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss: mean softplus(D(fake)) + softplus(-D(real))."""
    return _mean(F.softplus(fake_logits) + F.softplus(-real_logits))


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Relativistic pairing (Jolicoeur-Martineau, 2018; R3GAN, Huang et al., 2024): mean softplus(D(real) - D(fake)).

    Args:
        real_logits, fake_logits: [B, 1 + n]; pair i is one real and one generated example.
    """
    return _mean(F.softplus(real_logits - fake_logits))


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The same pairs from the discriminator's side: mean softplus(D(fake) - D(real))."""
    return _mean(F.softplus(fake_logits - real_logits))


def gradient_penalty(
    logits: Tensor,
    images: Tensor,
    masks: Tensor,
    image_gamma: float,
    mask_gamma: float,
    rng: torch.Generator,
) -> Tensor:
    """gamma / 2 E |grad D|^2 with its own gamma for masks: R1 on real examples, R2 on generated ones.

    (Mescheder et al., 2018, equations 9 and 10.) The places add the mean of |grad D|^2 over them, in expectation:
    summed with random signs their gradients' products cancel, so that one backward pass serves for all
    (Hutchinson, 1990). Gammas scale with the pixels that are judged: a place's are smaller by the share that it sees.

    Args:
        logits: [B, 1 + n], computed from `images` and `masks`, which require gradients.
        rng: CPU generator of the signs.
    """
    weights = torch.ones(logits.shape)
    if places := logits.shape[1] - 1:
        weights[:, 1:] = torch.randint(2, (len(logits), places), generator=rng) * 2 - 1
        weights[:, 1:] *= min(1.0, _SEEN_CELLS / places**0.5) / places**0.5
    total = (logits * weights.to(logits.device)).sum()
    image_gradient, mask_gradient = torch.autograd.grad(total, [images, masks], create_graph=True)
    image_term = image_gradient.float().square().sum((1, 2, 3)).mean()
    mask_term = mask_gradient.float().square().sum((1, 2, 3)).mean()
    return 0.5 * (image_gamma * image_term + mask_gamma * mask_term)


def _mean(terms: Tensor) -> Tensor:
    """Mean over examples of the whole picture's term, plus the mean over their places if there are any."""
    whole, places = terms[:, 0].mean(), terms[:, 1:]
    return whole + places.mean() if places.shape[1] else whole


def default_image_gamma(resolution: int, batch: int) -> float:
    """R1 weight that scales with size: 0.0002 resolution^2 / batch (0.05 at 128 pixels and batch 64)."""
    return 0.0002 * resolution**2 / batch


def default_mask_gamma(render_resolution: int) -> float:
    """SemanticStyleGAN's mask weight of 1000 at 512 pixels, scaled to the rendering resolution."""
    return 1000 * (render_resolution / 512) ** 2


def depth_curvature(depth: Tensor, optical_depth: Tensor) -> Tensor:
    """Mean squared second difference of sheets along x and y, counted where they are opaque.

    Args:
        depth: [B, K, S, S] in texels (world depth divided by a texel's side), so that it is a change of slope.
        optical_depth: [B, K, S, S]; only weights, no gradient flows into it.
    """
    opacity = 1 - torch.exp(-optical_depth.detach())
    across = depth[..., :, 2:] - 2 * depth[..., :, 1:-1] + depth[..., :, :-2]
    down = depth[..., 2:, :] - 2 * depth[..., 1:-1, :] + depth[..., :-2, :]
    return (across.square() * opacity[..., :, 1:-1]).mean() + (down.square() * opacity[..., 1:-1, :]).mean()


def leaked_share(change: Tensor, region: Tensor, least: float) -> Tensor:
    """Mean over examples of the share of a change that lies outside of a region.

    Gradients flow through what lies outside alone: what lies inside is wanted, and is not to grow for the share's sake.

    Args:
        change: [B, H, W], not negative.
        region: [B, H, W] (bool).
        least: a change whose mean over pixels is smaller counts as if it were so large: where an edit changes next to
            nothing, shares of it say nothing.
    """
    outside = (change * ~region).mean((1, 2))
    return (outside / change.mean((1, 2)).detach().clamp(min=least)).mean()


def texture_distance(a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
    """How much textures of pictures [B, 3, H, W] differ: in their contrast and direction, not in their course.

    The structure tensor (Foerstner and Guelch, 1987), products of slopes averaged around every pixel, says how strong
    details are there, which way they run, and how much they agree in that. Two drawings of the same hair agree in all
    three, though none of their strands coincide. That they agree is compared apart from the direction: where `a`
    cannot know which way strands run, they are to run in some way and not across one another. Brightness and
    two differences of colours are compared, each with its own. Distances are in the pictures' units.

    Args:
        weights: [B, 1, H, W] how much every place counts; all alike if not given.
    """
    strength_a, along_a = _structure(a)
    strength_b, along_b = _structure(b)
    direction = (along_a - along_b).abs().sum(1) + (_length(along_a) - _length(along_b)).abs()
    distance = (strength_a - strength_b).abs() + direction / strength_b.detach()
    return (distance if weights is None else distance * weights[..., :-1, :-1]).mean()


def _length(along: Tensor) -> Tensor:
    return (along.square().sum(1) + _LEAST_SLOPE**4).sqrt()


def _structure(x: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean square slopes [B, 3, h, w]; difference of the tensors' diagonal, double the rest [B, 2, 3, h, w]."""
    red, green, blue = x.unbind(1)
    x = torch.stack([x.mean(1), red - green, blue - (red + green) / 2], dim=1)
    across = x[..., :-1, 1:] - x[..., :-1, :-1]
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    products = torch.stack(
        [across.square() + down.square(), across.square() - down.square(), 2 * across * down], 1
    )
    total, *along = gaussian_blur(products.flatten(1, 2), _TEXTURE_BLUR).unflatten(1, (3, 3)).unbind(1)
    return (total + _LEAST_SLOPE**2).sqrt(), torch.stack(along, 1)


def real_mask_channels(ids: Tensor, classes: int, size: int, smoothing: float) -> Tensor:
    """Part probabilities [B, classes, size, size] of masks of ids [B, H, H]: area averages, label-smoothed.

    Smoothing moves them towards uniform so that hard edges do not give real masks away.
    """
    factor = ids.shape[-1] // size
    if factor * size != ids.shape[-1]:
        raise ValueError(f"{size} does not divide the side {ids.shape[-1]}")
    blocks = ids.reshape(len(ids), 1, size, factor, size, factor)
    is_part = blocks == torch.arange(classes, device=ids.device).view(-1, 1, 1, 1, 1)
    share = is_part.sum((3, 5), dtype=torch.float32) / factor**2
    return torch.lerp(share, torch.full((), 1 / classes, device=ids.device), smoothing)


def with_fewer_rays(x: Tensor, side: int) -> Tensor:
    """Real maps [B, C, R, R] as sharp as rendered ones whose rays are `side` x `side`: averaged, bilinear back to R.

    EG3D (Chan et al., 2022) brings its real low-resolution images to the rays' side in the same way.
    """
    if side == x.shape[-1]:
        return x
    with torch.autocast(x.device.type, enabled=False):
        return resize_bilinear(area_average(x, side), x.shape[-1])


def judged_masks(masks: Tensor, sigma: float) -> Tensor:
    """Masks as the discriminator sees them: blurred by `sigma` pixels, in [-1, 1]."""
    return gaussian_blur(masks, sigma) * 2 - 1


def rendered_depth_channel(depth: Tensor, transmittance: Tensor) -> Tensor:
    """sum_i weight_i (2.7 - z_cam) / 0.35 from the rendered sum of weight times z_cam; both [B, 1, R, R]."""
    return (_CAMERA_DISTANCE * (1 - transmittance) - depth) / _DEPTH_SCALE


def real_depth_channel(depth: Tensor, size: int) -> Tensor:
    """The same from true z_cam [B, 1, H, H], zero where there is none: area mean of the valid part."""
    return box_average(torch.where(depth > 0, (_CAMERA_DISTANCE - depth) / _DEPTH_SCALE, 0.0), size)
