"""CPU time by process tree, from the operating system's books."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psutil


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
    """CPU seconds so far of each named process tree."""
    return {name: tree_seconds(pid) for name, pid in roots.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two looks."""
    return {name: round(max(0.0, after[name] - before[name]), 3) for name in before}
