"""Median times and peak memory of some work, on a CPU by the clock and on a GPU by CUDA events."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Cost:
    """Median milliseconds of one run, and peak MiB above what was allocated before it (None without CUDA)."""

    ms: float
    mib: float | None

    def cells(self) -> tuple[str, str]:
        """Both as a table shows them."""
        return (
            f"{self.ms:.3f}" if self.ms < 10 else f"{self.ms:.1f}",
            "-" if self.mib is None else f"{self.mib:.0f}",
        )


def cost(work: Callable[[], None], device: str, repeats: int = 0) -> Cost:
    """Run `work` again and again, after a warm-up.

    Args:
        repeats: 0 means 7 on a CPU and 100 on a GPU.
    """
    if device.startswith("cuda"):
        return _gpu_cost(work, device, repeats or 100)
    work()
    times = []
    for _ in range(repeats or 7):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return Cost(1000 * statistics.median(times), None)


def machine(device: str) -> str:
    """What the figures were measured on."""
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def row(names: dict[str, Any], batch: int, found: Cost) -> dict[str, Any]:
    """One line of a report on batches of portraits: what was done, and what it cost."""
    return {
        **names, "batch": batch, "ms": found.ms, "mib": found.mib, "images_per_second": 1000 * batch / found.ms,
    }  # fmt: skip


def report(rows: Sequence[dict[str, Any]], device: str, notes: Sequence[str] = ()) -> None:
    """Print a table of `row`s, notes below it and, last, one line of JSON."""
    table = Table(title=machine(device))
    names = [name for name in rows[0] if name not in ("ms", "mib", "images_per_second")]
    for name in (*names, "ms", "images/s", "MiB"):
        table.add_column(name, justify="left" if isinstance(rows[0].get(name), str) else "right")
    for one in rows:
        ms, mib = Cost(one["ms"], one["mib"]).cells()
        table.add_row(*(str(one[name]) for name in names), ms, f"{one['images_per_second']:.1f}", mib)
    Console().print(table)
    for note in notes:
        print(note)
    print(json.dumps({"machine": machine(device), "results": rows}))


def _gpu_cost(work: Callable[[], None], device: str, repeats: int) -> Cost:
    """With a cold L2 cache: every run follows a write that evicts it."""
    properties = torch.cuda.get_device_properties(device)
    with torch.cuda.device(device):
        for _ in range(5):
            work()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20

        evicting = torch.empty(4 * properties.L2_cache_size, dtype=torch.uint8, device=device)
        events = []
        for i in range(repeats):
            evicting.fill_(i % 256)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            events.append((start, end))
        torch.cuda.synchronize()
    return Cost(statistics.median(start.elapsed_time(end) for start, end in events), peak)
