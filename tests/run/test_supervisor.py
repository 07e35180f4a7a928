"""Children are restarted; one that cannot run as configured ends everything, unless it has run before."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tallystick.run.supervisor import EXIT_MISCONFIGURED, Role, Supervisor
from tests.support.polling import eventually_async

#: Ends with the codes of a list, one each time it is started; then it stays.
CHILD = """
import signal, sys
from pathlib import Path
codes = Path(sys.argv[1])
first, _, rest = codes.read_text().partition(" ")
codes.write_text(rest)
if first:
    sys.exit(int(first))
Path(sys.argv[1] + ".stays").touch()
signal.pause()
"""


async def run(codes: Path, until_stays: bool) -> tuple[list[str], bool]:
    """What is announced, and whether the child was refused."""
    said: list[str] = []
    supervisor = Supervisor(said.append, drain_limit_ms=60_000)
    await supervisor.start(Role(name="child", command=[sys.executable, "-c", CHILD, str(codes)], environment={}))
    refused = asyncio.create_task(supervisor.refused())
    stays = Path(f"{codes}.stays")
    await eventually_async(lambda: refused.done() or stays.exists())
    assert stays.exists() == until_stays
    await supervisor.drain()
    done = refused.done()
    refused.cancel()
    return said, done


async def test_a_child_that_never_ran_and_cannot_is_not_restarted(tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    codes.write_text(f"{EXIT_MISCONFIGURED}")
    assert await run(codes, until_stays=False) == ([], True)


async def test_a_child_that_could_run_is_restarted_whatever_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It met a database that is away, for one; that passes."""
    monkeypatch.setattr("tallystick.kit.backoff.RESTART_FIRST_MS", 1)
    codes = tmp_path / "codes"
    codes.write_text(f"1 {EXIT_MISCONFIGURED} {EXIT_MISCONFIGURED}")
    said, refused = await run(codes, until_stays=True)
    assert not refused
    assert [line.partition(";")[0] for line in said] == [
        "child exited with 1",
        f"child exited with {EXIT_MISCONFIGURED}",
        f"child exited with {EXIT_MISCONFIGURED}",
    ]
