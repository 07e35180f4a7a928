"""The machine that a figure was measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from msgspec import Struct

from tallystick.domain.errors import TallystickError


class NotDurable(TallystickError):
    """The database acknowledges commits before they are on disk, so its figures would not be comparable."""


class MachineInfo(Struct, frozen=True, kw_only=True):
    """Hardware, versions and date."""

    date: str
    cores: int
    cpu: str
    memory_gb: float
    system: str
    python: str
    postgresql: str
    fsync: str
    synchronous_commit: str


async def describe_machine(database_url: str) -> MachineInfo:
    """This machine and the database. Raises NotDurable, and what the database raises."""
    connection = await asyncpg.connect(database_url)
    try:
        version, fsync, synchronous = [
            str(await connection.fetchval(f"SHOW {name}")) for name in ("server_version", "fsync", "synchronous_commit")
        ]
    finally:
        await connection.close()
    if fsync != "on" or synchronous != "on":
        raise NotDurable(f"fsync is {fsync} and synchronous_commit is {synchronous}; both must be on")
    return MachineInfo(
        date=datetime.now(UTC).date().isoformat(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu=_cpu_model(),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
        postgresql=version.split()[0],
        fsync=fsync,
        synchronous_commit=synchronous,
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
