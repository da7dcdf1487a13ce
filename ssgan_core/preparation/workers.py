"""Runs the preparation of many photos in worker processes, in order, with bounded memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2

from ssgan_core.errors import SsganError
from ssgan_core.preparation.entry import Entry, make_entry
from ssgan_core.preparation.faces import FindsFace
from ssgan_core.preparation.masks import MaskSource
from ssgan_core.preparation.photos import Photo

_WAITING = 2  # finished or started entries kept for each worker

_find_face: FindsFace | None = None


def entries(
    photos: Sequence[Photo], masks: MaskSource, make_finder: Callable[[], FindsFace], size: int, workers: int
) -> Iterator[tuple[Photo, Entry | str]]:
    """Every photo with its entry, or with the reason to skip it, in the order of `photos`.

    One worker means this process. Each worker makes its own face finder, with `make_finder` (which must be
    picklable) and uses one thread; the entries do not depend on how many there are.

    Raises:
        SsganError: a network is missing, or a worker process died.
    """
    if workers <= 1:
        _begin(make_finder)
        for photo in photos:
            yield photo, _attempt(photo, masks, size)
        return
    make_finder()  # what is missing is noticed here, once
    pool = ProcessPoolExecutor(
        min(workers, len(photos) or 1),
        mp_context=multiprocessing.get_context("spawn"),  # OpenCV's threads do not survive a fork
        initializer=_begin_worker,
        initargs=(make_finder,),
    )
    running: deque[tuple[Photo, Future[Entry | str]]] = deque()
    try:
        waiting = iter(photos)
        for photo in waiting:
            running.append((photo, pool.submit(_attempt, photo, masks, size)))
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


def _next(running: deque[tuple[Photo, Future[Entry | str]]]) -> tuple[Photo, Entry | str]:
    photo, future = running[0]
    result = future.result()
    running.popleft()
    return photo, result


def _attempt(photo: Photo, masks: MaskSource, size: int) -> Entry | str:
    assert _find_face is not None
    try:
        return make_entry(photo, masks, _find_face, size)
    except SsganError as error:
        return error.message
    except MemoryError:
        return "there is not enough memory for it"


def _begin(make_finder: Callable[[], FindsFace]) -> None:
    global _find_face
    cv2.setNumThreads(1)
    _find_face = make_finder()


def _begin_worker(make_finder: Callable[[], FindsFace]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _begin(make_finder)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, and they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
