"""Sealers are killed with SIGKILL at every statement while others seal: no fork, no gap, and nothing is skipped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import asyncpg

from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, compare, named, seal_all
from tests.support.database import DEEP, NewDatabase

#: A round has some seventy statements where it finds something; by default a few of them, COMMIT's neighbours among
#: them.
_STATEMENTS: Final = range(90) if DEEP else (4, 30, 55)

_SEALED: Final = "SELECT count(*) FROM audit_leaf WHERE kind = 'response'"


async def test_no_fork_and_no_gap_wherever_a_sealer_is_killed(new_database: NewDatabase) -> None:
    database = new_database()
    numbers = ",".join(map(str, _STATEMENTS))
    program = [sys.executable, "-m", "tests.support.killed_sealers", database.app_url, numbers]
    done = subprocess.run(program, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr[-3_000:]
    async with await open_pool(database.app_url, SETTINGS) as pool:
        await pool.execute("DELETE FROM watch")
        await seal_all(pool)
        sealed = await pool.fetchval(_SEALED)
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with owner.transaction():
            report = await compare(owner, window_ms=600_000)
    finally:
        await owner.close()
    assert named(report) == []
    assert report.unsealed == 0 and report.leaves == report.examined
    assert sealed == 10 * len(_STATEMENTS)
    assert done.stdout.splitlines()[-1] == str(len(_STATEMENTS)), "each of them was killed"
