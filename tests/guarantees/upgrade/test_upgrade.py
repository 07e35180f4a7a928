"""A database at schema 0006 is migrated: every row is still there, all invariants hold, and what was open finishes.

The rows were written by the platform as it was at commit e0d16a3, of every kind that it wrote, and the test acquirer's
books are of the same moment. The program that had them written is in the history: commit ca9cdfb, ``make_rows.py``
beside this file. Every time in them is long past, whenever this runs: clocks are shifted until
each lease, deadline and wait is over.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from standardwebhooks import Webhook

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.in_doubt import resolve
from tallystick.flows.runtime import Runtime
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.record.postgres.arrival_keys import is_wrapped, unwrapped
from tallystick.run.work import work
from tallystick.settings.load import Settings
from tests.guarantees.upgrade.old_rows import HERE, Old, examined, migrated, old_rows, unfolded
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.receivers import Receiver, receiving

#: Longer than every lease, deadline, wait and retry that the rows may be in.
LONG_AFTER: Final = timedelta(days=30)

#: What has not finished by then does not finish.
PATIENCE_S: Final = 120

#: Rows of these are added and removed as there is work; all others are for ever.
QUEUES: Final = frozenset({"deadline", "message_lane"})

#: Rows of these never change; of the outbox, what the dispatcher does not mark.
APPEND_ONLY: Final = (
    "merchant", "api_key", "instruction", "response", "transition", "rejection", "transfer", "provider_reference",
    "delivery", "processing", "outbox", "message_try", "webhook_endpoint_act", "webhook_secret",
)  # fmt: skip
MARKS: Final = frozenset({"dispatched_at", "lease_until"})

#: What is encrypted once more, by keys that an erasure destroys.
WRAPPED: Final = {"delivery": frozenset({"sealed"})}

#: Where recovery, the workers and an operator leave what was open: our state, captured, refunded; None: as theirs is.
FINISHED: Final[dict[str, tuple[str, int, int] | None]] = {
    "in_flight": ("captured", 1_000, 0),
    "in_flight_capture": ("captured", 1_000, 0),
    "in_flight_cancel": ("canceled", 0, 0),
    "in_flight_refunds": ("captured", 1_000, 1_000),
    "in_flight_lost": ("failed", 0, 0),
    "unknown": ("captured", 1_000, 0),
    "parked": ("captured", 1_000, 0),
    "pending": ("captured", 1_000, 0),
    "pending_hold": ("authorized", 0, 0),
    "pending_capture": ("captured", 600, 0),
    "pending_refund": ("captured", 1_000, 400),
    "requires_action": ("expired", 0, 0),
    "hold": ("expired", 0, 0),
    "not_found_0": ("failed", 0, 0),
    "not_found_1": ("failed", 0, 0),
    "not_found_2": ("failed", 0, 0),
    "not_sent": None,  # sent again, or given up where this machine is too busy to send in time
    "event_waits": ("captured", 1_000, 300),
    "undelivered": ("captured", 1_000, 0),
}

#: Late money of the retired edge gets its amount by a step of its own, which migration 0013 adds: of each payment and
#: refund that has such money.
COUNTED: Final = 4 + 1


TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%yoyo%'"


@pytest.fixture(scope="module")
def old() -> Old:
    return old_rows("database.sql.gz", "rows.json")


@pytest.fixture(scope="module")
def upgraded(new_database: NewDatabase, data_dir: Path, old: Old) -> Iterator[Database]:
    """The old rows in a database of their own, migrated as far as migrations go. ``new_database`` is asked for because
    of its server, which is started once for all."""
    with migrated(data_dir, old, "upgraded") as database:
        yield database


@pytest.fixture(scope="module")
def settings(old: Old) -> Settings:
    """Old rows are overdue by whatever limit there is; this process's clock is long after them."""
    made_at, now = datetime.fromisoformat(old.names["made_at"]), datetime.now(UTC)
    shift = max(timedelta(0), made_at - now) + LONG_AFTER
    for_ever_ms = 1_000_000_000_000
    return Settings(
        sealing_keys=old.names["sealing_key"],
        clock_shift_ms=int(shift.total_seconds()) * 1_000,
        in_doubt_alarm_age_ms=for_ever_ms,
        webhook_dead_letter_alarm_age_ms=for_ever_ms,
        webhook_allow_private_addresses=True,
        webhook_tries_limit=2,
        webhook_backoff_base_ms=10,
        webhook_interval_ms=10,
        outbound_interval_ms=10,
        provider_request_timeout_ms=1_500,
        send_window_ms=2_000,
        settling_time_ms=100,
        resubmit_limit=1,
        recovery_interval_ms=20,
        recovery_backoff_base_ms=20,
        recovery_backoff_cap_ms=200,
        recovery_checks_limit=1_000,
        pending_poll_ms=20,
        provider_circuit_calls=1_000_000,
    )


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    """The acquirer with its books of then. What it was to make up its mind about is due, whatever the time is."""
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    connection = sqlite3.connect(books)
    connection.executescript((HERE / "books.sql").read_text("utf-8"))
    connection.execute("UPDATE operation SET ready_at = 0 WHERE ready_at IS NOT NULL")
    connection.commit()
    connection.close()
    with acquirer(books) as process:
        yield process


async def counts(database: Database) -> dict[str, int]:
    """Table -> rows."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        tables = [row[0] for row in await connection.fetch(TABLES)]
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    finally:
        await connection.close()


async def changed(database: Database, old: Old) -> dict[str, int]:
    """Append-only table -> how many of its old rows are not there as they were."""
    connection = await asyncpg.connect(database.owner_url)
    found = {}
    try:
        for name in APPEND_ONLY:
            query = "SELECT column_name FROM information_schema.columns WHERE table_name = $1"
            known = [row[0] for row in await connection.fetch(query, name)]
            columns, before = old.tables[name].without(MARKS | WRAPPED.get(name, frozenset()), known)
            text = bytearray()

            async def keep(data: bytes, text: bytearray = text) -> None:
                text.extend(data)

            await connection.copy_from_table(name, columns=columns, output=keep, format="text")
            now = Counter(tuple(line.split("\t")) for line in text.decode().splitlines())
            found[name] = (before - now).total()
    finally:
        await connection.close()
    return {name: number for name, number in found.items() if number}


def test_there_are_rows_of_every_kind(old: Old) -> None:
    """In every table, on each edge that moves money late, and in every state that something is left open in."""
    assert [name for name, table in old.tables.items() if not table.lines] == []
    assert set(FINISHED) == set(old.names["payments"])
    steps = _of(old, "transition", "subject", "from_state", "event")
    late = {(subject, state) for subject, state, event in steps if event == "late_effect"}
    assert late >= {("payment", "declined"), ("payment", "failed"), ("payment", "canceled"), ("refund", "failed")}
    assert late >= {("dispute", state) for state in ("opened", "under_review", "won", "lost")}
    assert late >= {("attempt", state) for state in ("approved", "declined", "failed")}
    states = {"submitted", "pending", "requires_action", "unknown", "not_found", "not_sent"}
    assert {state for (state,) in _of(old, "attempt", "state")} >= states
    closed = {"applied", "duplicate_effect", "stale", "conflict", "unknown_type", "discarded", "dead"}
    assert {state for (state,) in _of(old, "inbox", "state")} == closed | {"received", "unroutable"}
    assert {result for (result,) in _of(old, "processing", "result")} >= {"failed", "replayed", "discarded"}
    sent = {state for (state,) in _of(old, "message_delivery", "state")}
    assert sent == {"delivered", "open", "exhausted", "canceled"}
    endpoints = {state for (state,) in _of(old, "webhook_endpoint", "state")}
    assert endpoints == {"enabled", "disabled", "deleted"}


async def test_everything_holds_after_the_migration(upgraded: Database, settings: Settings, old: Old) -> None:
    report = await examined(upgraded, settings)
    assert report.violations == ()
    looked_at = {"payments": "payment", "refunds": "refund", "attempts": "attempt", "transitions": "transition"}
    looked_at |= {"transfers": "transfer", "rejections": "rejection", "instructions": "instruction"}
    there = {name: old.count(table) for name, table in looked_at.items()}
    there["transitions"] += COUNTED
    assert {name: report.checked[name] for name in looked_at} == there
    assert await unfolded(upgraded) == []


async def test_every_old_row_is_still_there(upgraded: Database, old: Old) -> None:
    now = await counts(upgraded)
    assert [name for name in old.tables if now[name] < old.count(name)] == []
    assert await changed(upgraded, old) == {}


async def test_bytes_of_arrivals_are_the_same_under_the_keys_of_their_events(upgraded: Database, old: Old) -> None:
    table = old.tables["delivery"]
    at = [table.columns.index(name) for name in ("delivery_id", "sealed")]
    before = {row[at[0]]: row[at[1]] for row in (line.split("\t") for line in table.lines)}
    connection = await asyncpg.connect(upgraded.owner_url)
    try:
        rows = await connection.fetch(
            "SELECT provider, account, provider_event_id, delivery_id, sealed, raw_key"
            " FROM delivery JOIN inbox USING (provider, account, provider_event_id)"
        )
    finally:
        await connection.close()
    assert all(is_wrapped(row["sealed"]) for row in rows)
    now = {row["delivery_id"]: unwrapped(row["raw_key"], row["sealed"], tuple(row[:4])).hex() for row in rows}
    assert {name: now[name] for name in before} == {name: text.lstrip("\\x") for name, text in before.items()}


async def test_what_was_open_finishes(upgraded: Database, settings: Settings, old: Old, bank: AcquirerProcess) -> None:
    """A payment in flight, one in doubt, a message that was not delivered; and every other thing that waits."""
    there = settings.with_connector(SimulatorSettings, url=bank.url)
    before = await counts(upgraded)
    async with receiving() as receiver, open_runtime(there, upgraded.app_url) as core:
        await _merchants_have_moved(upgraded, old, receiver)
        asked = await core.reads.payment(old.names["merchant"], old.names["payments"]["requires_action"])
        assert asked is not None
        assert (core.actions.opened(asked[0]) or {})["url"], "the seal of what the payer has to do opens"
        await _operator_settles_the_parked(core, bank)
        async with _working(there, upgraded.app_url):
            await _until_nothing_is_open(core, old.names["endpoint"])
        for name, expected in FINISHED.items():
            await _agrees(core, bank, old, name, expected)
        _heard_once_in_order(old, receiver)
    report = await examined(upgraded, there)
    assert report.violations == ()
    assert await unfolded(upgraded) == []
    after = await counts(upgraded)
    assert [name for name in before if after[name] < before[name] and name not in QUEUES] == []
    assert await changed(upgraded, old) == {}


@asynccontextmanager
async def _working(settings: Settings, database_url: str) -> AsyncIterator[None]:
    """A worker: recovery, inbox, outbox."""
    stop = asyncio.Event()
    worker = asyncio.create_task(work(settings, database_url, stop))
    try:
        yield
    finally:
        stop.set()
        await worker


async def _merchants_have_moved(database: Database, old: Old, receiver: Receiver) -> None:
    """The merchants' servers of then are gone: one has another address, at all others nobody listens."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute("UPDATE webhook_endpoint SET url = 'http://127.0.0.1:9/' || endpoint_id")
        moved = "UPDATE webhook_endpoint SET url = $1 WHERE endpoint_id = $2"
        assert await connection.execute(moved, receiver.url, old.names["endpoint"]) == "UPDATE 1"
    finally:
        await connection.close()


async def _operator_settles_the_parked(core: Runtime, bank: AcquirerProcess) -> None:
    """What recovery gave up on, by what the acquirer's books say."""
    book = core.stores.schedule_book
    parked = await core.pool.fetch("SELECT attempt_id, payment_id FROM attempt WHERE parked_at IS NOT NULL")
    assert parked
    for attempt_id, payment_id in parked:
        [charge] = bank.charges(payment_id)
        words = {"evidence": "their books", "actor": "ada", "reason": "after the upgrade"}
        await resolve(core, book, attempt_id, "executed", reference=charge["id"], **words)


async def _until_nothing_is_open(core: Runtime, endpoint_id: str) -> None:
    await eventually_async(
        lambda: _still_open(core, endpoint_id), until=lambda found: not found, within_s=PATIENCE_S, interval_s=0.05
    )


async def _still_open(core: Runtime, endpoint_id: str) -> list[str]:
    """Where somebody has still something to do. Messages to endpoints where nobody listens wait for days."""
    now = core.clock.now()
    waiting: dict[str, tuple[str, tuple[object, ...]]] = {
        "attempt": ("next_check_at IS NOT NULL OR parked_at IS NOT NULL", ()),
        "deadline": ("due_at < $1", (now,)),
        "inbox": ("next_try_at IS NOT NULL", ()),
        "outbox": ("dispatched_at IS NULL", ()),
        "message_delivery": ("state = 'open' AND endpoint_id = $1", (endpoint_id,)),
    }
    exists = {
        table: await core.pool.fetchval(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {where})", *values)
        for table, (where, values) in waiting.items()
    }
    return [table for table, found in exists.items() if found]


async def _agrees(
    core: Runtime, bank: AcquirerProcess, old: Old, name: str, expected: tuple[str, int, int] | None
) -> None:
    """The payment is where it must be, in our books and in the acquirer's."""
    payment_id = old.names["payments"][name]
    found = await core.reads.payment(old.names["merchant"], payment_id)
    assert found is not None
    payment, in_doubt = found
    assert not in_doubt, name
    ours = (payment.state, payment.amount_captured, payment.amount_refunded)
    assert expected is None or ours == expected, name
    theirs = [(charge["captured"], charge["refunded"]) for charge in bank.charges(payment_id)]
    assert theirs == [ours[1:]] or (theirs == [] and ours[1:] == (0, 0)), name


def _heard_once_in_order(old: Old, receiver: Receiver) -> None:
    """What waited at the endpoint was delivered under its secret of then, each payment's messages in their order."""
    versions: dict[str, list[int]] = {}
    secret = Webhook(old.names["endpoint_secret"])
    for got in receiver.got:
        # Not by the library's own check, which compares the time with this machine's clock.
        signed_at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
        right = secret.sign(got.message_id, signed_at, got.body.decode())
        assert right in got.headers["webhook-signature"].split()
        body = got.json
        versions.setdefault(body["payment_id"], []).append(body["version"])
    assert versions.get(old.names["payments"]["undelivered"]) == [2]
    assert versions.get(old.names["payments"]["in_flight"]) == [2]
    assert all(each == sorted(each) for each in versions.values())


def _of(old: Old, table: str, *columns: str) -> set[tuple[str, ...]]:
    """The different values in some columns of a table."""
    numbers = [old.tables[table].columns.index(name) for name in columns]
    return {tuple(line.split("\t")[number] for number in numbers) for line in old.tables[table].lines}
