"""An outage is a few lines, whatever fails in it: the first, counts, and the end."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tallystick.record.postgres import outage as room
from tallystick.record.postgres.failures import CONNECTION_IS_FINE, pause_ms
from tallystick.record.postgres.outage import Kind, Outage, kind_of
from tests.support.polling import one_turn

#: Longer than any test takes.
LONG_S = 3_600.0


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The lines, whatever the level of the tests' log."""
    lines: list[dict[str, Any]] = []
    for level in ("error", "warning"):
        monkeypatch.setattr(room.log, level, lambda event, **known: lines.append({"event": event, **known}))
    return lines


@pytest.fixture
def time_ms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The time, which a test sets."""
    now = [1_000_000]
    monkeypatch.setattr(room, "monotonic_ms", lambda: now[0])
    return now


async def test_every_part_of_a_process_meets_one_outage(time_ms: list[int], logged: list[dict[str, Any]]) -> None:
    outage = Outage(LONG_S)
    parts = [f"part {number}" for number in range(6)]
    for _ in range(50):
        time_ms[0] += 10
        assert all(outage.failed(part, ConnectionRefusedError()) for part in parts)
    for part in parts:
        outage.worked(part)
    outage.worked(parts[0])
    assert [line["event"] for line in logged] == ["database fails", "database fails", "database works again"]
    assert [line["since_last_line"] for line in logged[:2]] == [1, 299]
    assert (logged[2]["failures"], logged[2]["after_ms"]) == (300, 490)


async def test_one_that_lasts_is_for_a_person(time_ms: list[int], logged: list[dict[str, Any]]) -> None:
    outage = Outage(every_s=0)
    outage.failed("journal", ConnectionRefusedError())
    time_ms[0] += room.ALERT_AFTER_MS - 1
    outage.failed("journal", ConnectionRefusedError())
    await one_turn()
    assert not any("alert" in line for line in logged), "a restart is over by then"
    time_ms[0] += 1
    outage.failed("journal", ConnectionRefusedError())
    await one_turn()
    assert (logged[-1]["alert"], logged[-1]["for_ms"], logged[-1]["next"]) == (True, 10_000, "tallystick doctor")


async def test_it_is_not_over_while_another_part_fails(time_ms: list[int], logged: list[dict[str, Any]]) -> None:
    """With a full disk reads go on, and whoever writes fails each time: that is no recovery after each read."""
    outage = Outage(LONG_S)
    for _ in range(100):
        time_ms[0] += 100
        outage.failed("journal", asyncpg.DiskFullError("full"))
        outage.worked("dispatch")
    assert [line["event"] for line in logged] == ["database fails"]
    time_ms[0] += room.OVER_AFTER_MS
    outage.worked("dispatch")
    assert logged[-1]["event"] == "database works again", "the journal has had nothing to write since"


async def test_a_defect_is_said_by_whoever_meets_it(logged: list[dict[str, Any]]) -> None:
    assert not Outage(LONG_S).failed("recovery", KeyError("stripe"))
    assert not Outage(LONG_S).failed("journal", asyncpg.CheckViolationError("no"))
    assert logged == []


async def test_a_writer_that_failed_cannot_write_until_it_has_or_for_a_while(time_ms: list[int]) -> None:
    outage = Outage(LONG_S)
    outage.failed("journal", asyncpg.DiskFullError("full"))
    assert outage.writing_fails(("journal", "intake"), 10_000) == "disk_full"
    assert outage.writing_fails(("intake",), 10_000) is None
    time_ms[0] += 10_000
    assert outage.writing_fails(("journal",), 10_000) is None
    outage.failed("journal", asyncpg.DiskFullError("full"))
    outage.worked("journal")
    assert outage.writing_fails(("journal",), 10_000) is None


KINDS: dict[str, tuple[Exception, Kind, bool]] = {
    "53000": (asyncpg.InsufficientResourcesError("no"), "short", True),
    "53100": (asyncpg.DiskFullError("no"), "disk_full", True),
    "53200": (asyncpg.OutOfMemoryError("no"), "short", True),
    "53300": (asyncpg.TooManyConnectionsError("no"), "short", True),
    "58000": (asyncpg.PostgresSystemError("no"), "io_error", True),
    "58030": (asyncpg.PostgresIOError("no"), "io_error", True),
    "25006": (asyncpg.ReadOnlySQLTransactionError("no"), "read_only", False),
    "08006": (asyncpg.ConnectionFailureError("no"), "away", False),
    "57P01": (asyncpg.AdminShutdownError("no"), "away", False),
    "no answer": (TimeoutError(), "away", False),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_each_error_says_of_the_database(name: str) -> None:
    error, kind, connection_is_fine = KINDS[name]
    assert (kind_of(error), isinstance(error, CONNECTION_IS_FINE)) == (kind, connection_is_fine)


def test_pauses_grow_to_a_limit() -> None:
    for failures in (0, 1, 2, 3, 100, 10_000):
        longest = min(20 * 2 ** min(failures, 10), 500)
        assert longest / 2 <= pause_ms(failures, 20, 500) <= longest
