"""Several processes that train one model: the same weights, disjoint samples, one message."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rank_worker import CONFIG
from recipes import shuffled

from ssgan_core.config import dump_config
from ssgan_core.errors import SsganError
from ssgan_core.training import runs
from ssgan_core.training.data import StoredPortraits, stream
from ssgan_core.training.ranks import ALONE, Ranks, joined

HERE = Path(__file__).parent
PATH = os.pathsep.join([str(HERE), str(HERE.parents[1])])


def start(rank: int, port: int, *command: object) -> subprocess.Popen:
    environment = {
        **os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(heads_folder, tmp_path_factory):
    """(exit code, runs, stderr) of both processes of rank_worker, and their folder."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [start(rank, port, HERE / "rank_worker.py", heads_folder, folder) for rank in range(2)]
    ended = []
    for process in processes:
        out, trouble = process.communicate(timeout=240)
        ended.append((process.returncode, [json.loads(line) for line in out.splitlines()], trouble))
    return ended, folder


def test_all_ranks_hold_the_same_bits(pair):
    (_, first, trouble), (_, second, _) = pair[0]
    assert len(first) == len(second) == 3, trouble
    for one, two in zip(first, second, strict=True):
        assert one["digest"] == two["digest"]
        assert one["probability"] == two["probability"]
        assert one["images"] == two["images"]
    assert first[0]["probability"] != 0.3


def test_one_rank_stops_all_and_the_resumed_run_equals_the_straight_one(pair):
    straight, stopped, resumed = pair[0][0][1]
    assert (stopped["images"], stopped["finished"]) == (16, False)
    assert (resumed["images"], resumed["finished"]) == (32, True)
    assert straight["digest"] == resumed["digest"] != stopped["digest"]


def test_ranks_see_disjoint_shares_of_the_batches_that_one_process_would_see(pair, heads):
    (_, (first, *_), _), (_, (second, *_), _) = pair[0]
    batches = stream(shuffled(heads, CONFIG.seed, CONFIG.data.mirror), 8, 0, 32, workers=0)
    for one, two, batch in zip(first["shown"], second["shown"], batches, strict=True):
        assert len(one) == len(two) == 4
        assert one + two == [[int(i), bool(m)] for i, m in zip(batch.indices, batch.mirrored, strict=True)]


def test_rank_0_alone_writes_averages(pair):
    rows = runs.read_stats(pair[1] / "straight")
    assert [row["images"] for row in rows] == [0, 16, 32]
    assert all(row["ranks"] == 2 for row in rows)
    # Signs of eight logits a step, four of them on either rank, over two steps.
    assert all((row["sign_real"] * 8) % 1 == 0 for row in rows[1:])
    assert (pair[1] / "straight" / "carry-000000032-generator.safetensors").is_file()


def test_an_error_of_one_rank_ends_all_with_one_message(pair):
    (code_0, _, trouble_0), (code_1, _, trouble_1) = pair[0]
    assert code_0 == code_1 == 1
    assert "this rank's data broke off" in trouble_1
    assert "error" not in trouble_0
    assert "Traceback" not in trouble_0 + trouble_1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_torchrun_passes_on_the_end_and_the_run_is_saved_once(heads_folder, tmp_path):
    config, run = tmp_path / "tiny.yaml", tmp_path / "run"
    config.write_text(dump_config(CONFIG))
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "--",
        "ssgan_cli",
        "train",
    ]
    options = ["--config", config, "--device", "cpu", "--run", run, "--set", "training.kimg=1000"]
    process = subprocess.Popen(
        [sys.executable, *map(str, [*command, heads_folder, *options])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(runs.read_stats(run)) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, trouble = process.communicate(timeout=120)
    assert trouble.count("stopped and saved") == 1, trouble
    assert out.count("wrote ") == 3  # model, and the two files to carry on with
    assert "error" not in out
    last = runs.read_stats(run)[-1]["images"]
    assert last < 1_000_000
    assert runs.newest_model(run) == runs.model_path(run, last)
    assert (run / runs.STATE_NAME).is_file()


def test_without_torchrun_there_is_one_rank(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks == ALONE
    assert ALONE.any(True)
    assert ALONE.from_first(lambda: 3) == 3
    value = torch.ones(2)
    ALONE.average([value])
    ALONE.broadcast([value])
    assert value.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("variables", "words"), [({"WORLD_SIZE": "2"}, "RANK is not set"), ({"WORLD_SIZE": "two"}, "no number")]
)
def test_an_environment_that_is_not_torchruns_is_named(monkeypatch, variables, words):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SsganError, match=words) as raised, joined():
        pass
    assert "torchrun" in raised.value.hint


def test_batches_that_do_not_split_are_refused():
    Ranks(1, 2).check_batch(16, 4)
    with pytest.raises(SsganError, match="does not split over 3 processes"):
        Ranks(1, 3).check_batch(16, 4)


def test_every_rank_draws_numbers_of_its_own():
    """A generator takes 32 bits of its seed: offsets must differ in those, for neighbouring steps, too."""
    seeds = {(step + Ranks(rank, 64).seed_offset) % 2**32 for rank in range(64) for step in range(1000)}
    assert len(seeds) == 64_000
    first, second = (
        torch.randn(4, generator=torch.Generator().manual_seed(Ranks(rank, 2).seed_offset))
        for rank in range(2)
    )
    assert not torch.equal(first, second)


def test_stored_portraits_of_a_rank_are_its_share(heads):
    shares = [StoredPortraits(heads.dataset, ranks=Ranks(rank, 2)) for rank in range(2)]
    one, two = (next(share.batches(CONFIG, 8, 24)) for share in shares)
    (whole,) = stream(shuffled(heads, CONFIG.seed, True), 8, 8, 16, workers=1)
    assert torch.equal(torch.cat([one.images, two.images]), whole.images)
