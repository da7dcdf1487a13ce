"""The parser as users meet it: shapes, sums, sizes, features, and files that are none of its own."""

import pickle
import shutil

import pytest
import torch

from ssgan_core.checkpoints import read_tensors, save_model, write_tensors
from ssgan_core.errors import SsganError
from ssgan_core.parsing.network import ParserNetwork
from ssgan_core.parsing.parser import SHIPPED, FaceParser, save_parser
from ssgan_core.parts import PORTRAIT

CLASSES = len(PORTRAIT.parts)


@pytest.fixture(scope="module")
def parser():
    torch.set_num_threads(1)
    return FaceParser.load()


@pytest.fixture
def weights(tmp_path):
    """A small parser's file."""
    path = tmp_path / "small.safetensors"
    torch.manual_seed(0)
    save_parser(path, ParserNetwork(CLASSES, (8, 8, 8, 8, 16)), {"recipe": {"seed": 3}})
    return path


def pictures(batch, height, width):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_shipped_weights_are_small_and_say_where_they_come_from(parser):
    assert SHIPPED.stat().st_size < 4e6
    assert sum(value.numel() for value in parser.network.parameters()) < 1.9e6
    assert parser.metadata["data"]["source"] == "synthetic portraits of this project alone"
    assert parser.metadata["recipe"]["seed"] >= 0
    assert len(parser.sha256) == 64
    assert (SHIPPED.parent / "README.md").is_file()


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (100, 173), (300, 200), (64, 900)])
def test_probabilities_of_any_size_sum_to_one(parser, size):
    found = parser.probabilities(pictures(2, *size))
    assert found.shape == (2, CLASSES, *size)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(2, *size))


def test_masks_are_the_likeliest_ids(parser):
    images = pictures(2, 96, 80)
    mask = parser.mask(images)
    assert mask.dtype == torch.uint8
    assert torch.equal(mask.long(), parser.probabilities(images).argmax(1))


def test_mirrored_pictures_have_mirrored_parts(parser):
    images = pictures(2, 96, 80)
    mirror = torch.from_numpy(PORTRAIT.mirror_ids)
    expected = parser.probabilities(images).flip(-1)[:, mirror]
    torch.testing.assert_close(parser.probabilities(images.flip(-1)), expected, rtol=1e-3, atol=1e-4)


def test_features_are_one_vector_a_picture_whatever_its_size(parser):
    images = pictures(3, 128, 128)
    found = parser.features(images)
    assert found.shape == (3, parser.feature_size) == (3, 240)
    assert found.isfinite().all()
    assert parser.features(pictures(1, 64, 90)).shape == (1, 240)
    torch.testing.assert_close(found[1:2], parser.features(images[1:2]), rtol=1e-4, atol=1e-5)
    assert (found.std(0) > 0).any()


def test_pictures_that_cannot_be_parsed(parser):
    with pytest.raises(SsganError, match="80 x 63 pixels are too small"):
        parser.probabilities(pictures(1, 63, 80))
    with pytest.raises(ValueError, match="images are"):
        parser.features(torch.zeros(1, 1, 64, 64))


def test_a_file_round_trip_keeps_weights_in_half_precision(tmp_path):
    network = ParserNetwork(CLASSES, (8, 8, 8, 8, 16))
    digest = save_parser(tmp_path / "a.safetensors", network, {"recipe": {"seed": 3}})
    parser = FaceParser.load(tmp_path / "a.safetensors", device="cpu")
    assert (parser.sha256, parser.metadata["recipe"], parser.feature_size) == (digest, {"seed": 3}, 24)
    assert parser.schema == PORTRAIT
    for name, value in network.state_dict().items():
        assert torch.equal(parser.network.state_dict()[name], value.half().float())


def test_truncated_and_flipped_files_are_noticed(weights):
    whole = weights.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:length])
        with pytest.raises(SsganError, match="is not a parser of ssgan") as caught:
            FaceParser.load(weights)
        assert caught.value.hint
    for place in range(0, len(whole), len(whole) // 60):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        weights.write_bytes(broken)
        with pytest.raises(SsganError, match="small"):
            FaceParser.load(weights)


def test_files_of_something_else(tmp_path, weights):
    with pytest.raises(SsganError, match="there is no parser"):
        FaceParser.load(tmp_path / "missing.safetensors")
    path = tmp_path / "model.safetensors"
    save_model(path, {"a": torch.zeros(2)}, {})
    with pytest.raises(SsganError, match="is a model, not a parser"):
        FaceParser.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SsganError, match="is not a parser of ssgan") as caught:
        FaceParser.load(path)
    assert "pickles are never opened" in caught.value.hint
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(SsganError, match="is not a parser of ssgan"):
        FaceParser.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": PORTRAIT.to_json()[:5]}, "other parts"),
        ({"parts": None}, "part schema"),
        ({"widths": [8, 8, 8, 8, 24]}, "do not fit"),
        ({"widths": [8, 8]}, "do not fit"),
        ({"widths": []}, "do not fit"),
        ({"widths": [8, 8, 8, 8, 7]}, "impossible network"),
        ({"widths": [8, 8, 8, 8, 1 << 20]}, "impossible network"),
        ({"widths": "8"}, "impossible network"),
    ],
)
def test_files_of_another_schema_or_network(weights, change, message):
    file = read_tensors(weights, "parser")
    write_tensors(weights, "parser", file.tensors, {**file.metadata, **change})
    with pytest.raises(SsganError, match=message):
        FaceParser.load(weights)


def test_the_file_is_found_where_it_is_copied_to(tmp_path, parser):
    copied = shutil.copy(SHIPPED, tmp_path / "elsewhere.safetensors")
    assert FaceParser.load(copied).sha256 == parser.sha256
