"""The parser that ships with the package, as the preparation uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssgan_core.parsing.parser import FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image
from ssgan_core.preparation import weights
from ssgan_core.preparation.backends import default_backends
from ssgan_core.preparation.parsers import OwnParser, own_parser_digest


@pytest.fixture(scope="module")
def parser() -> OwnParser:
    threads = torch.get_num_threads()
    made = OwnParser()
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    return made


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return read_image(Path(__file__).with_name("pictures") / "collins.jpg")


@pytest.mark.parametrize("size", [256, 512, 384])
def test_it_agrees_with_the_parser_it_wraps(parser, face, size):
    crop = np.asarray(Image.fromarray(face).resize((size, size), Image.Resampling.BICUBIC))
    ids = parser(crop)
    assert ids.shape == (size, size)
    assert ids.dtype == np.uint8
    images = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = FaceParser.load().mask(images)[0].numpy()
    assert (ids == expected).mean() > 0.98
    assert (ids == PORTRAIT.names.index("skin")).mean() > 0.05


def test_its_digest_is_the_weights(parser):
    assert own_parser_digest() == FaceParser.load().sha256


@pytest.mark.skipif(
    not all(row.ok for row in weights.list_weights()), reason="the networks are not here: run `ssgan weights`"
)
def test_the_default_backends_name_all_that_takes_part():
    backends, without = default_backends(), default_backends(parse=False)
    assert set(backends.networks) == {weights.FACE_DETECTION, weights.FACE_MESH, "parser"}
    assert set(without.networks) == {weights.FACE_DETECTION, weights.FACE_MESH}
    assert without.make_parser is None
    assert backends.networks["parser"] == own_parser_digest()
