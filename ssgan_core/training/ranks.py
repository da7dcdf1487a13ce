"""Several processes that train one model: how they find each other, and the few things they do together.

A process is called a rank. Every rank holds the whole model and a share of each batch; gradients are averaged in
one flat sum a phase, so all ranks take the same step and their weights stay bit-identical. Rank 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ssgan_core.errors import SsganError

T = TypeVar("T")

_PATIENCE = timedelta(minutes=30)  # the others may have portraits rendered and snapshots written meanwhile
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
# One seed a rank: multiples of 2^32 / the golden ratio lie far apart, so that no rank meets another's later steps.
# (A CPU generator looks at the lowest 32 bits of its seed alone.)
_SEED_STRIDE = 2_654_435_769
_START_HINT = "start them with: torchrun --nproc-per-node N -m ssgan_cli train ..."


class PeerFailed(Exception):
    """Another rank failed first and has said why; this one only has to end."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank, count: which it is, of how many.
        local_rank, local_count: the same among those on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    @property
    def seed_offset(self) -> int:
        """What this rank adds to a step's seed."""
        return self.rank * _SEED_STRIDE

    def device(self, chosen: torch.device) -> torch.device:
        """This rank's own GPU, where GPUs were chosen.

        Raises:
            SsganError: there are fewer GPUs than ranks on this machine.
        """
        if chosen.type != "cuda" or self.count == 1:
            return chosen
        if self.local_rank >= torch.cuda.device_count():
            raise SsganError(
                f"{self.local_count} processes were started on {torch.cuda.device_count()} GPUs",
                "one process a GPU: torchrun --nproc-per-node with the number of GPUs",
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def share(self, batch: int) -> range:
        """Which of a batch's places are this rank's."""
        size = batch // self.count
        return range(self.rank * size, (self.rank + 1) * size)

    def check_batch(self, batch: int, group: int) -> None:
        """Raise an SsganError unless the batch splits into equal shares of whole groups (minibatch deviation)."""
        if batch % (self.count * group):
            raise SsganError(
                f"training.batch {batch} does not split over {self.count} processes into multiples of "
                f"discriminator.group {group}",
                f"choose a multiple of {self.count * group}, or another group",
            )

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one device and type by their means over all ranks, in one flat reduction."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _peers():
            dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; all get the same answer."""
        if self.count == 1:
            return flag
        told = torch.tensor(int(flag))
        with _peers():
            dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told)

    def from_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes; the others wait for it."""
        made = [make() if self.first else None]
        if self.count > 1:
            with _peers():
                dist.broadcast_object_list(made, 0, device=torch.device("cpu"))
        return made[0]  # type: ignore[return-value]

    @torch.no_grad()
    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by rank 0's."""
        if self.count > 1:
            for tensor in tensors:
                sent = tensor.contiguous()
                with _peers():
                    dist.broadcast(sent, 0)
                tensor.copy_(sent)

    @torch.no_grad()
    def check_alike(self, tensors: Sequence[Tensor]) -> None:
        """Make sure that all ranks hold the same weights, by a sum of each tensor.

        Raises:
            SsganError: they have drifted apart, which is a fault of hardware or software.
        """
        if self.count == 1:
            return
        mine = torch.stack([tensor.double().sum() for tensor in tensors])
        told = mine.clone()
        self.broadcast([told])
        if self.any(not torch.equal(mine.nan_to_num(), told.nan_to_num())):
            raise SsganError(
                "the processes' weights have drifted apart",
                "resume from the last snapshot; is the hardware sound?",
            )


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one; without torchrun this one is alone.

    Sums travel by NCCL between GPUs and by Gloo between CPUs.

    Raises:
        SsganError: the environment is not torchrun's, or a rank of this group ended.
        PeerFailed: out of the block, in place of an error, on all ranks but the first that failed: so that one
            rank says what went wrong.
    """
    try:
        rank, count, local_rank, local_count = (
            int(os.environ.get(name, default)) for name, default in zip(_VARIABLES, "0101", strict=True)
        )
    except ValueError as error:
        raise SsganError(f"one of {', '.join(_VARIABLES)} is no number", _START_HINT) from error
    if count == 1:
        yield ALONE
        return
    if missing := [name for name in (*_VARIABLES, "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise SsganError(f"WORLD_SIZE is {count}, but {missing[0]} is not set", _START_HINT)
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", timeout=_PATIENCE))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=store,
            rank=rank,
            world_size=count,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise SsganError(f"the {count} processes did not find each other: {error}", _START_HINT) from error
    try:
        yield Ranks(rank, count, local_rank, local_count)
    except BaseException as error:
        first = _first_to_fail(store)
        # What the others wait for ends with the group. Gloo's threads must not outlive this block: at the interpreter's
        # end they may abort the process. NCCL may wait for work that the others never do, and is left to that end.
        if not torch.cuda.is_available():
            dist.destroy_process_group()
        if not first:
            raise PeerFailed from error
        raise
    dist.destroy_process_group()


def _first_to_fail(store: Any) -> bool:
    with suppress(RuntimeError):  # torchrun, which holds the store, may have been killed
        return store.add("ssgan-failed", 1) == 1
    return True


@contextmanager
def _peers() -> Iterator[None]:
    """Something done together: it fails when another rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise SsganError(
            "another process of this training has ended",
            "torchrun reports which; the same command continues from the last snapshot",
        ) from error
