"""Prepares photos in worker processes, in order, with bounded memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2

from ssgan_core.errors import SsganError
from ssgan_core.preparation.backends import Backends
from ssgan_core.preparation.entry import Networks, Outcome, Recipe, prepare_photo
from ssgan_core.preparation.photos import Photo

_WAITING = 2  # finished or started photos kept for each worker

_networks: Networks | None = None


def outcomes(
    photos: Sequence[Photo], recipe: Recipe, backends: Backends, workers: int
) -> Iterator[tuple[Photo, Outcome]]:
    """Every photo with what became of it, in the order of `photos`.

    One worker means this process. Each worker makes its own networks and uses one thread; the outcomes do not
    depend on how many there are.

    Raises:
        SsganError: a network is missing, or a worker process died.
    """
    if not photos:
        return
    if workers <= 1:
        _begin(backends)
        for photo in photos:
            yield photo, _attempt(photo, recipe)
        return
    backends.make_finder()  # what is missing is noticed here, once
    pool = ProcessPoolExecutor(
        min(workers, len(photos)),
        mp_context=multiprocessing.get_context("spawn"),  # OpenCV's threads do not survive a fork
        initializer=_begin_worker,
        initargs=(backends,),
    )
    running: deque[tuple[Photo, Future[Outcome]]] = deque()
    try:
        for photo in photos:
            running.append((photo, pool.submit(_attempt, photo, recipe)))
            if len(running) >= _WAITING * workers:
                yield _next(running)
        while running:
            yield _next(running)
    except BrokenProcessPool as error:
        names = ", ".join(photo.source for photo, _ in list(running)[:workers])
        raise SsganError(
            f"a worker process died while it prepared one of: {names}",
            "out of memory? use fewer workers; the same command goes on where this one stopped",
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _next(running: deque[tuple[Photo, Future[Outcome]]]) -> tuple[Photo, Outcome]:
    photo, future = running[0]
    result = future.result()
    running.popleft()
    return photo, result


def _attempt(photo: Photo, recipe: Recipe) -> Outcome:
    assert _networks is not None
    return prepare_photo(photo, recipe, _networks)


def _begin(backends: Backends) -> None:
    global _networks
    cv2.setNumThreads(1)
    _networks = Networks(
        backends.make_finder(),
        backends.make_parser() if backends.make_parser else None,
        backends.make_pose_estimator() if backends.make_pose_estimator else None,
    )


def _begin_worker(backends: Backends) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Decoders of photos write to it directly, into the parent's progress line; what matters is raised.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    _begin(backends)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
