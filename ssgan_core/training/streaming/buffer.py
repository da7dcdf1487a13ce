"""Processes that render portraits into shared memory."""

from __future__ import annotations

import atexit
import ctypes
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

import numpy as np

from ssgan_core.errors import SsganError
from ssgan_core.training.streaming.slots import Slots
from ssgan_core.training.streaming.worker import TASK, Job, work

_MOST_SENT = 1024  # tasks under way; as many fit into a pipe, so that sending never blocks
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class PortraitBuffer:
    """Blocks of slots, and the processes that fill each with the views of one identity.

    The memory has no name in the file system and is gone with the last process that maps it. `close` ends the
    processes; the interpreter's exit does too, and a process whose parent was killed ends by itself.

    Attributes:
        slots: the memory.
        filled: how many blocks were filled so far.

    Args:
        job: what is rendered, and the memory's shape.
        workers: processes.

    Raises:
        SsganError: there is no room for the memory.
    """

    def __init__(self, job: Job, workers: int) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would copy torch, its threads and its GPU handles
        _check_room(job.shape.total_bytes)
        memory = context.RawArray(ctypes.c_byte, job.shape.total_bytes)
        self.slots = Slots(job.shape, memory)
        self._ready = np.zeros(job.shape.count // job.views, bool)
        self._waiting: deque[tuple[int, int]] = deque()
        self._sent = 0
        self.filled = 0
        self._done: list[Connection] = []
        self._processes = []
        tasks, self._tasks = context.Pipe(duplex=False)
        self._turn = (
            context.Lock()
        )  # kept: a lock that this process forgets is gone before the others find it
        atexit.register(self.close)
        with _workers_environment():
            for _ in range(workers):
                done, answers = context.Pipe(duplex=False)
                process = context.Process(
                    target=work,
                    args=(job, memory, tasks, self._turn, answers),
                    daemon=True,
                    name="ssgan-renderer",
                )
                process.start()
                answers.close()  # or the end of the process would not end the pipe
                self._done.append(done)
                self._processes.append(process)
        tasks.close()

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [process.pid for process in self._processes if process.pid is not None]

    def request(self, block: int, identity: int) -> None:
        """Have a block filled with an identity; nobody may need its old content any more."""
        self._ready[block] = False
        self._waiting.append((block, identity))
        self._exchange(0)

    def wait(self, blocks: np.ndarray) -> None:
        """Return when all these blocks, requested before, are filled.

        Raises:
            SsganError: a process died.
        """
        self._exchange(0)
        while not self._ready[blocks].all():
            self._exchange(None)

    def drain(self) -> None:
        """Forget what was requested and not begun; return when no process is at work."""
        self._waiting.clear()
        while self._sent:
            self._exchange(None)

    def close(self) -> None:
        """End the processes at once; they hold nothing that would be lost."""
        atexit.unregister(self.close)
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for connection in (self._tasks, *self._done):
            connection.close()

    def _exchange(self, timeout: float | None) -> None:
        """Send what is to be done, and hear what was done; waits for the latter so many seconds."""
        for connection in wait(self._done, timeout):
            assert isinstance(connection, Connection)
            try:
                while connection.poll():
                    self._answered(*connection.recv())
            except (EOFError, ConnectionError) as error:  # pipes end with their process
                raise self._death(self._done.index(connection)) from error
        while self._waiting and self._sent < _MOST_SENT:
            self._tasks.send_bytes(TASK.pack(*self._waiting.popleft()))
            self._sent += 1

    def _answered(self, block: int, error: SsganError | str | None) -> None:
        if isinstance(error, SsganError):
            raise error
        if error is not None:
            raise RuntimeError(f"a process failed to render portraits:\n{error}")
        self._sent -= 1
        self._ready[block] = True
        self.filled += 1

    def _death(self, number: int) -> SsganError:
        process = self._processes[number]
        process.join(1)
        return SsganError(
            f"a process that renders portraits died (exit code {process.exitcode})",
            "out of memory? the same command with fewer workers, as in synth:workers=4, goes on from the last save",
        )


def _check_room(needed: int) -> None:
    """Writing to shared memory that is full kills a process, so it is noticed before.

    multiprocessing takes /dev/shm, which containers often keep small, or else the folder for temporary files.
    """
    folders = [folder for folder in ("/dev/shm", tempfile.gettempdir()) if os.path.isdir(folder)]
    free = max(shutil.disk_usage(folder).free for folder in folders)
    if free < needed:
        raise SsganError(
            f"rendered portraits need {needed / 1e6:.0f} MB of shared memory, but {free / 1e6:.0f} MB are free",
            "make room in /dev/shm (docker run --shm-size), or choose less reuse, fewer views or a lower resolution",
        )


@contextmanager
def _workers_environment() -> Iterator[None]:
    """What processes started in this block inherit.

    One thread each, since there is a process for every core. And blocked signals: Ctrl-C, and a batch system's
    SIGTERM, reach all processes of a job, but only the trainer answers them: it may still need portraits for
    the step that it ends with.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
