"""Sealing: nothing is skipped, nothing is sealed twice, and two that seal at once make one tree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import asyncpg
import pytest

from tallystick.oversight.audit import seal
from tallystick.oversight.audit.heads import group_of
from tallystick.oversight.audit.leaf_rows import document_of
from tallystick.oversight.audit.leaves import hash_of, leaf_bytes
from tallystick.oversight.audit.looks import WindowLook
from tallystick.oversight.audit.seal import BrokenHead, Sealer
from tallystick.oversight.audit.sealed_tables import ADDED, COLUMNS, LEFT_OUT, NOT_SEALED
from tallystick.record.postgres.audit_parts import ChangeParts
from tallystick.record.postgres.audit_rows import KINDS, AuditRows, Thing
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, compare, named, seal_all, sealer_of
from tests.support.database import Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, Client, runtime_of

_ANSWER = (
    "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
    " VALUES ($1, $2, 200, 'x', now() - $3::int * interval '1 second')"
)


class Killed(Exception):
    """The process is gone."""


@pytest.fixture
def fresh(new_database: NewDatabase) -> Database:
    """Without leaves."""
    return new_database()


@asynccontextmanager
async def _pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database.app_url, SETTINGS) as pool:
        yield pool


async def _holds(database: Database) -> Any:
    connection = await asyncpg.connect(database.owner_url)
    try:
        async with connection.transaction():
            report = await compare(connection)
    finally:
        await connection.close()
    assert named(report) == []
    return report


async def _payments(database: Database, number: int) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        client = Client(runtime, "m" + new_letters())
        await asyncio.gather(*(client.create(f"k{each}", description="a private word") for each in range(number)))


async def test_every_table_is_sealed_or_says_why_not(fresh: Database) -> None:
    connection = await asyncpg.connect(fresh.owner_url)
    try:
        rows = await connection.fetch(
            "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            " AND table_name !~ '^_?yoyo'"
        )
    finally:
        await connection.close()
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table, set()).add(column)
    assert set(columns) == set(COLUMNS) | set(NOT_SEALED)
    assert not set(COLUMNS) & set(NOT_SEALED)
    for table, sealed in COLUMNS.items():
        left_out = {name.split(".")[1] for name in LEFT_OUT if name.split(".")[0] == table}
        assert columns[table] == {*sealed, *ADDED.get(table, ()), *left_out}, table


def test_a_leaf_is_the_same_for_ever() -> None:
    """The value was computed by hand from the encoding's description; it may never change."""
    row = '{"merchant_id":"m","idempotency_key":"k","status":200,"body":"\\\\x7b7d","at":"2026-01-02T00:00:00+00:00"}'
    thing = Thing(kind="response", merchant_id="m", leaf_key="k", at=cast(Any, None), rows=[("response", row)])
    later = row.replace("}", ',"api_version":null,"column_of_tomorrow":7}')
    thing_later = Thing(kind="response", merchant_id="m", leaf_key="k", at=cast(Any, None), rows=[("response", later)])
    salt = bytes(range(16))
    assert leaf_bytes(thing, salt) == leaf_bytes(thing_later, salt)
    assert leaf_bytes(thing, salt).decode() == (
        '{"encoding":2,"kind":"response","merchant_id":"m","key":"k","rows":[["response",{"api_version":null,"at":"2026-01-02T00:00:00+00:00",'
        '"body":{"salted":"c5f748c61f381cfd2930bb1f4d2bb46c52e12a6afd1ff09473ffc2d3ec74f436"},'
        '"idempotency_key":"k","merchant_id":"m","status":200}]]}'
    )


def test_a_column_that_came_later_is_in_the_leaves_that_have_it() -> None:
    def leaf(**more: object) -> str:
        row = json.dumps({"merchant_id": "m", "key_id": "k", "number": 1, "act": "created"} | more)
        thing = Thing(
            kind="api_key_act", merchant_id="m", leaf_key="k/1", at=cast(Any, None), rows=[("api_key_act", row)]
        )
        return leaf_bytes(thing, bytes(16)).decode()

    assert leaf() == leaf(actor=None) and "actor" not in leaf()
    assert '{"act":"created","actor":"operator:ada","api_version":null,' in leaf(actor="operator:ada")


async def _things(connection: asyncpg.Connection) -> list[Thing]:
    async with connection.transaction():
        rows = AuditRows(connection)
        await rows.in_utc()
        return [
            each
            for kind in ("change", "instruction", "response")
            async for page in rows.every(kind, 100)
            for each in page
        ]


async def test_what_is_sealed_has_no_personal_field_and_an_erasure_changes_no_leaf(fresh: Database) -> None:
    await _payments(fresh, 1)
    connection = await asyncpg.connect(fresh.owner_url)
    try:
        things = await _things(connection)
        await connection.execute(
            "UPDATE payment SET description = '[erased]', personal_key = NULL, erased_by = 'apr_1'"
        )
        erased = await _things(connection)
    finally:
        await connection.close()
    word = "a private word"
    texts = [document_of(table, row) for thing in things for table, row in thing.rows]
    assert not [each for each in texts if word in each or word.encode().hex() in each]
    assert [leaf_bytes(each, bytes(16)) for each in erased] == [leaf_bytes(each, bytes(16)) for each in things]
    leaves = [leaf_bytes(thing, bytes(16)) for thing in things]
    assert not any(b"private" in leaf for leaf in leaves)
    first = next(thing for thing in things if thing.leaf_key.endswith("/1"))
    assert hash_of(first, bytes(16)) != hash_of(first, bytes(15) + b"1")


async def test_a_payment_is_a_leaf_a_change_and_a_later_attempt_moves_nothing_into_one(fresh: Database) -> None:
    """An instruction that was sealed on its own stays so, when an attempt takes its key after that."""
    copy = "INSERT INTO {0} SELECT (json_populate_record(t, $1::json)).* FROM {0} t WHERE {1} LIMIT 1"
    await _payments(fresh, 1)
    async with _pool(fresh) as pool:
        await pool.execute(
            copy.format("instruction", "true"), '{"idempotency_key": "later", "instruction_id": "ins_later"}'
        )
        await seal_all(pool)
        kinds = [row["kind"] for row in await pool.fetch("SELECT kind FROM audit_leaf WHERE merchant_id <> ''")]
        later = '{"attempt_id": "att_later", "idempotency_key": "later", "provider_key": "later"}'
        await pool.execute(copy.format("attempt", "true"), later)
        step = '{"subject_id": "att_later", "lead_version": 7}'
        await pool.execute(copy.format("transition", "version = 1 AND stream_id IS NOT NULL"), step)
        owner = await asyncpg.connect(fresh.owner_url)
        async with owner.transaction():
            report = await compare(owner, window_ms=600_000)
        await owner.close()
    assert sorted(kinds) == ["change", "change", "instruction"]
    assert [each.split(" ")[0] for each in named(report)] == ["stray:"], "the step that this test made up"


async def test_two_that_seal_at_once_make_one_tree(fresh: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the lease lets both: the primary key of heads decides."""

    async def everybody(*_: Any) -> bool:
        return True

    monkeypatch.setattr("tallystick.oversight.audit.seal.Watch.hold", everybody)
    monkeypatch.setattr(seal, "AT_ONCE", 7)
    async with _pool(fresh) as pool:
        sealers = [sealer_of(pool, audit_window_ms=600_000) for _ in range(4)]
        for _ in range(3):
            await _payments(fresh, 6)
            for _ in range(6):
                await asyncio.gather(*(each.round() for each in sealers))
        await seal_all(pool)
    report = await _holds(fresh)
    assert report.leaves == report.examined and report.unsealed == 0


async def test_what_was_made_while_nobody_sealed_is_sealed_by_the_next_look(fresh: Database) -> None:
    """However long that was, and without a sweep; more than one look takes at once."""
    async with _pool(fresh) as pool:
        await seal_all(pool)
        await pool.execute("DELETE FROM watch")
        for number in range(9):
            await pool.execute(_ANSWER, "m", f"k{number}", 0)
        sealer = sealer_of(pool, shift_ms=3_600_000, audit_sweep_interval_ms=86_400_000)
        while await sealer.round():
            pass
        await sealer.leave()
        unsealed = await pool.fetchval(
            "SELECT count(*) FROM response r LEFT JOIN audit_leaf l ON l.leaf_key = r.idempotency_key WHERE l IS NULL"
        )
    assert unsealed == 0


async def test_what_commits_later_than_the_window_is_sealed_and_told(fresh: Database) -> None:
    async with _pool(fresh) as pool:
        await seal_all(pool)
        held = await asyncpg.connect(fresh.owner_url)
        transaction = held.transaction()
        await transaction.start()
        await held.execute(_ANSWER, "m", "held back", 30)  # a window is one second
        await pool.execute(_ANSWER, "m", "in time", 0)
        await seal_all(pool)
        await transaction.commit()
        await held.close()
        quick = sealer_of(pool)
        await quick.round()
        await quick.leave()
        before = await pool.fetchval("SELECT count(*) FROM audit_leaf WHERE leaf_key = 'held back'")
        sweeping = sealer_of(pool, audit_sweep_interval_ms=1_000, shift_ms=5_000)
        while await sweeping.round():
            pass
        await sweeping.round()
        await sweeping.leave()
        late = await pool.fetchval("SELECT sum(late)::int FROM audit_sweep")
    report = await _holds(fresh)
    assert (before, late) == (0, 1)
    # On a slow machine rows about looks at everything may be later than this window, too.
    assert [each for each in report.late if not each.startswith("sweep ")] == ["response m held back"]
    assert report.unsealed == 0


async def test_what_waits_while_the_sealer_catches_up_is_no_finding(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many windows old, and the checkpoint is new; a row that is older than what is sealed is one."""
    monkeypatch.setattr(seal, "AT_ONCE", 7)
    async with _pool(fresh) as pool:
        await seal_all(pool)
        await pool.execute("DELETE FROM watch")
        for number in range(30):
            await pool.execute(_ANSWER, "m", f"k{number}", -number - 10)
        sealer = sealer_of(pool, shift_ms=3_600_000, audit_sweep_interval_ms=86_400_000)
        while await pool.fetchval("SELECT count(*) FROM audit_leaf WHERE leaf_key LIKE 'k%'") == 0:
            await sealer.round()
        await sealer.leave()
        waiting = (await _holds(fresh)).unsealed
        await pool.execute(_ANSWER, "m", "forged", 30)
        owner = await asyncpg.connect(fresh.owner_url)
        async with owner.transaction():
            report = await compare(owner)
        await owner.close()
    assert (named(report), report.unsealed) == (["not_sealed: response m forged"], waiting)
    assert 0 < waiting < 30


async def test_a_slash_in_a_name_makes_no_two_keys_alike(fresh: Database) -> None:
    act = (
        "INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, arguments, fingerprint, reason,"
        " result, at) VALUES ($1, $2, $1 || $2, 'a', 't', '{}', '', 'r', '{}', now())"
    )
    async with _pool(fresh) as pool:
        for operator, key in (("a/b", "c"), ("a", "b/c"), ("a~1b", "c"), ("a~0", "/c")):
            await pool.execute(act, operator, key)
        await seal_all(pool)
        keys = await pool.fetch("SELECT leaf_key FROM audit_leaf WHERE kind = 'operator_act'")
    assert (await _holds(fresh)).unsealed == 0
    assert sorted(row["leaf_key"] for row in keys) == ["a/b/c", "a~00//c", "a~01b/c", "a~1b/c"]


class _Dying:
    """A connection on which the process is killed before one statement. ``left``: how many are run before it."""

    def __init__(self, connection: Any, left: list[int]) -> None:
        self.connection, self.left = connection, left

    async def _run(self, name: str, *arguments: Any, **named: Any) -> Any:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise Killed
        return await getattr(self.connection, name)(*arguments, **named)

    async def fetch(self, *arguments: Any) -> Any:
        return await self._run("fetch", *arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._run("fetchval", *arguments)

    async def execute(self, *arguments: Any) -> Any:
        return await self._run("execute", *arguments)

    async def copy_records_to_table(self, *arguments: Any, **named: Any) -> Any:
        return await self._run("copy_records_to_table", *arguments, **named)


async def test_a_sealer_that_is_killed_at_any_statement_leaves_nothing_half_done(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session ends with it, at each statement in turn; the next sealer goes on."""
    real = AuditRows
    at = killed = 0
    async with _pool(fresh) as pool:
        await seal_all(pool)
        while killed == at:
            await pool.execute(_ANSWER, "m", f"k{at}", 0)
            left = [at]

            def rows(connection: Any, left: list[int] = left) -> AuditRows:
                return real(cast(asyncpg.Connection, _Dying(connection, left)))

            monkeypatch.setattr(seal, "AuditRows", rows)
            sealer: Sealer = sealer_of(pool)
            try:
                await sealer.round()
            except Killed:
                killed += 1
            monkeypatch.setattr(seal, "AuditRows", real)
            await sealer.leave()
            await _holds(fresh)
            at += 1
        await seal_all(pool)
    report = await _holds(fresh)
    assert killed > 15, "a round is a score of statements"
    assert report.unsealed == 0 and report.leaves == report.examined


async def test_nothing_is_added_to_a_tree_that_was_changed(fresh: Database) -> None:
    async with _pool(fresh) as pool:
        await pool.execute(_ANSWER, "m", "k", 0)
        await seal_all(pool)
        owner = await asyncpg.connect(fresh.owner_url)
        await owner.execute("UPDATE audit_head SET peaks = sha256(peaks) WHERE leaf_group > 1")
        await owner.close()
        await pool.execute(_ANSWER, "m", "k2", 0)
        sealer = sealer_of(pool)
        with pytest.raises(BrokenHead):
            await sealer.round()


def test_a_merchant_stays_in_its_group() -> None:
    """Golden: what is recorded is never assigned anew."""
    assert [group_of("change", f"m{number}", 4) for number in range(8)] == [3, 5, 5, 5, 4, 2, 3, 3]
    assert (group_of("delivery", "", 4), group_of("operator_act", "", 4)) == (1, 0)


async def test_what_commits_after_the_looks_have_passed_it_is_found_in_the_window(
    fresh: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes before the sweep. The looks at the newest do not go back so far."""
    monkeypatch.setattr(seal, "WINDOW_STEP_MS", 1)
    held_back = "SELECT count(*) FROM audit_leaf WHERE leaf_key = 'held back'"
    async with _pool(fresh) as pool:
        sealer = sealer_of(pool, audit_window_ms=600_000, audit_sweep_interval_ms=86_400_000)
        while await sealer.round():
            pass
        held = await asyncpg.connect(fresh.owner_url)
        transaction = held.transaction()
        await transaction.start()
        await held.execute(_ANSWER, "m", "held back", 60)
        # Through all of it in one round.
        sealer._in_window = WindowLook(KINDS, timedelta(minutes=10), timedelta(milliseconds=1))
        sealer._others.due_ms = 0
        await sealer.round()
        await transaction.commit()
        await held.close()
        before = await pool.fetchval(held_back)

        async def found() -> int:
            await sealer.round()
            return int(await pool.fetchval(held_back))

        assert await eventually_async(found) == 1
        await sealer.leave()
    assert before == 0
    assert (await _holds(fresh)).unsealed == 0


async def test_a_sweep_reads_no_rows_of_what_is_sealed(fresh: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks where changes are sealed, and reads only those that are not."""
    await _payments(fresh, 4)
    read, add = list[int](), ChangeParts.add

    async def noted(self: ChangeParts, things: Sequence[Thing], *, whole: bool) -> None:
        read.append(len(things))
        await add(self, things, whole=whole)

    async with _pool(fresh) as pool:
        await seal_all(pool)
        monkeypatch.setattr(ChangeParts, "add", noted)
        sweeping = sealer_of(pool, audit_sweep_interval_ms=1_000, shift_ms=5_000)
        while await sweeping.round():
            pass
        await sweeping.leave()
        sweeps = await pool.fetchval("SELECT count(*) FROM audit_sweep")
    assert (read, sweeps) == ([], 2)
