"""A process that imports is killed for good while it stores rows: the same command goes on, and nothing is twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.commands import clean_environment, run_process
from tests.support.database import DEEP, NewDatabase
from tests.support.polling import START_S, eventually_async
from tests.support.settlement_imports import everything, stripe_payout, stripe_rows

#: A dozen pieces, or eight: the process is looked at a hundred times while it stores them.
ROWS = 60_000 if DEEP else 40_000

#: How often it is killed.
KILLS = 2 if DEEP else 1


async def test_an_import_that_is_killed_goes_on(new_database: NewDatabase, tmp_path: Path) -> None:
    database = new_database()
    path, total = tmp_path / "large.csv", tmp_path / "payout.csv"
    path.write_text(stripe_rows(ROWS))
    total.write_text(stripe_payout(f"{ROWS * 10}.00"))
    settings: dict[str, Any] = {"database_url": database.app_url, "settlement_lease_ms": "1000"}
    environment = clean_environment({f"TALLYSTICK_{name.upper()}": value for name, value in settings.items()})
    command = [sys.executable, "-m", "tallystick", "settlements", "import", str(path)]
    watching = await asyncpg.connect(database.owner_url)
    try:
        for _ in range(KILLS):
            before = await watching.fetchval("SELECT coalesce(max(rows), 0) FROM settlement_file")

            async def has_stored_more(before: int = before) -> bool:
                return bool(await watching.fetchval("SELECT max(rows) > $1 FROM settlement_file", before))

            async def lease_is_over() -> bool:
                return not await watching.fetchval("SELECT count(*) FROM settlement_file WHERE lease_until > now()")

            importing = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await eventually_async(has_stored_more, within_s=START_S)
            importing.send_signal(signal.SIGKILL)
            importing.wait()
            await eventually_async(lease_is_over)
        assert await watching.fetchval("SELECT state FROM settlement_file") == "importing", "it was cut off"
        done = run_process("settlements", "import", str(path), **settings)
        assert done.code == 0, done
        stored = await everything(watching)
        assert [row[4:8] for row in stored["files"]] == [("imported", ROWS, 0, 0)]
        assert [row[1] for row in stored["rows"]] == list(range(1, ROWS + 1))
        assert [(row[8], row[11]) for row in stored["batches"]] == [(ROWS, ROWS * 1_000)]
        proved = run_process("settlements", "import", str(total), **settings)
        assert proved.code == 0 and "balanced" in proved.out, proved
    finally:
        await watching.close()
