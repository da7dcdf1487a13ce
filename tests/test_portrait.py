"""Portrait files: what is written reads back exactly, and nothing impossible comes in."""

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import save_model, write_tensors
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.parts import PORTRAIT
from ssgan_core.portrait import Portrait, load_portrait, save_portrait

PARTS = PORTRAIT.names


@pytest.fixture
def portrait():
    generator = torch.Generator().manual_seed(0)
    codes = Codes(
        torch.randn(1, 16, generator=generator),
        torch.randn(1, 12, 16, generator=generator),
        torch.randn(1, 13, 16, generator=generator),
    )
    return Portrait(codes, cameras.label(0.3, -0.1), "ab" * 32, PARTS, "../runs/00000-x/model.safetensors")


def tensors_of(portrait):
    codes = portrait.codes
    label = torch.from_numpy(portrait.label)
    return {
        "w_base": codes.base[0],
        "w_shape": codes.shape[0],
        "w_texture": codes.texture[0],
        "camera": label,
    }


METADATA = {"model_sha256": "ab" * 32, "model_path": "", "parts": list(PARTS)}


def test_round_trip(tmp_path, portrait):
    path = tmp_path / "ä [1].portrait"
    save_portrait(path, portrait)
    found = load_portrait(path)
    for name in ("base", "shape", "texture"):
        assert torch.equal(getattr(found.codes, name), getattr(portrait.codes, name))
    np.testing.assert_array_equal(found.label, portrait.label)
    assert found.label.dtype == np.float32
    assert (found.model_sha256, found.part_names) == (portrait.model_sha256, PARTS)
    assert found.model_path == portrait.model_path


def test_the_file_is_plain_safetensors(tmp_path, portrait):
    save_portrait(tmp_path / "x.portrait", portrait)
    stored = safetensors.torch.load_file(tmp_path / "x.portrait")
    shapes = {name: list(tensor.shape) for name, tensor in stored.items()}
    assert shapes == {"w_base": [16], "w_shape": [12, 16], "w_texture": [13, 16], "camera": [25]}


def test_half_precision_codes_are_kept_as_floats(tmp_path, portrait):
    codes = portrait.codes
    halved = Codes(codes.base.bfloat16(), codes.shape.bfloat16(), codes.texture.bfloat16())
    save_portrait(tmp_path / "x.portrait", replace(portrait, codes=halved))
    assert torch.equal(load_portrait(tmp_path / "x.portrait").codes.shape, codes.shape.bfloat16().float())


def test_codes_that_are_not_finite_are_never_written(tmp_path, portrait):
    for value in (float("nan"), float("inf")):
        codes = portrait.codes
        shape = codes.shape.clone()
        shape[0, 3, 5] = value
        with pytest.raises(SsganError, match="w_shape holds values that are not finite"):
            save_portrait(tmp_path / "x.portrait", replace(portrait, codes=replace(codes, shape=shape)))
    with pytest.raises(SsganError, match="camera"):
        save_portrait(tmp_path / "x.portrait", replace(portrait, label=np.zeros(25, np.float32)))
    with pytest.raises(SsganError, match=r"does not end in \.portrait"):
        save_portrait(tmp_path / "x.safetensors", portrait)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("w_base", torch.full((16,), torch.nan), "w_base holds values that are not finite"),
        ("w_texture", torch.full((13, 16), -torch.inf), "w_texture holds values that are not finite"),
        ("w_base", torch.zeros(16, dtype=torch.float64), "not finite float32"),
        ("w_base", torch.zeros(15), "w_shape has the shape"),
        ("w_base", torch.zeros(1, 16), "w_base has the shape"),
        ("w_base", torch.tensor(1.0), "w_base has the shape"),
        ("w_shape", torch.zeros(13, 16), "w_shape has the shape"),
        ("w_texture", torch.zeros(12, 16), "w_texture has the shape"),
        ("camera", torch.zeros(24), "camera has the shape"),
        ("camera", torch.zeros(25), "no rigid"),
        ("camera", None, "a portrait holds"),
        ("extra", torch.zeros(1), "a portrait holds"),
    ],
)
def test_impossible_tensors(tmp_path, portrait, name, value, message):
    tensors = {**tensors_of(portrait), name: value}
    if value is None:
        del tensors[name]
    path = tmp_path / "x.portrait"
    write_tensors(path, "portrait", tensors, METADATA)
    with pytest.raises(SsganError, match=message) as caught:
        load_portrait(path)
    assert "x.portrait" in caught.value.message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("parts", None, "does not name its parts"),
        ("parts", ["a", 3], "does not name its parts"),
        ("parts", [], "does not fit"),
        ("model_sha256", 3, "does not name its model"),
        ("model_path", None, "does not name its model"),
        ("model_path", "a\0b", "does not name its model"),
    ],
)
def test_impossible_metadata(tmp_path, portrait, key, value, message):
    path = tmp_path / "x.portrait"
    write_tensors(path, "portrait", tensors_of(portrait), {**METADATA, key: value})
    with pytest.raises(SsganError, match=message):
        load_portrait(path)


def test_other_files_are_no_portraits(tmp_path):
    path = tmp_path / "x.portrait"
    with pytest.raises(SsganError, match="there is no portrait at"):
        load_portrait(path)
    save_model(path, {"weight": torch.zeros(3)}, {"config": {}})
    with pytest.raises(SsganError, match="is a model, not a portrait"):
        load_portrait(path)
    path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(SsganError, match="is not a portrait"):
        load_portrait(path)
    with path.open("wb") as file:
        file.truncate((1 << 26) + 1)
    with pytest.raises(SsganError, match="too large"):
        load_portrait(path)


def test_every_flipped_bit_is_noticed(tmp_path, portrait):
    path = tmp_path / "x.portrait"
    save_portrait(path, portrait)
    content = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        broken = bytearray(content)
        broken[place] ^= 1 << (int(place) % 8)
        path.write_bytes(broken)
        with pytest.raises(SsganError):
            load_portrait(path)
