"""CPU time by process tree, from the operating system."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import psutil

_MACHINE: Final = "machine"


def tree_seconds(root_pid: int) -> float:
    """CPU seconds (user and system) of a process, its descendants, and those of its children that have ended; 0 where
    there is no such process. A child that ends between two looks moves from one sum to the other, and is not lost."""
    total = 0.0
    try:
        root = psutil.Process(root_pid)
        times = root.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
        descendants = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0.0
    for each in descendants:
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def seconds_by_name(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each named process tree, and of the whole machine."""
    return {name: tree_seconds(pid) for name, pid in roots.items()} | {_MACHINE: _busy_seconds()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two looks. ``others``: everything else on the machine; a benchmark wants it near 0."""
    between = {name: max(0.0, after[name] - before[name]) for name in before}
    machine = between.pop(_MACHINE)
    between["others"] = max(0.0, machine - sum(between.values()))
    return {name: round(seconds, 3) for name, seconds in between.items()}


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    # guest time is part of user time; a hypervisor's steal is time that nobody here had
    return float(times.user + times.nice + times.system + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0))
