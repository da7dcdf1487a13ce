"""Emission-absorption compositing of the parts' optical depths along rays, shared by all PyTorch backends.

Layout: [B, K, N, P], rays innermost, so that sums and broadcasts over parts and segments run over whole rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Under this optical depth (1 - exp(-tau)) / tau comes from its series: the quotient's derivative cancels.
_SMALL_TAU = 1e-3


def composite_weights(tau: Tensor) -> tuple[Tensor, Tensor]:
    """What each part in each segment contributes to the picture.

    With tau_i = sum_k tau_ki and T_i = exp(-sum_{j<i} tau_j) the weight is
    T_i (1 - exp(-tau_i)) tau_ki / tau_i (3D-SSGAN's mask renderer, p_ki = tau_ki / tau_i), computed as
    tau_ki T_i times (1 - exp(-tau_i)) / tau_i, which has a limit where a segment is empty.

    Args:
        tau: [B, K, N, P] optical depths, not negative, of K parts in N segments, front to back, of P rays.

    Returns:
        weights [B, K, N, P] and the transmittance [B, P] of the whole ray, exp(-sum tau).
    """
    total = tau.sum(1)
    passed = total.cumsum(1)
    before = torch.cat([torch.zeros_like(passed[:, :1]), passed[:, :-1]], dim=1)
    per_tau = torch.exp(-before) * absorbed_per_tau(total)
    return tau * per_tau[:, None], torch.exp(-passed[:, -1])


def absorbed_per_tau(tau: Tensor) -> Tensor:
    """(1 - exp(-tau)) / tau, elementwise, with its limit 1 at 0 and clean derivatives there."""
    small = tau < _SMALL_TAU
    safe = torch.where(small, torch.ones_like(tau), tau)
    series = 1 - tau / 2 * (1 - tau / 3 * (1 - tau / 4))
    return torch.where(small, series, -torch.expm1(-safe) / safe)
