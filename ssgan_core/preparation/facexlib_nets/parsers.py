"""Tells the parts of a portrait apart with BiSeNet or ParseNet, as facexlib runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation.facexlib_nets.loading import facexlib_module, load_network
from ssgan_core.preparation.weight_files import BISENET, PARSENET

INPUT = 512
"""Pixels of the square that both networks look at."""
_LABELS = 19


@dataclass(frozen=True)
class _Kind:
    """Weights file, label order (a key of parts.LABEL_ORDERS), normalisation of RGB in 0..1, the network."""

    file: str
    order: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    make: Callable[[], nn.Module]


def _bisenet() -> nn.Module:
    return facexlib_module("parsing.bisenet").BiSeNet(_LABELS)


def _parsenet() -> nn.Module:
    return facexlib_module("parsing.parsenet").ParseNet(in_size=INPUT, out_size=INPUT, parsing_ch=_LABELS)


_KINDS = {
    "parsenet": _Kind(PARSENET, "celebamask-hq", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), _parsenet),
    "bisenet": _Kind(BISENET, "bisenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), _bisenet),
}
FILES = {name: kind.file for name, kind in _KINDS.items()}
"""Weights file of each parser."""


class FacexlibParser:
    """Part ids of a crop; called with one picture at a time.

    Attributes:
        networks: digest of the weights, by file name.
    """

    def __init__(
        self,
        name: str = "parsenet",
        weights_dir: Path | None = None,
        device: torch.device | str = "cpu",
        network: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
    ) -> None:
        """Load the network.

        Args:
            name: "parsenet" or "bisenet".
            weights_dir: as in `weights.read`.
            device: where to run.
            network: instead of the real one, in tests: [1, 3, 512, 512] to a tuple whose first is
                [1, 19, h, w].

        Raises:
            SsganError: facexlib or the weights are missing, or they are not as expected.
        """
        if name not in _KINDS:
            raise SsganError(f"facexlib has no parser '{name}'", "there are " + ", ".join(_KINDS))
        kind = _KINDS[name]
        self._device = torch.device(device)
        self._mean = torch.tensor(kind.mean, device=self._device)[:, None, None]
        self._deviation = torch.tensor(kind.deviation, device=self._device)[:, None, None]
        ids = torch.from_numpy(PORTRAIT.lookup(kind.order)[:_LABELS].astype(np.int64))
        self._merging = F.one_hot(ids, len(PORTRAIT.parts)).float().to(self._device)  # [19, 13]
        self.networks: dict[str, str] = {}
        if network is None:
            network, self.networks = load_network(kind.file, kind.make, weights_dir, self._device)
        self._network = network

    @torch.inference_mode()
    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """The likeliest part's id at every pixel, uint8 [R, R], ids of parts.PORTRAIT.

        The network's logits are resized to the crop's size first, and the probabilities of labels that a part
        unites are added before the likeliest part is taken: a pixel torn between left and right eye is an eye.

        Args:
            crop: uint8 RGB [R, R, 3], upright, framed as this project's data sets are.

        Raises:
            SsganError: the network gives no numbers.
        """
        size = crop.shape[0]
        picture = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1))).to(self._device) / 255
        picture = _resized(picture[None], INPUT).clamp(0, 1)
        logits = self._network((picture - self._mean) / self._deviation)[0]
        if not logits.isfinite().all():
            raise SsganError("the parser gives no numbers for the portrait")
        shares = _resized(logits.float(), size).softmax(1)
        parts = torch.einsum("lhw,lp->phw", shares[0], self._merging)
        return parts.argmax(0).to(torch.uint8).cpu().numpy()


def _resized(x: Tensor, size: int) -> Tensor:
    """Bilinear resizing of [B, C, h, w] to a square, which averages where it makes smaller."""
    if x.shape[-2:] == (size, size):
        return x
    smaller = size < x.shape[-1]
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=smaller)
