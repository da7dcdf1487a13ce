"""The high-quality networks: weights that are refused, facexlib that is missing, and the real networks with random
weights where facexlib can be imported."""

from __future__ import annotations

import hashlib
import importlib.abc
import io
import os
import pickle
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.preparation import facexlib_nets, weights
from ssgan_core.preparation.detection import FaceBox
from ssgan_core.preparation.facexlib_nets import hopenet, parsers, retinaface
from ssgan_core.preparation.facexlib_nets.hopenet import Hopenet
from ssgan_core.preparation.facexlib_nets.loading import facexlib_module, load_network
from ssgan_core.preparation.facexlib_nets.parsers import FacexlibParser
from ssgan_core.preparation.facexlib_nets.retinaface import RetinaFaceDetector
from ssgan_core.preparation.weight_files import BISENET, HOPENET, PARSENET, RETINAFACE_MOBILENET

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def facexlib_trouble() -> str:
    """Why the real networks cannot be made here; empty where they can."""
    try:
        facexlib_module("detection.retinaface")
    except SsganError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def _facexlib():
    if trouble := facexlib_trouble():
        pytest.skip(trouble)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """place(name, state) saves a state dictionary under a real name, and makes its digest the listed one."""
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)

    def save(name, state):
        content = state
        if not isinstance(state, bytes):
            buffer = io.BytesIO()
            torch.save(state, buffer)
            content = buffer.getvalue()
        (tmp_path / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        file = weights.WeightFile(name, digest, "a test", "free", "the test goes on", url="file:///nowhere")
        monkeypatch.setitem(weights.EXTRA_FILES, name, file)
        return tmp_path

    return save


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("key", ["", "params"])
def test_a_network_gets_the_tensors_of_its_file(place, prefix, key):
    source = nn.Linear(3, 2)
    state = OrderedDict((prefix + name, tensor) for name, tensor in source.state_dict().items())
    folder = place(BISENET, {key: state} if key else state)
    network, digests = load_network(BISENET, lambda: nn.Linear(3, 2), folder, "cpu", key)
    assert torch.equal(network.weight, source.weight)
    assert not network.training
    assert not network.weight.requires_grad
    assert digests == weights.digests([BISENET], folder)


@pytest.mark.parametrize(
    "state",
    [
        nn.Linear(3, 3).state_dict(),
        nn.Linear(3, 2, bias=False).state_dict(),
        {**nn.Linear(3, 2).state_dict(), "more": torch.zeros(1)},
        {"weight": torch.zeros(2, 3), "bias": "text"},
        {1: torch.zeros(2)},
        [torch.zeros(2)],
        {},
    ],
)
def test_tensors_that_do_not_fit_are_refused(place, state):
    folder = place(BISENET, state)
    with pytest.raises(SsganError, match=rf"the tensors of {BISENET} do not fit"):
        load_network(BISENET, lambda: nn.Linear(3, 2), folder, "cpu")


class Bomb:
    """Its pickle runs a command where it is opened."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def hostile(kind: str, canary) -> bytes:
    if kind == "pickle":
        return pickle.dumps({"weight": Bomb(canary)}, protocol=2)
    buffer = io.BytesIO()
    torch.save(
        {"weight": torch.zeros(2, 3), "bias": Bomb(canary)},
        buffer,
        _use_new_zipfile_serialization=kind == "zip",
    )
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "zip", "old"])
def test_code_in_a_weights_file_is_not_run(place, tmp_path, kind):
    canary = tmp_path / "canary"
    content = hostile(kind, canary)
    folder = place(BISENET, content)  # even where its digest is the expected one
    with pytest.raises(SsganError, match="refused"):
        load_network(BISENET, lambda: nn.Linear(3, 2), folder, "cpu")
    (folder / BISENET).write_bytes(content + b"\n")
    with pytest.raises(SsganError, match="not the expected file"):
        load_network(BISENET, lambda: nn.Linear(3, 2), folder, "cpu")
    assert not canary.exists()


def test_the_bomb_would_go_off(tmp_path):
    canary = tmp_path / "canary"
    pickle.loads(hostile("pickle", canary))
    assert canary.exists()


@pytest.mark.parametrize("keep", [0, 1, 20, 400, -1])
def test_a_truncated_file_whose_digest_was_accepted_is_refused(place, keep):
    buffer = io.BytesIO()
    torch.save(nn.Linear(3, 2).state_dict(), buffer)
    folder = place(BISENET, buffer.getvalue()[:keep])
    with pytest.raises(SsganError, match=BISENET):
        load_network(BISENET, lambda: nn.Linear(3, 2), folder, "cpu")


def test_missing_weights_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SSGAN_WEIGHTS", raising=False)
    with pytest.raises(SsganError, match=f"{HOPENET} is missing") as caught:
        load_network(HOPENET, lambda: nn.Linear(3, 2), None, "cpu")
    assert f"ssgan weights fetch {HOPENET}" in caught.value.hint


class Absent(importlib.abc.MetaPathFinder):
    """As if facexlib were not installed."""

    def find_spec(self, name, path=None, target=None):
        if name == "facexlib":
            raise ModuleNotFoundError("No module named 'facexlib'", name=name)


def forget_facexlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "facexlib"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("make", "file"),
    [
        (lambda folder: RetinaFaceDetector("mobilenet", folder), RETINAFACE_MOBILENET),
        (lambda folder: FacexlibParser("parsenet", folder), PARSENET),
        (lambda folder: Hopenet(folder), HOPENET),
    ],
)
def test_without_facexlib_one_error_says_how_to_get_it(place, monkeypatch, make, file):
    folder = place(file, nn.Linear(3, 2).state_dict())
    forget_facexlib(monkeypatch)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(SsganError, match="facexlib is not installed") as caught:
        make(folder)
    assert caught.value.hint == "pip install facexlib"


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (
            "raise RuntimeError('operator torchvision::nms\\n does not exist')",
            "torchvision::nms does not",
            "one build",
        ),
        ("import no_such_package", "no_such_package", "pip install no_such_package"),
        ("raise ImportError('numba needs NumPy 2.2 or less')", "numba needs", "one build"),
    ],
)
def test_a_broken_installation_is_one_error(tmp_path, monkeypatch, code, message, hint):
    (tmp_path / "facexlib").mkdir()
    (tmp_path / "facexlib" / "__init__.py").write_text(code)
    forget_facexlib(monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SsganError, match="facexlib cannot be imported") as caught:
        facexlib_module("detection")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in caught.value.hint


def test_choices_and_the_files_they_need():
    assert facexlib_nets.needed_files() == []
    assert facexlib_nets.needed_files("blazeface", "own") == []
    needed = facexlib_nets.needed_files("retinaface-mobilenet", "bisenet", check_pose=True)
    assert needed == [RETINAFACE_MOBILENET, BISENET, HOPENET]
    every = {*facexlib_nets.needed_files("retinaface", "parsenet"), *needed}
    assert every == set(weights.EXTRA_FILES)
    for make in (facexlib_nets.make_detector, facexlib_nets.make_parser, RetinaFaceDetector):
        with pytest.raises(SsganError, match="'another'"):
            make("another")


def picture(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)


def as_tensor(pixels: np.ndarray, mean, deviation) -> torch.Tensor:
    return torch.from_numpy(((pixels / 255 - mean) / deviation).transpose(2, 0, 1)[None].astype(np.float32))


@pytest.mark.usefixtures("_facexlib")
@torch.inference_mode()
def test_retinaface_runs_and_decodes_like_facexlib(place):
    module, utils = (facexlib_module(f"detection.{name}") for name in ("retinaface", "retinaface_utils"))
    real = module.RetinaFace("mobile0.25", device="cpu").eval()
    folder = place(
        RETINAFACE_MOBILENET, {"module." + name: tensor for name, tensor in real.state_dict().items()}
    )
    detector = facexlib_nets.make_detector("retinaface-mobilenet", folder)
    assert detector.networks == weights.digests([RETINAFACE_MOBILENET], folder)
    x = torch.randn(1, 3, 75, 101)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(detector._network(x), real(x), strict=True))
    assert all(isinstance(face, FaceBox) for level in detector.search(picture(75)) for face in level)

    priors = utils.PriorBox(real.cfg, image_size=(75, 101)).forward()
    rng = np.random.default_rng(1)
    raw_boxes, raw_points = rng.normal(size=(len(priors), 4)), rng.normal(size=(len(priors), 10))
    boxes = utils.decode(torch.from_numpy(raw_boxes), priors, real.cfg["variance"]).numpy()
    points = utils.decode_landm(torch.from_numpy(raw_points), priors, real.cfg["variance"]).numpy()
    grid = retinaface.anchors(101, 75)
    ours = list(retinaface.decode(raw_boxes, np.ones(len(priors)), raw_points, grid))
    assert len(ours) == len(priors)
    assert np.abs(np.stack([box for box, _, _ in ours]) - boxes * [101, 75, 101, 75]).max() < 1e-2
    assert np.abs(np.stack([five.reshape(-1) for _, five, _ in ours]) - points * ([101, 75] * 5)).max() < 1e-2


@pytest.mark.usefixtures("_facexlib")
@pytest.mark.parametrize(
    ("name", "file", "order", "mean", "deviation"),
    [
        ("bisenet", BISENET, "bisenet", IMAGENET_MEAN, IMAGENET_DEVIATION),
        ("parsenet", PARSENET, "celebamask-hq", 0.5, 0.5),
    ],
)
@torch.inference_mode()
def test_parsers_see_what_facexlib_sees(place, monkeypatch, name, file, order, mean, deviation):
    real = parsers._KINDS[name].make().eval()
    folder = place(file, real.state_dict())
    parser = facexlib_nets.make_parser(name, folder)
    assert parser.networks == weights.digests([file], folder)
    monkeypatch.setattr(
        parsers, "INPUT", 96
    )  # both are convolutional; 512 pixels take ParseNet too long for a test
    crop = picture(96)
    shares = real(as_tensor(crop, mean, deviation))[0].softmax(1)[0].numpy()
    expected = np.zeros((len(PORTRAIT.parts), 96, 96))
    for label, part in enumerate(PORTRAIT.lookup(order)[:19]):
        expected[part] += shares[label]
    assert (parser(crop) == expected.argmax(0)).mean() > 0.999  # rounding decides a tie now and then


@pytest.mark.usefixtures("_facexlib")
@torch.inference_mode()
def test_hopenet_sees_the_middle_of_the_crop(place):
    real = facexlib_module("headpose.hopenet_arch").HopeNet("resnet", [3, 4, 6, 3], 66).eval()
    folder = place(HOPENET, {"params": real.state_dict()})
    estimate = Hopenet(folder)
    assert estimate.networks == weights.digests([HOPENET], folder)
    crop = picture(280)
    angles = real(as_tensor(crop[28:252, 28:252], IMAGENET_MEAN, IMAGENET_DEVIATION))
    expected = hopenet.converted(*(float(angle) for angle in angles))
    pose = estimate(crop)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx(
        (expected.yaw, expected.pitch, expected.roll), abs=1e-2
    )
