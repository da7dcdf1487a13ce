"""Part probabilities, masks and features of portraits, with weights that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.checkpoints import read_tensors, write_tensors
from ssgan_core.errors import SsganError
from ssgan_core.parsing.network import STRIDE, ParserNetwork
from ssgan_core.parts import PORTRAIT, PartSchema

SHIPPED = Path(__file__).with_name("weights") / "parser.safetensors"
"""The weights that come with the package; their README says what they were trained on."""
SIZE = 256
"""Pixels of the longer side at which the network looks at a picture, whatever its own resolution."""
LEAST_SIDE = 64

_KIND = "parser"
_WIDEST = 512  # of a network that a file may ask for


class FaceParser:
    """Tells the parts of portraits apart.

    Pictures are framed like this project's data sets, more or less: one upright face that fills a third to
    two thirds of the height.

    Attributes:
        network: in evaluation mode, without gradients.
        schema: what channels and ids stand for.
        metadata: recipe, training data and validation of the weights.
        sha256: the weights' identity, hex; measurements name it.
    """

    def __init__(
        self, network: ParserNetwork, schema: PartSchema, metadata: Mapping[str, Any], sha256: str
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        # Faster on processors; torch's stubs do not know the argument for modules.
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.schema = schema
        self.metadata = dict(metadata)
        self.sha256 = sha256

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> FaceParser:
        """The parser of a weights file.

        Args:
            path: a file that save_parser wrote; None = the one that ships with the package.
            device: where it shall run.

        Raises:
            SsganError: the file is missing, damaged, of a newer format, of other parts or no parser's.
        """
        path = SHIPPED if path is None else Path(path)
        file = read_tensors(path, _KIND)
        hint = "the parser that ships with ssgan is used where none is named"
        schema = PartSchema.from_json(file.metadata.get("parts"))
        if schema.names != PORTRAIT.names:
            raise SsganError(f"{path} tells other parts apart than this version: {list(schema.names)}", hint)
        widths = file.metadata.get("widths")
        if not isinstance(widths, list) or not all(
            type(width) is int and 0 < width <= _WIDEST and width % 8 == 0 for width in widths
        ):
            raise SsganError(f"{path} describes an impossible network: widths {widths}", hint)
        try:
            network = ParserNetwork(len(schema.parts), widths)
            network.load_state_dict(file.tensors)
        except (RuntimeError, ValueError, IndexError) as error:
            raise SsganError(f"the tensors of {path} do not fit its network", hint) from error
        return cls(network.to(device), schema, file.metadata, file.sha256)

    @property
    def feature_size(self) -> int:
        """D of `features`: 240 for the shipped weights."""
        return sum(self.network.widths[-2:])

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Part probabilities [B, 13, H, W] that sum to one, background first.

        Args:
            images: [B, 3, H, W] in [-1, 1], each side at least 64 pixels.

        Raises:
            SsganError: the pictures are too small.
        """
        return _resized(self.logits(images), images.shape[-2], images.shape[-1]).softmax(1)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Part logits [B, 13, h, w], at half the size at which the network looks: 128 for squares.

        They are means over the picture and its mirror image, so that a mirrored picture has mirrored parts.
        Arguments and errors as in `probabilities`.
        """
        looked_at = _fitted(images)
        plain, mirrored = self.network(torch.cat([looked_at, looked_at.flip(-1)])).chunk(2)
        swap = torch.from_numpy(self.schema.mirror_ids).to(mirrored.device)
        return (plain + mirrored.flip(-1)[:, swap]) / 2

    @torch.no_grad()
    def mask(self, images: Tensor) -> Tensor:
        """The likeliest part's id at every pixel [B, H, W], uint8. Arguments as in `probabilities`."""
        # The largest logit is the likeliest part, and `max` finds it several times faster than `argmax`.
        logits = _resized(self.logits(images), images.shape[-2], images.shape[-1])
        return logits.max(1).indices.to(torch.uint8)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """A vector for each picture [B, D], for distances between sets of pictures (Frechet, for one).

        It is the spatial mean of the encoder's maps at strides 16 and 32 (D = 96 + 144 = 240 for the shipped
        weights). Features of parsers with another `sha256` cannot be compared.

        Args:
            images: as in `probabilities`.
        """
        return torch.cat([level.mean((-2, -1)) for level in self.network.encode(_fitted(images))[-2:]], 1)


def save_parser(path: Path, network: ParserNetwork, metadata: Mapping[str, Any]) -> str:
    """Write weights for FaceParser.load in half precision, atomically; returns their sha256.

    Args:
        path: the .safetensors file.
        network: for parts.PORTRAIT.
        metadata: recipe, data and validation: whatever JSON can hold.

    Raises:
        SsganError: the place cannot be written to, or the disk is full.
    """
    described = {**metadata, "parts": PORTRAIT.to_json(), "widths": list(network.widths)}
    halves = {name: tensor.half() for name, tensor in network.state_dict().items()}
    return write_tensors(path, _KIND, halves, described)


def _fitted(images: Tensor) -> Tensor:
    """The pictures at the network's size: the longer side 256, the other one the nearest multiple of 32."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images are [B, 3, H, W], got {list(images.shape)}")
    height, width = images.shape[-2:]
    if min(height, width) < LEAST_SIDE:
        raise SsganError(
            f"pictures of {width} x {height} pixels are too small to tell parts apart",
            f"the parser takes {LEAST_SIDE} x {LEAST_SIDE} pixels and more",
        )
    rows, columns = (
        max(STRIDE, round(side * SIZE / max(height, width) / STRIDE) * STRIDE) for side in (height, width)
    )
    return _resized(images, rows, columns)


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resizing of [B, C, h, w] that averages where it makes smaller."""
    if x.shape[-2:] == (height, width):
        return x
    smaller = height < x.shape[-2] or width < x.shape[-1]
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False, antialias=smaller)
