"""The parser that ships with the package, as the preparation uses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssgan_core.errors import SsganError
from ssgan_core.parsing.parser import FaceParser
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import read_image
from ssgan_core.preparation import weights
from ssgan_core.preparation.backends import choose_backends, needed_files
from ssgan_core.preparation.parsers import OwnParser, own_parser_digest
from ssgan_core.preparation.weight_files import FACE_DETECTION, FACE_MESH


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
def test_backends_name_all_that_takes_part():
    backends, without = choose_backends(), choose_backends(parser=None)
    assert set(backends.networks) == {FACE_DETECTION, FACE_MESH, "parser"}
    assert set(without.networks) == {FACE_DETECTION, FACE_MESH}
    assert without.make_parser is None
    assert backends.networks["parser"] == own_parser_digest()


def test_names_of_networks_are_checked_and_say_which_weights_they_need():
    assert needed_files() == []
    assert needed_files(parser=None) == []
    assert needed_files("retinaface", "bisenet", True) == [
        "detection_Resnet50_Final.pth", "parsing_bisenet.pth", "headpose_hopenet.pth",
    ]  # fmt: skip
    assert needed_files("retinaface-mobilenet", None) == ["detection_mobilenet0.25_Final.pth"]
    with pytest.raises(SsganError, match="no face detector 'haar'"):
        needed_files("haar")
    with pytest.raises(SsganError, match="no parser 'unet'"):
        needed_files(parser="unet")


def test_missing_weights_are_an_error_that_names_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path))
    with pytest.raises(SsganError, match=r"face_detection_short_range\.tflite is missing"):
        choose_backends(tmp_path, parser="parsenet")
