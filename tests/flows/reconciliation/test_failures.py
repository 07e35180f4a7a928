"""What cannot be worked on keeps nothing else from it, is tried again, and is said at a bounded rate."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from asyncpg import UniqueViolationError
from msgspec.structs import replace
from structlog.testing import capture_logs

from tallystick.access.key_store import OPERATORS
from tallystick.domain.errors import Overloaded
from tallystick.flows.reconciliation import worker
from tallystick.flows.reconciliation.failures import Failures
from tallystick.flows.reconciliation.matching import Compared, compare_file
from tallystick.flows.reconciliation.races import TRIES, LostRaces, looked_again
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.reconciliation_told import ToldBook
from tallystick.record.postgres.settlement_waiting import WaitingBook
from tests.support.database import Database
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import Acquirer, paid, settled
from tests.support.settlement_imports import imported
from tests.support.settlement_messages import types

SAID: Final = "settlement work failed"


class BrokenBook(ToldBook):
    """One file's set cannot be told."""

    broken = ""

    async def page(self, of: object, after: int) -> Sequence[object]:  # type: ignore[override]
        if of.file_id == self.broken:  # type: ignore[attr-defined]
            raise ValueError("a set that nobody can read")
        return await super().page(of, after)  # type: ignore[arg-type]


async def test_a_set_that_cannot_be_told_keeps_no_other_one_from_it(database: Database, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        book, merchants = BrokenBook(runtime.pool, OPERATORS), [f"m{new_letters()}" for _ in range(2)]
        for merchant in merchants:
            file = Acquirer()
            file.of(await paid(runtime, merchant), "charge", 1_000)
            file_id, _, _ = await settled(runtime, file.text(), tmp_path, name=f"{merchant}.csv")
            book.broken = book.broken or file_id
        teller = SettlementTeller(replace(runtime, stores=replace(runtime.stores, told=book)))
        with capture_logs() as logged:
            for _ in range(5):
                await teller.round()
        said = [line for line in logged if line["event"] == SAID]
        assert [(line["work"], line["since_last_line"]) for line in said] == [("settlement messages", 1)]
        assert book.broken in said[0]["about"] and "nobody can read" in said[0]["error"] and said[0]["alert"]
        assert [await types(runtime, merchant) for merchant in merchants] == [[], ["payment.settled"]]
        book.broken = ""
        await teller.round()
        assert await types(runtime, merchants[0]) == ["payment.settled"]


async def test_a_file_that_cannot_be_compared_keeps_no_other_one_from_it(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        ids = []
        for number in range(2):
            file = Acquirer()
            file.of(await paid(runtime, fresh_merchant), "charge", 1_000)
            ids.append((await imported(runtime, file.text(), tmp_path, name=f"{number}.csv")).file.file_id)

        async def compare(runtime: Runtime, file_id: str, actor: str, *, tells_news: bool) -> Compared:
            if file_id == min(ids):
                raise LostRaces("it is there already")
            return await compare_file(runtime, file_id, actor, tells_news=tells_news)

        monkeypatch.setattr(worker, "compare_file", compare)
        rounds = ReconciliationWorker(runtime)
        with capture_logs() as logged:
            while await rounds.round():
                pass
        assert [file_id for file_id, _ in rounds.compared] == [max(ids)]
        assert [line["about"] for line in logged if line["event"] == SAID] == [min(ids)] == rounds.failed
        monkeypatch.undo()
        while await rounds.round():
            pass
        assert [file_id for file_id, _ in rounds.compared] == [max(ids), min(ids)]


async def test_a_lost_race_is_looked_at_again_and_what_stays_lost_is_said() -> None:
    tried: list[int] = []

    async def work() -> str:
        tried.append(1)
        if len(tried) < TRIES:
            raise UniqueViolationError("somebody was first")
        return "done"

    assert await looked_again("rows", work) == "done" and len(tried) == TRIES

    async def never() -> str:
        tried.append(1)
        raise UniqueViolationError("somebody was first")

    tried.clear()
    with pytest.raises(LostRaces, match="rows that wait"):
        await looked_again("rows that wait", never)
    assert len(tried) == TRIES


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("full"),
        ConnectionError("away"),
        TimeoutError(errno.ETIMEDOUT, "nobody answers"),
        asyncpg.TooManyConnectionsError("no place"),
        asyncpg.AdminShutdownError("it ends"),
    ],
    ids=["full", "away", "no answer", "no place", "ends"],
)
async def test_what_is_everybodys_failure_ends_the_round(error: Exception) -> None:
    """A full journal and a database that is away are met by every other file too; beside a failure of its own also."""
    failures = Failures("work")
    with capture_logs() as logged:
        with pytest.raises(type(error)), failures.apart("a"):
            raise error
        with pytest.raises(type(error)), failures.apart("b"):
            raise ExceptionGroup("", [ValueError("its own"), ExceptionGroup("", [error])])
        with failures.apart("c"):
            raise ExceptionGroup("", [LookupError("its own")])
    assert [line["about"] for line in logged] == ["b", "c"]


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        asyncpg.QueryCanceledError("statement timeout"),
        asyncpg.OutOfMemoryError("too much"),
        asyncpg.DiskFullError("of what it sorts"),
        asyncpg.ConfigurationLimitExceededError("temporary files"),
    ],
    ids=["no time", "canceled", "memory", "disk", "limit"],
)
async def test_what_is_too_large_keeps_nothing_newer_from_its_turn(error: Exception) -> None:
    """The server is there, and has no room or time for this one: every round would end at it."""
    failures = Failures("work")
    with capture_logs() as logged:
        with failures.apart("the largest"):
            raise error
        with failures.apart("newer"):
            pass
    assert [line["about"] for line in logged] == ["the largest"] and failures.about == {"the largest"}


async def test_a_round_that_was_ended_looks_again_at_what_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    async def compare_waiting(runtime: Runtime, provider: str, actor: str) -> int:
        looked.append(provider)
        if len(looked) == 1:
            raise ConnectionError("away")
        return 0

    class Two(WaitingBook):
        async def providers(self) -> Sequence[str]:
            return ["one", "two"]

    monkeypatch.setattr(worker, "compare_waiting", compare_waiting)
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        stores = replace(runtime.stores, waiting=Two(runtime.pool))
        rounds = ReconciliationWorker(replace(runtime, stores=stores))
        with pytest.raises(ConnectionError):
            await rounds.round()
        await rounds._waiting()
        await rounds._waiting()
        assert looked == ["one", "one", "two"]
