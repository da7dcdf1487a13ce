"""Parts composed in the image plane: what a 2D compositional generator does in place of lifting and rendering.

As in SemanticStyleGAN (Shi et al., 2022), every part has a value at every pixel and a softmax over them says how much
of the pixel each part gets. The value is the part's opacity logit, the background's is zero; only differences count,
so nothing is lost by that. With kappa = softplus(logit), exp(logit) = exp(kappa) - 1.

No camera is asked for: a pose can only be where every other trait of a head is, in the codes. There is no depth either.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssgan_core.layers import resize_bilinear


def compose(features: Tensor, optical_depth: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Part maps that cover the frame of the picture, laid over one another.

    Args:
        features: [B, K, C, S, S].
        optical_depth: [B, K, S, S] kappa.
        size: side of the result, pixels.

    Returns:
        Features [B, C, size, size] of the foreground, without the background's; masks [B, K + 1, size, size],
        background first, summing to one; and depth [B, 1, size, size], zero.
    """
    odds = torch.expm1(optical_depth.float())
    masks = torch.cat([torch.ones_like(odds[:, :1]), odds], dim=1)
    masks = masks / masks.sum(1, keepdim=True)
    foreground = torch.einsum("bkchw,bkhw->bchw", features.float(), masks[:, 1:])
    masks = resize_bilinear(masks, size)
    return resize_bilinear(foreground, size), masks, torch.zeros_like(masks[:, :1])
