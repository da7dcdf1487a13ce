"""Models and training state: exact, verified, never half-written, and never executed."""

import collections
import hashlib
import io
import json
import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from ssgan_core.checkpoints import (
    FORMAT,
    halved,
    load_model,
    load_state,
    read_tensors,
    save_model,
    save_state,
    stated_sha256,
)
from ssgan_core.errors import SsganError


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(4, 5, generator=generator),
        "half": torch.randn(7, generator=generator).bfloat16(),
        "count": torch.tensor(3),
        "empty": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "last": torch.randn(2, 3, 4, 4, generator=generator).to(memory_format=torch.channels_last),
    }


METADATA = {"config": {"model": {"latent": 16, "rate": 1e-5}}, "parts": [{"name": "häar"}], "recipe": None}


def state():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    module(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    return {
        "images": 1280,
        "rate": 0.5,
        "name": "x",
        "none": None,
        "flag": True,
        "pair": (1, [2.0, "three"]),
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
    }


def test_half_precision_keeps_what_it_must(tmp_path):
    exact = {
        "matrix": torch.randn(40, 50, generator=torch.Generator().manual_seed(0)),
        "vector": torch.tensor([0.19, 1 / 3]),
        "width": torch.tensor(0.0125),
        "huge": torch.full((2, 2), 1e6),
        "table": torch.arange(6).reshape(2, 3),
    }
    digest = save_model(tmp_path / "m.safetensors", halved(exact), {})
    stored = read_tensors(tmp_path / "m.safetensors", "model").tensors
    assert {name for name, tensor in stored.items() if tensor.dtype == torch.float16} == {"matrix"}
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.sha256 == digest == stated_sha256(tmp_path / "m.safetensors")
    wanted = {**exact, "matrix": exact["matrix"].half().float()}
    assert loaded.tensors.keys() == wanted.keys()
    assert all(equal(loaded.tensors[name], tensor) for name, tensor in wanted.items())


@pytest.mark.parametrize("content", [None, b"", b"hello", b"\x80" * 50])
def test_no_digest_of_what_is_no_file_of_ours(tmp_path, content):
    path = tmp_path / "a [x].safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SsganError, match=r"a \[x\]"):
        stated_sha256(path)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(SsganError, match=r"a \[x\]"):
        stated_sha256(path)


def equal(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two) and one.dtype == two.dtype
    if isinstance(one, dict):
        return list(one) == list(two) and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(two) and len(one) == len(two) and all(map(equal, one, two))
    return type(one) is type(two) and one == two


# ------------------------------------------------------------------------------------------- models


def test_model_round_trip(tmp_path):
    path = tmp_path / "runs [1]" / "model.safetensors"
    sha256 = save_model(path, tensors(), METADATA)
    found = load_model(path)
    assert found.metadata == {**METADATA, "format": FORMAT, "kind": "model"}
    assert found.sha256 == sha256
    assert len(sha256) == 64
    assert set(found.tensors) == set(tensors())
    for name, tensor in tensors().items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype


def test_the_digest_is_the_identity_of_the_content(tmp_path):
    path = tmp_path / "m.safetensors"
    first = save_model(path, tensors(), METADATA)
    assert save_model(path, dict(reversed(tensors().items())), METADATA) == first
    changed = tensors()
    changed["weight"][0, 0] += 1
    assert save_model(path, changed, METADATA) != first
    reshaped = {**tensors(), "weight": tensors()["weight"].reshape(5, 4)}
    assert save_model(path, reshaped, METADATA) != first
    retyped = {**tensors(), "weight": tensors()["weight"].view(torch.int32)}
    assert save_model(path, retyped, METADATA) != first
    assert save_model(path, tensors(), {**METADATA, "recipe": 1}) != first


def test_what_earlier_versions_kept_and_nothing_reads_is_left_out(tmp_path):
    old = {**tensors(), "mapping.choice_means": torch.ones(3, 2)}
    digest = save_model(tmp_path / "old.safetensors", old, {})
    found = load_model(tmp_path / "old.safetensors")
    assert set(found.tensors) == set(tensors())
    assert found.sha256 == digest


def test_loaded_tensors_do_not_depend_on_the_file(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, tensors(), METADATA)
    found = load_model(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(found.tensors["weight"], tensors()["weight"])


@pytest.fixture
def model_bytes(tmp_path):
    path = tmp_path / "whole.safetensors"
    save_model(
        path, {"a": torch.randn(3), "b": torch.randn(2, 2).bfloat16()}, {"config": {"é": 1e-05}, "parts": []}
    )
    return path.read_bytes()


def test_every_flipped_bit_of_a_model_is_noticed(tmp_path, model_bytes):
    path = tmp_path / "broken.safetensors"
    for place in range(len(model_bytes)):
        broken = bytearray(model_bytes)
        broken[place] ^= 1 << (place % 8)
        path.write_bytes(broken)
        with pytest.raises(SsganError, match="broken"):
            load_model(path)


def test_a_change_of_case_in_a_models_header_is_noticed(tmp_path, model_bytes):
    # 1e-05 and 1E-05, \u00e9 and \u00E9 are the same JSON: a digest of parsed values would not see this.
    path = tmp_path / "broken.safetensors"
    letters = [place for place, byte in enumerate(model_bytes[8:300], 8) if chr(byte).isalpha()]
    assert len(letters) > 50
    for place in letters:
        broken = bytearray(model_bytes)
        broken[place] ^= 0x20
        path.write_bytes(broken)
        with pytest.raises(SsganError):
            load_model(path)


def test_truncated_models(tmp_path, model_bytes):
    path = tmp_path / "broken.safetensors"
    for length in [*range(0, 16), len(model_bytes) // 2, len(model_bytes) - 1]:
        path.write_bytes(model_bytes[:length])
        with pytest.raises(SsganError, match="is not a model of ssgan") as caught:
            load_model(path)
        assert "\n" not in caught.value.message
    path.write_bytes(model_bytes + b"\0")
    with pytest.raises(SsganError):
        load_model(path)


@pytest.mark.parametrize("size", [0, 1, 7, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_absurd_header_sizes(tmp_path, size):
    path = tmp_path / "m.safetensors"
    path.write_bytes(size.to_bytes(8, "little") + b"{}" * 40)
    with pytest.raises(SsganError, match="is not a model of ssgan"):
        load_model(path)


def with_metadata(path, notes):
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}, notes))
    return path


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        (None, "metadata lack"),
        ({"format": "pt"}, "metadata lack"),
        ({"ssgan": "{}"}, "metadata lack"),
        ({"ssgan": "", "sha256": ""}, "not valid JSON"),
        ({"ssgan": "{" * 9, "sha256": ""}, "not valid JSON"),
        ({"ssgan": "[" * 100_000, "sha256": ""}, "not valid JSON"),
        ({"ssgan": "[1]", "sha256": ""}, "name no format"),
        ({"ssgan": "{}", "sha256": ""}, "name no format"),
        ({"ssgan": '{"format": "1"}', "sha256": ""}, "name no format"),
        ({"ssgan": json.dumps({"format": FORMAT + 1}), "sha256": ""}, "has format 2, this version reads 1"),
        ({"ssgan": '{"format": 1, "kind": "model"}', "sha256": "0" * 64}, "does not match its sha256"),
    ],
)
def test_metadata_that_are_not_ours(tmp_path, notes, message):
    with pytest.raises(SsganError, match=message):
        load_model(with_metadata(tmp_path / "m.safetensors", notes))


def test_models_that_are_no_files(tmp_path):
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(SsganError, match="there is no model at"):
            load_model(path)


# -------------------------------------------------------------------------------------------- state


def test_state_round_trip(tmp_path):
    torch.manual_seed(0)
    original = state()
    save_state(tmp_path / "state.pt", original)
    found = load_state(tmp_path / "state.pt")
    assert equal(found, {**original, "module": dict(original["module"])})


def test_state_refuses_to_save_what_it_could_not_load(tmp_path):
    for value, message in [
        (np.float64(1), r"state\.a is a float64"),
        (np.zeros(2), r"state\.a is a ndarray"),
        ([{"b": object()}], r"state\.a\[0\]\.b is a object"),
        ({(1, 2): 3}, r"state\.a has the key \(1, 2\)"),
    ]:
        with pytest.raises(TypeError, match=message):
            save_state(tmp_path / "state.pt", {"a": value})
    save_state(tmp_path / "state.pt", {"a": collections.OrderedDict(b=1)})
    assert load_state(tmp_path / "state.pt") == {"a": {"b": 1}}


def test_flipped_bits_and_truncation_of_a_state_are_noticed(tmp_path):
    path = tmp_path / "state.pt"
    save_state(path, {"a": torch.zeros(4), "b": 1})
    content = path.read_bytes()
    places = [*range(80), *np.random.default_rng(0).integers(80, len(content), 150)]
    for place in places:
        broken = bytearray(content)
        broken[place] ^= 1 << (int(place) % 8)
        path.write_bytes(broken)
        with pytest.raises(SsganError, match=r"state\.pt"):
            load_state(path)
    for length in (0, 1, 20, 40, 60, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(SsganError, match=r"state\.pt"):
            load_state(path)


def test_a_state_of_a_newer_format(tmp_path):
    path = tmp_path / "state.pt"
    save_state(path, {"a": 1})
    path.write_bytes(path.read_bytes().replace(b"   1\n", b"   2\n", 1))
    with pytest.raises(SsganError, match="newer ssgan"):
        load_state(path)


def test_states_that_are_no_files(tmp_path):
    with pytest.raises(SsganError, match="No such file"):
        load_state(tmp_path / "missing.pt")
    with pytest.raises(SsganError, match="cannot read"):
        load_state(tmp_path)


# ------------------------------------------------------------------------------------ hostile files


class Canary:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def hostile(kind, canary):
    buffer = io.BytesIO()
    if kind == "torch zip":
        torch.save({"a": Canary(canary)}, buffer)
    elif kind == "torch legacy":
        torch.save({"a": Canary(canary)}, buffer, _use_new_zipfile_serialization=False)
    else:
        pickle.dump({"G_ema": Canary(canary)}, buffer, protocol=0 if kind == "old pickle" else 4)
    return buffer.getvalue()


KINDS = ["torch zip", "torch legacy", "pickle", "old pickle"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("load", [load_state, load_model])
def test_pickles_are_refused_and_not_executed(tmp_path, load, kind):
    path, canary = tmp_path / "network-snapshot.pkl", tmp_path / "canary"
    path.write_bytes(hostile(kind, canary))
    with pytest.raises(SsganError, match=r"network-snapshot\.pkl is not"):
        load(path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))  # the canary does sing
    assert canary.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_dressed_as_a_state_is_refused_and_not_executed(tmp_path, kind):
    path, canary = tmp_path / "state.pt", tmp_path / "canary"
    save_state(path, {"a": 1})
    header = path.read_bytes()[: len(b"ssgan training state    1\n")]
    body = hostile(kind, canary)
    path.write_bytes(header + hashlib.sha256(body).digest() + body)
    with pytest.raises(SsganError, match="more than tensors and numbers"):
        load_state(path)
    assert not canary.exists()


# ---------------------------------------------------------------------------- kills and full disks

SAVE_AND_KILL = """
import os, pathlib, random, signal, sys, time, torch
from ssgan_core.checkpoints import load_model, load_state, save_model, save_state
from ssgan_core.files import sweep_temporaries

torch.set_num_threads(1)
folder = pathlib.Path(sys.argv[1])

def save(count):
    value = torch.full((50_000,), float(count))
    save_model(folder / "model.safetensors", {"value": value}, {"count": count})
    save_state(folder / "state.pt", {"value": value, "count": count})

def save_forever(count):
    while True:
        count += 1
        save(count)

save(0)
moments = random.Random(0)
for _ in range(12):
    begun = load_state(folder / "state.pt")["count"]
    child = os.fork()
    if child == 0:
        save_forever(begun)
    while load_state(folder / "state.pt")["count"] < begun + 1:
        time.sleep(0.001)
    time.sleep(moments.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    model, state = load_model(folder / "model.safetensors"), load_state(folder / "state.pt")
    assert (model.tensors["value"] == model.metadata["count"]).all()
    assert (state["value"] == state["count"]).all()
    assert 0 <= model.metadata["count"] - state["count"] <= 1
    sweep_temporaries(folder)
    assert sorted(os.listdir(folder)) == ["model.safetensors", "state.pt"]
print("kills survived")
"""


def test_a_kill_while_saving_leaves_loadable_files(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SAVE_AND_KILL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "kills survived\n", done.stderr


FILL_DISK = """
import pathlib, sys, torch
from ssgan_core.checkpoints import save_model, save_state
from ssgan_core.errors import SsganError
folder = pathlib.Path(sys.argv[1])
for save, name in ((save_model, "model.safetensors"), (save_state, "state.pt")):
    arguments = ({},) if save is save_model else ()
    try:
        save(folder / name, {"value": torch.zeros(1 << 18)}, *arguments)
    except SsganError as error:
        print(error.message)
"""


def test_a_full_disk_keeps_the_old_files(tmp_path):
    save_model(tmp_path / "model.safetensors", {"a": torch.ones(2)}, {})
    save_state(tmp_path / "state.pt", {"a": 1})
    done = subprocess.run(
        [sys.executable, "-c", FILL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("cannot write") for line in lines)
    assert torch.equal(load_model(tmp_path / "model.safetensors").tensors["a"], torch.ones(2))
    assert load_state(tmp_path / "state.pt") == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 2
