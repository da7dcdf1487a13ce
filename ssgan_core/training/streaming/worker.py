"""What a rendering process runs. Nothing here may import torch."""

from __future__ import annotations

import multiprocessing
import os
import struct
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from ssgan_core.errors import SsganError
from ssgan_core.pictures import encode_depth16
from ssgan_core.training.streaming.renderer import Renderer
from ssgan_core.training.streaming.slots import Slots, SlotShape

TASK = struct.Struct("qq")  # block of slots, identity


@dataclass(frozen=True)
class Job:
    """What all processes of a buffer share: `views` views of an identity fill a block of as many slots."""

    renderer: Renderer
    seed: int
    views: int
    shape: SlotShape


def work(job: Job, memory: Any, tasks: Connection, turn: Any, done: Connection) -> None:
    """Render identity after identity, until the other end of `tasks` is closed.

    Args:
        memory: the shared memory of job.shape.
        tasks: where TASKs come from; all processes read it, one at a time, holding the lock `turn`.
        done: where (block, None) is answered, or (block, error) with an SsganError or another error's traceback.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    slots = Slots(job.shape, memory)
    while True:
        try:
            with turn:
                block, identity = TASK.unpack(tasks.recv_bytes())
        except EOFError:
            return
        try:
            _render(job, slots, block * job.views, identity)
        except SsganError as error:
            done.send((block, error))
        except Exception:
            done.send((block, traceback.format_exc()))
        else:
            done.send((block, None))


def _render(job: Job, slots: Slots, first: int, identity: int) -> None:
    slots.parameters[first : first + job.views] = job.renderer.parameters(job.seed, identity)
    pictures = job.renderer.views(job.seed, identity, job.views, job.shape.size)
    for view, picture in enumerate(pictures):
        slot = first + view
        slots.labels[slot] = job.renderer.label(job.seed, identity, view)
        slots.images[slot] = picture.image.transpose(2, 0, 1)
        slots.masks[slot] = picture.mask
        slots.depths[slot] = encode_depth16(picture.depth)


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, which may wait for a lock or render on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
