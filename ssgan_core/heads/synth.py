"""A data set of synthetic portraits, written entry by entry by as many processes as wished."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ssgan_core import cameras
from ssgan_core.dataset.layout import CONTACT_FILE, META_FILE, parse_journal
from ssgan_core.dataset.reader import PortraitDataset
from ssgan_core.dataset.writer import DatasetWriter
from ssgan_core.errors import SsganError
from ssgan_core.files import atomic_path
from ssgan_core.heads.latent import latent_parameters
from ssgan_core.heads.parcel import Parcel, Stored, load, pack, store
from ssgan_core.heads.render import SyntheticView, render_portrait
from ssgan_core.heads.sampler import ACCESSORIES, sample_identity, wearers
from ssgan_core.parts import PORTRAIT
from ssgan_core.pictures import colour_mask, tile
from ssgan_core.progress import Progress, silent

_CONTACT_COLUMNS, _CONTACT_ROWS = 8, 4
_AHEAD = 3  # tasks under way or waiting to be written, for each worker
_TOGETHER = 8  # views of one identity that a worker makes before they are written
_DRAWN = 2  # portraits that a device has under way or waiting to be written
_SLOT = 24 << 20  # bytes of shared memory for one parcel; they have 4 to 12 MB

_Job = tuple[int, int]  # identity, view
_Made = tuple[np.ndarray, SyntheticView]  # label, pictures
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SynthReport:
    """What `synthesise` did.

    Attributes:
        written: entries made now.
        kept: entries that were asked for and found complete.
        beyond: entries that are there and were not asked for: more heads or views of earlier calls. They stay.
        contact_sheet: its path.
    """

    written: int
    kept: int
    beyond: int
    contact_sheet: Path


def synthesise(
    out: Path,
    *,
    count: int,
    size: int,
    seed: int = 0,
    views: int = 1,
    wearing: str | None = None,
    workers: int = 1,
    device: str = "cpu",
    progress: Progress = silent,
) -> SynthReport:
    """Write a data set of synthetic portraits with masks, depth, cameras and generating parameters.

    Entry "00000/head00000012_0" is view 0 of identity 12; its content depends on seed, identity and view
    alone. A second call with the same folder makes only what is missing; a larger `count` goes on, a smaller one takes
    nothing away.

    Args:
        out: data set folder, new or begun earlier with the same size and seed.
        count: identities.
        size: pixels along a side.
        seed: population; also of the cameras (cameras.PoseDistribution).
        views: views of each identity.
        wearing: one of sampler.ACCESSORIES: the first `count` identities who wear it, under the numbers that they have
            in the whole population. None: the first `count` of all.
        workers: processes; 1 renders in this one.
        device: "cpu", or a torch device ("cuda") that draws what the workers build. Its pictures are the CPU's but
            for rounding.

    Raises:
        SsganError: the folder holds something else or another seed, an option is out of range, the device is not
            there, the disk is full, or a worker died.
    """
    for name, value, low, high in (
        ("count", count, 1, 10**8),
        ("size", size, 16, 2048),
        ("seed", seed, 0, 2**63 - 1),
        ("views", views, 1, 1000),
        ("workers", workers, 1, 1024),
    ):
        if not low <= value <= high:
            raise SsganError(f"{name} must be from {low} to {high}, got {value}")
    if wearing is not None and wearing not in ACCESSORIES:
        raise SsganError(f"wearing must be one of {', '.join(ACCESSORIES)}, got {wearing!r}")
    identities = range(count) if wearing is None else islice(wearers(seed, wearing), count)
    with DatasetWriter(out, PORTRAIT, size) as writer:
        jobs = [(index, view) for index in identities for view in range(views)]
        missing = [job for job in jobs if not writer.has(entry_name(*job))]
        kept = len(jobs) - len(missing)
        _check_same_seed(Path(out), seed)
        progress(kept, len(jobs))
        make = _rendered if device == "cpu" else partial(_drawn, device=device)
        for done, (job, made) in enumerate(make(missing, seed, size, workers), start=kept + 1):
            label, picture = made
            writer.add(
                entry_name(*job), picture.image, picture.mask, label, _meta(seed, *job, label), picture.depth
            )
            progress(done, len(jobs), entry_name(*job))
        beyond = len(writer) - len(jobs)
    return SynthReport(len(missing), kept, beyond, _contact_sheet(out))


def entry_name(index: int, view: int) -> str:
    """The data set's name of a view, 1,000 identities a folder."""
    return f"{index // 1000:05d}/head{index:08d}_{view}"


def view_label(seed: int, index: int, view: int) -> np.ndarray:
    """The camera label [25] of a view."""
    # The fourth number keeps this stream apart from the identity's, which is seeded by [seed, index].
    return cameras.PoseDistribution().sample(np.random.default_rng([seed, index, view, 1]), 1)[0]


def _meta(seed: int, index: int, view: int, label: np.ndarray) -> dict[str, Any]:
    yaw, pitch = cameras.angles(label)
    return {
        "source": "synthetic",
        "seed": seed,
        "identity": index,
        "view": view,
        "yaw": round(float(yaw), 6),
        "pitch": round(float(pitch), 6),
        "parameters": [round(float(value), 5) for value in latent_parameters(sample_identity(seed, index))],
    }


def _check_same_seed(out: Path, seed: int) -> None:
    """Refuse to mix two populations. The journal, unlike dataset.json, is there after a kill too."""
    path = out / META_FILE
    rows, _ = parse_journal(path.read_bytes(), str(path))
    for name, row in rows.items():
        stored = row.get("meta", {}).get("seed")
        if stored != seed:
            raise SsganError(
                f"{out} was begun with seed {stored} ({name}), not {seed}", "name another folder or that seed"
            )


def _rendered(jobs: list[_Job], seed: int, size: int, workers: int) -> Iterator[tuple[_Job, _Made]]:
    """Jobs with their label and view, in order of the jobs."""
    tasks = [
        same[start : start + _TOGETHER]
        for _, group in groupby(jobs, key=lambda job: job[0])
        for same in [list(group)]
        for start in range(0, len(same), _TOGETHER)
    ]
    for same, made in _in_order(partial(_each, partial(_render, seed, size)), tasks, workers):
        yield from zip(same, made, strict=True)


def _drawn(jobs: list[_Job], seed: int, size: int, workers: int, device: str) -> Iterator[tuple[_Job, _Made]]:
    """As `_rendered`: the workers build scenes, the device draws them."""
    from ssgan_core.heads.device import DeviceRenderer  # imports torch, which the workers must not

    renderer = DeviceRenderer(device)
    people = {index: list(same) for index, same in groupby(jobs, key=lambda job: job[0])}
    # By the time a worker gets a slot for the second time, what lay in it has been drawn.
    slots = _AHEAD * workers + _DRAWN + 1 if workers > 1 else 1
    shared = RawArray("B", slots * _SLOT)
    tasks = [(index, number % slots) for number, index in enumerate(people)]

    def draw(index: int, parcel: Parcel) -> list[tuple[_Job, _Made]]:
        labels = [view_label(seed, *job) for job in people[index]]
        pictures = renderer.render(parcel, labels, size)
        return list(zip(people[index], zip(labels, pictures, strict=True), strict=True))

    # A thread draws while this one writes.
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[list[tuple[_Job, _Made]]]] = deque()
        for (index, slot), built in _in_order(partial(_build, seed), tasks, workers, (shared,)):
            parcel = load(built, _slot(shared, slot)) if isinstance(built, Stored) else built
            waiting.append(thread.submit(draw, index, parcel))
            if len(waiting) > _DRAWN:
                yield from waiting.popleft().result()
        for future in waiting:
            yield from future.result()


def _in_order(
    work: Callable[[_Task], _Result], tasks: Sequence[_Task], workers: int, given: tuple[Any, ...] = ()
) -> Iterator[tuple[_Task, _Result]]:
    """Tasks with their results, in order of the tasks, from so many processes; `given`: see `_begin`."""
    # The first is done here in any case: it compiles and caches the kernels for all workers.
    alone = len(tasks) if workers == 1 else 1
    for task in tasks[:alone]:
        yield task, work(task)
    tasks = tasks[alone:]
    if not tasks:
        return
    # spawn: a forked child would inherit locks held by other threads of this process
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, given) as pool:
        under_way: deque[tuple[_Task, Future[_Result]]] = deque()
        try:
            for task in tasks:
                under_way.append((task, pool.submit(work, task)))
                if len(under_way) >= _AHEAD * workers:
                    first, future = under_way.popleft()
                    yield first, future.result()
            for first, future in under_way:
                yield first, future.result()
        except BrokenProcessPool as error:
            raise SsganError(
                "a worker process died while rendering",
                "out of memory? the same command with fewer workers goes on where this one ended",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_shared: Any = None  # in a worker that builds scenes: the memory through which they are handed over


def _begin(shared: Any = None) -> None:
    """What a worker does first."""
    global _shared
    _shared = shared
    # Ctrl-C reaches all processes of a terminal; only the first one answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _slot(shared: Any, number: int) -> memoryview:
    return memoryview(shared).cast("B")[number * _SLOT : (number + 1) * _SLOT]


def _build(seed: int, task: tuple[int, int]) -> Stored | Parcel:
    """The scene of an identity; a worker leaves its arrays in a slot of the shared memory."""
    index, slot = task
    parcel = pack(sample_identity(seed, index))
    return parcel if _shared is None else store(parcel, _slot(_shared, slot))


def _each(render: Callable[[_Job], _Made], jobs: list[_Job]) -> list[_Made]:
    """Views of one identity, whose scene is built once."""
    return [render(job) for job in jobs]


def _render(seed: int, size: int, job: _Job) -> _Made:
    label = view_label(seed, *job)
    return label, render_portrait(sample_identity(seed, job[0]), label, size)


def _contact_sheet(out: Path) -> Path:
    """The first entries, each row of images above a row of masks, as a JPEG in the data set's folder."""
    data = PortraitDataset.open(out)
    shown = min(len(data), _CONTACT_COLUMNS * _CONTACT_ROWS)
    columns = min(shown, _CONTACT_COLUMNS)
    blank = np.zeros((data.resolution, data.resolution, 3), np.uint8)
    pictures: list[np.ndarray] = []
    for start in range(0, shown, columns):
        entries = range(start, min(start + columns, shown))
        rest = [blank] * (columns - len(entries))
        pictures += [data.image(i) for i in entries] + rest
        pictures += [colour_mask(data.mask(i), data.schema) for i in entries] + rest
    path = Path(out) / CONTACT_FILE
    with atomic_path(path) as temporary:
        Image.fromarray(tile(pictures, columns)).save(temporary, quality=90)
    return path
