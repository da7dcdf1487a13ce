"""Portraits rendered while training runs: the user's words, the order, the processes, exact resume."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_portraits import FakeRenderer
from typer.testing import CliRunner

from ssgan_cli.app import app
from ssgan_core import cameras
from ssgan_core.checkpoints import load_model
from ssgan_core.config import config_from_json, dump_config
from ssgan_core.errors import SsganError
from ssgan_core.parts import PORTRAIT
from ssgan_core.training import runs
from ssgan_core.training.facts import gather_facts
from ssgan_core.training.loop import train
from ssgan_core.training.ranks import ALONE, Ranks
from ssgan_core.training.streaming.heads import HeadRenderer
from ssgan_core.training.streaming.order import ShowOrder, Window, plan_window
from ssgan_core.training.streaming.source import StreamedPortraits
from ssgan_core.training.streaming.spec import StreamSpec, parse_stream

SIZE = 16
SPEC = StreamSpec(heads=7, views=2, seed=5, reuse=3, workers=1)
WINDOW = Window(group=4, stride=2, alive=5, ahead=2)


def recipe(**training):
    model = {
        "resolution": SIZE, "render_resolution": 8, "part_resolution": 8, "latent": 16, "part_width": 8, "features": 4,
        "depth_width": 8, "frequencies": 4, "highest_frequency": 4.0, "upsampler_width": 16, "base_layers": 1,
        "shape_layers": 1, "texture_layers": 1, "uniform_boundaries": 8, "importance_boundaries": 4,
    }  # fmt: skip
    settings = {
        "kimg": 0.032,
        "batch": 4,
        "tick_kimg": 0.008,
        "snapshot_kimg": 0.008,
        "precision": "fp32",
        **training,
    }
    tree = {"seed": 3, "model": model, "discriminator": {"width": 8, "most_width": 16}, "training": settings}
    return config_from_json(tree, "test")


@pytest.fixture
def opened():
    """Make sources that are closed when the test ends."""
    sources = []

    def make(spec=SPEC, ranks=ALONE, **renderer):
        sources.append(StreamedPortraits(spec, SIZE, FakeRenderer(**renderer), ranks))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


# ------------------------------------------------------------------------------------ the user's words


def test_every_option_is_read():
    assert parse_stream("synth:") == StreamSpec()
    spec = parse_stream("synth:workers=3,heads=10,views=4,seed=7,reuse=1")
    assert spec == StreamSpec(heads=10, views=4, seed=7, reuse=1, workers=3)
    assert parse_stream(str(spec)) == replace(spec, workers=0)
    assert spec.processes == 3
    assert StreamSpec().processes >= 1


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("synth:head=3", "no option 'head'", "did you mean 'heads'?"),
        ("synth:size=64", "no option 'size'", "options are heads, views"),
        ("synth:heads=many", "heads .* whole number from 1 to 10000000, got 'many'", "heads=20000"),
        ("synth:heads=0", "got '0'", ""),
        ("synth:views=-1", "got '-1'", ""),
        ("synth:reuse=2.5", "got '2.5'", ""),
        ("synth:seed=", "got ''", ""),
        ("synth:seed=９", "got", ""),
        ("synth:heads", "cannot read 'heads'", "synth:heads=20000"),
        ("synth:heads=3,", "cannot read ''", ""),
        ("synth:heads=3,heads=4", "gives 'heads' twice", ""),
    ],
)
def test_what_cannot_be_read_is_named(text, message, hint):
    with pytest.raises(SsganError, match=message) as raised:
        parse_stream(text)
    assert hint in raised.value.hint


# ------------------------------------------------------------------------------------------ the order


def flat(order, start, stop):
    """(number, view, mirrored, round) of positions."""
    return [
        (int(number), int(view), bool(mirrored), round_number)
        for round_number, shows in order.shows(start, stop)
        for number, view, mirrored in zip(shows.numbers, shows.views, shows.mirrored, strict=True)
    ]


def test_every_view_is_shown_so_many_times_within_the_window():
    order = ShowOrder(SPEC, WINDOW, seed=1, mirror=True)
    places = defaultdict(list)
    for place, (number, view, mirrored, round_number) in enumerate(flat(order, 0, 2000)):
        assert number // WINDOW.group in order.groups(round_number)
        places[number, view].append((place, mirrored, round_number))
    last = max(number for number, _ in places) - WINDOW.alive * WINDOW.group - WINDOW.group
    whole = [shown for (number, _), shown in places.items() if number <= last]
    assert len(whole) == 2 * (last + 1) > 100
    for shown in whole:
        assert len(shown) == SPEC.reuse
        rounds = [round_number for _, _, round_number in shown]
        assert np.diff(rounds).tolist() == [WINDOW.stride] * (SPEC.reuse - 1)
        flips = [mirrored for _, mirrored, _ in shown]
        assert flips in ([True, False, True], [False, True, False])
    firsts = [shown[0][1] for shown in whole]
    assert 0.3 < np.mean(firsts) < 0.7


def test_two_views_of_a_head_are_half_a_section_apart():
    order = ShowOrder(SPEC, WINDOW, seed=1, mirror=True)
    places = defaultdict(list)
    for place, (number, _, _, round_number) in enumerate(flat(order, 0, 3000)):
        places[number, round_number].append(place)
    for (_, round_number), found in places.items():
        if len(found) == SPEC.views:
            section = len(order.groups(round_number)) * WINDOW.group
            assert abs(found[1] - found[0]) > section // 2 - 1


def test_heads_repeat_only_when_all_were_used_and_epochs_differ():
    order = ShowOrder(SPEC, WINDOW, seed=1, mirror=True)
    epochs = [tuple(order.identity(number) for number in range(7 * e, 7 * e + 7)) for e in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len(set(epochs)) > 1


def test_the_order_is_the_same_from_any_position_and_depends_on_the_recipes_seed():
    order = ShowOrder(SPEC, WINDOW, 1, True)
    straight = flat(order, 0, 400)
    for start in (1, 15, 16, 17, 48, 100, 399):
        assert flat(ShowOrder(SPEC, WINDOW, 1, True), start, 400) == straight[start:]
    assert flat(ShowOrder(SPEC, WINDOW, 2, True), 0, 400) != straight
    assert not any(mirrored for _, _, mirrored, _ in flat(ShowOrder(SPEC, WINDOW, 1, False), 0, 400))


def test_ranks_share_the_identities_and_each_has_an_order_of_its_own():
    orders = [ShowOrder(SPEC, WINDOW, 1, True, rank, 3) for rank in range(3)]
    alone = ShowOrder(SPEC, WINDOW, 1, True)
    shared = [order.identity(number) for number in range(14) for order in orders]
    assert shared == [alone.identity(number) for number in range(42)]
    assert flat(orders[0], 0, 100) == flat(alone, 0, 100)
    assert flat(orders[1], 0, 100) != flat(alone, 0, 100)
    assert flat(ShowOrder(SPEC, WINDOW, 1, True, 1, 3), 60, 100) == flat(orders[1], 0, 100)[60:]


def test_windows_shrink_to_fit_and_say_when_nothing_does():
    spec = StreamSpec()
    for size, stride in ((128, 8), (512, 4), (1024, 2)):
        window = plan_window(spec, 6 * size**2, 2 << 30)
        assert window.stride == stride
        assert window.identities * spec.views * 6 * size**2 <= 2 << 30
    assert plan_window(replace(spec, heads=3), 1, 1 << 20).group == 3
    with pytest.raises(SsganError, match=r"more than the 2\.0 GiB"):
        plan_window(StreamSpec(views=64), 6 * 4096**2, 2 << 30)


# -------------------------------------------------------------------------------------------- batches


def test_ranks_get_shares_of_every_batch_from_any_position(opened):
    spec = replace(SPEC, heads=64)
    shares = [opened(spec, ranks=Ranks(rank, 2)) for rank in range(2)]
    seen = [[b.indices.tolist() for b in share.batches(recipe(batch=8), 0, 64)] for share in shares]
    assert [len(batch) for batch in seen[0] + seen[1]] == [4] * 16
    one, two = ({index // spec.views for batch in batches for index in batch} for batches in seen)
    assert one.isdisjoint(two)
    again = [b.indices.tolist() for b in shares[1].batches(recipe(batch=8), 24, 64)]
    assert again == seen[1][3:]


def fields(batch):
    return [getattr(batch, name) for name in vars(batch)]


def test_batches_say_whose_they_are_mirrored_or_not(opened):
    for batch in opened().batches(recipe(), 0, 48):
        for i, index in enumerate(batch.indices.tolist()):
            identity, view = divmod(index, SPEC.views)
            image, mask, depth = batch.images[i], batch.masks[i], batch.depths[i]
            label = batch.labels[i].numpy()
            if batch.mirrored[i]:
                image, mask, depth = image.flip(-1), mask.flip(-1), depth.flip(-1)
                mask = torch.from_numpy(PORTRAIT.mirror_ids.astype(np.uint8))[mask.long()]
                label = cameras.mirror_label(label)
            assert image[:, 0, 0].tolist() == [identity, view, 200]
            assert mask[2, 2] == 12
            assert depth[0, 6, 6] == pytest.approx(2.5 + 0.001 * identity, abs=3e-5)
            assert depth[0, 0, 0] == 0
            assert np.allclose(label, FakeRenderer().label(5, identity, view), atol=1e-6)
            assert batch.parameters[i].tolist() == [identity, 5, 0.5]
        assert batch.images.shape == (4, 3, SIZE, SIZE)


def test_stops_and_restarts_with_any_number_of_processes_change_nothing(opened):
    config = recipe()
    straight = list(opened(seconds=0.002).batches(config, 0, 240))
    two = opened(replace(SPEC, workers=2), seconds=0.004)
    pieces = []
    for start, stop in ((0, 36), (36, 40), (40, 240)):
        following = two.batches(config, start, 240)
        pieces += [next(following) for _ in range((stop - start) // 4)]
        following.close()  # in the middle, while the processes render what comes next
    assert len(straight) == 60
    for a, b in zip(straight, pieces, strict=True):
        for one, other in zip(fields(a), fields(b), strict=True):
            assert torch.equal(one, other)


def test_a_small_window_is_filled_again_and_again(opened, monkeypatch):
    """A buffer whose blocks are all in use all the time, and the order is still the same."""
    monkeypatch.setattr("ssgan_core.training.streaming.source._MOST_BYTES", 40 * 6 * SIZE**2)
    source = opened(replace(SPEC, reuse=2))
    assert source._window.identities * SPEC.views <= 40
    seen = [batch.indices.tolist() for batch in source.batches(recipe(), 0, 400)]
    order = ShowOrder(source.spec, source._window, 3, True)
    told = [order.identity(n) * 2 + view for n, view, _, _ in flat(order, 0, 400)]
    assert list(chain.from_iterable(seen)) == told


def test_facts_come_from_the_same_sample_whoever_renders(opened):
    one = gather_facts(opened(StreamSpec(heads=300, workers=1)), 8, mirror=True)
    reports = []
    progress = lambda done, total, note="": reports.append((done, total))  # noqa: E731
    two = gather_facts(opened(StreamSpec(heads=300, workers=2)), 8, True, progress)
    assert torch.equal(one.layout, two.layout)
    assert torch.equal(one.part_areas, two.part_areas)
    assert one.part_areas[1].item() == pytest.approx(7 * 8 / SIZE**2)
    assert one.image_spread == two.image_spread > 0.01
    assert reports[-1] == (256, 256)
    assert one.labels.shape == (600, 25)


# ----------------------------------------------------------------------------------------- processes


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def environment(**more):
    """Of a process that finds the fake renderer."""
    here = Path(__file__).parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])]), **more}


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_process_is_an_error_and_no_hang(opened):
    source = opened(replace(SPEC, workers=2), seconds=0.02)
    batches = source.batches(recipe(), 0, 4000)
    next(batches)
    os.kill(source._buffer.pids[1], signal.SIGKILL)
    with pytest.raises(SsganError, match=r"died \(exit code -9\)") as raised:
        for _ in batches:
            pass
    assert "fewer workers" in raised.value.hint


def test_errors_in_a_process_reach_the_trainer(opened):
    with pytest.raises(SsganError, match="exit code -9"):
        list(opened(fatal=4).batches(recipe(), 0, 64))
    with pytest.raises(SsganError, match="cannot be rendered") as raised:
        list(opened(failing=4).batches(recipe(), 0, 64))
    assert raised.value.hint == "take another"
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        list(opened(broken=4).batches(recipe(), 0, 64))


def test_closing_ends_all_processes_and_frees_the_memory(opened):
    before = set(os.listdir("/dev/shm"))
    source = opened(replace(SPEC, workers=2), seconds=0.05)
    next(source.batches(recipe(), 0, 64))
    pids = source._buffer.pids
    assert all(alive(pid) for pid in pids)
    os.kill(pids[0], signal.SIGTERM)  # as a batch system sends to all processes of a job
    os.kill(pids[0], signal.SIGINT)
    next(source.batches(recipe(), 0, 64))
    source.close()
    source.close()
    assert not any(alive(pid) for pid in pids)
    assert {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("pym")} == set()


ORPHANS = """
import os, sys
from fake_portraits import FakeRenderer
from ssgan_core.training.streaming.buffer import PortraitBuffer
from ssgan_core.training.streaming.slots import SlotShape
from ssgan_core.training.streaming.worker import Job
import numpy as np

if __name__ == "__main__":
    seconds, end = float(sys.argv[1]), sys.argv[2]
    buffer = PortraitBuffer(Job(FakeRenderer(seconds), 0, 2, SlotShape(8, 16, 3)), 1)
    buffer.request(0, 0)
    if end != "kill":
        buffer.wait(np.array([0]))
    print(*buffer.pids, flush=True)
    if end == "kill":
        os.kill(os.getpid(), 9)
    if end == "raise":
        raise ValueError("no close")
"""


@pytest.mark.parametrize(("seconds", "end"), [(1000.0, "kill"), (0.0, "raise"), (0.0, "return")])
def test_no_process_outlives_the_trainer(tmp_path, seconds, end):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    command = [sys.executable, script, str(seconds), end]
    result = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == {"kill": -9, "raise": 1, "return": 0}[end], result.stderr
    pid = int(result.stdout)
    wait_for(lambda: not alive(pid))


def test_processes_do_not_import_torch():
    """Neither what they run nor what `spawn` makes them import again, the command line."""
    code = (
        "import sys, ssgan_cli.__main__, ssgan_core.training.streaming.worker\n"
        "import ssgan_core.training.streaming.heads\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_too_little_shared_memory_is_said_before_it_is_used(opened, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("ssgan_core.training.streaming.buffer.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(SsganError, match="shared memory") as raised:
        next(opened().batches(recipe(), 0, 8))
    assert "--shm-size" in raised.value.hint


# ------------------------------------------------------------------------------------------- training


def test_another_stream_does_not_continue_a_run(opened, tmp_path):
    run, cpu = tmp_path / "run", torch.device("cpu")
    train(opened(), recipe(kimg=0.004), run, device=cpu)
    assert json.loads((run / runs.DATA_NAME).read_text())["stream"] == str(SPEC)
    for other in (replace(SPEC, seed=6), replace(SPEC, heads=8), replace(SPEC, reuse=2)):
        with pytest.raises(SsganError, match="another data set"):
            train(opened(other), recipe(kimg=0.008), run, device=cpu)


def test_slow_rendering_shows_in_the_rows(opened, tmp_path):
    train(
        opened(seconds=0.1), recipe(kimg=0.008, tick_kimg=0.004), tmp_path / "run", device=torch.device("cpu")
    )
    waits = [row["wait_seconds"] for row in runs.read_stats(tmp_path / "run")]
    assert waits[0] == 0
    assert sum(waits) > 0.1


# ----------------------------------------------------------------------------------- the command line

COMMAND = """
import ssgan_core.training.streaming.source as source
from fake_portraits import FakeRenderer
from ssgan_cli.app import main
source.HeadRenderer = FakeRenderer
main()
"""


@pytest.fixture
def one_thread():
    """As many threads as the process has that is stopped: sums depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_terminated_command_saves_and_goes_on_with_more_processes(tmp_path, monkeypatch):
    """From the warm-up into the adversarial game, and to the weights of a run that never stopped."""
    config = tmp_path / "tiny.yaml"
    config.write_text(dump_config(recipe(kimg=0.04, snapshot_kimg=1.0, warmup_kimg=0.024)))
    stream, options = "synth:heads=6,views=2,workers=", ["--config", str(config), "--device", "cpu"]
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "train", stream + "1", *options, "--run", stopped],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(OMP_NUM_THREADS="1"),
    )  # fmt: skip
    wait_for(lambda: len(runs.read_stats(stopped)) > 1, 60)
    workers = [
        int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    assert workers
    for pid in (*workers, process.pid):  # as a batch system tells every process of a job
        os.kill(pid, signal.SIGTERM)
    _, trouble = process.communicate(timeout=60)
    assert process.returncode == 143, trouble
    assert "run the same command again" in trouble
    wait_for(lambda: not any(alive(pid) for pid in workers))
    assert (stopped / runs.STATE_NAME).exists()
    assert not runs.model_path(stopped, 40).exists()
    monkeypatch.setattr("ssgan_core.training.streaming.source.HeadRenderer", FakeRenderer)
    for run in (stopped, straight):
        result = CliRunner().invoke(app, ["train", stream + "2", *options, "--run", str(run)])
        assert result.exit_code == 0, result.output
    rows = runs.read_stats(straight)
    assert "warmup_image" in rows[1]
    assert "loss_d" in rows[-1]
    one, other = (load_model(runs.model_path(run, 40)) for run in (stopped, straight))
    assert one.sha256 == other.sha256


def test_the_real_portraits_come_as_a_data_set_would_hold_them():
    spec, who = StreamSpec(heads=2, views=2, seed=4, workers=1), HeadRenderer()
    source = StreamedPortraits(spec, SIZE)
    try:
        batch = next(source.batches(recipe(batch=8), 0, 8))
    finally:
        source.close()
    for i, index in enumerate(batch.indices.tolist()):
        if not batch.mirrored[i]:
            identity, view = divmod(index, 2)
            picture = list(who.views(4, identity, 2, SIZE))[view]
            assert np.array_equal(batch.images[i].numpy(), picture.image.transpose(2, 0, 1))
            assert np.array_equal(batch.masks[i].numpy(), picture.mask)
            assert np.abs(batch.depths[i, 0].numpy() - picture.depth).max() < 3e-5
            assert np.array_equal(batch.labels[i].numpy(), who.label(4, identity, view))
            assert np.array_equal(batch.parameters[i].numpy(), who.parameters(4, identity))
    assert not batch.mirrored.all()
