"""What belongs to changes is found by intervals of keys, and whether anything belongs to none by numbers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest

from tallystick.oversight.audit.leaves import leaf_bytes
from tallystick.record.postgres.audit_heads import STATEMENTS
from tallystick.record.postgres.audit_parts import ChangeParts
from tallystick.record.postgres.audit_rows import KINDS, TABLES, AuditRows
from tallystick.record.postgres.audit_things import ATTACHED, Thing, column_places
from tests.support.sample import Sample

pytestmark = pytest.mark.asyncio(loop_scope="session")

SALT: Final = bytes(16)

#: A row more that belongs to no change: table -> statement.
BESIDE: Final = {
    "transition": (
        "INSERT INTO transition (merchant_id, subject_id, version, from_state, to_state, event, change, stream_id,"
        " lead_version) VALUES ($1, 'att_beside', 1, 'new', 'submitted', 'submit', '{}', $2, 77)"
    ),
    "transfer": (
        "INSERT INTO transfer SELECT merchant_id, payment_id, subject_id, 77, leg, kind, debit, credit, amount,"
        " currency, at, stream_id FROM transfer WHERE merchant_id = $1 AND stream_id = $2 LIMIT 1"
    ),
    "outbox": (
        "INSERT INTO outbox (merchant_id, stream_id, subject_id, version, message_id, type, body, at)"
        " VALUES ($1, $2, $2, 77, 'msg_beside', 'payment.captured', 'x', now())"
    ),
    "instruction": (
        "INSERT INTO instruction (merchant_id, idempotency_key, operation, fingerprint, fingerprint_version, request,"
        " payment_id, at) VALUES ($1, 'beside', 'POST', 'x', 1, 'x', $2, now())"
    ),
    "response": (
        "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
        " SELECT $1, 'beside', 200, 'x', now() WHERE $2 <> ''"
    ),
}

#: A step that leads a change of another stream, and a posting of it there.
_IN_ANOTHER_STREAM: Final = (
    "INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause, actor,"
    " at, change, stream_id) SELECT merchant_id, subject_id || 'x', 1, change_id, from_state, to_state, event, cause,"
    " actor, at, change, $2 FROM transition WHERE merchant_id = $1 AND subject_id = $2 AND version = 1",
    "INSERT INTO transfer SELECT merchant_id, payment_id, subject_id || 'x', 1, leg, kind, debit, credit, amount,"
    " currency, at, stream_id FROM transfer WHERE merchant_id = $1 AND stream_id = $2 LIMIT 1",
)


@asynccontextmanager
async def _rolled_back(owner: asyncpg.Connection) -> AsyncIterator[AuditRows]:
    transaction = owner.transaction()
    await transaction.start()
    try:
        rows = AuditRows(owner)
        await rows.in_utc()
        yield rows
    finally:
        await transaction.rollback()


async def _changes(rows: AuditRows, at_once: int) -> list[Thing]:
    return [each async for page in rows.every("change", at_once) for each in page]


async def _apart(rows: AuditRows, at_once: int = 1_000) -> set[str]:
    await _changes(rows, at_once)
    return set(await rows.apart_from_changes())


async def _remove_apart(owner: asyncpg.Connection, rows: AuditRows) -> None:
    """Instructions and answers that are in no change."""
    attached = [(table, row) for each in await _changes(rows, 1_000) for table, row in each.rows]
    for table in ("response", "instruction"):
        merchant, key = column_places(table, "merchant_id", "idempotency_key")
        kept = [(row[merchant], row[key]) for name, row in attached if name == table]
        await owner.execute(
            f"DELETE FROM {table} WHERE (merchant_id, idempotency_key) NOT IN (SELECT * FROM unnest($1::text[],"
            " $2::text[]))",
            *(list(each) for each in zip(*kept, strict=True)),
        )


async def test_a_table_is_named_exactly_where_a_row_of_it_belongs_to_no_change(
    owner: asyncpg.Connection, sample: Sample
) -> None:
    async with _rolled_back(owner) as rows:
        await _remove_apart(owner, rows)
        assert [await _apart(rows, at_once) for at_once in (7, 1_000)] == [set(), set()]
        for table, statement in BESIDE.items():
            async with _rolled_back(owner):
                assert await owner.execute(statement, sample.merchant, sample.captured) == "INSERT 0 1"
                assert await _apart(rows) == {table}


async def test_an_instruction_in_the_leaves_of_two_changes_counts_once(
    owner: asyncpg.Connection, sample: Sample
) -> None:
    """Counted twice, it would hide one that belongs to no change."""
    async with _rolled_back(owner) as rows:
        await _remove_apart(owner, rows)
        # Both changes of the payment have one time, and each opens an attempt for the instruction.
        await owner.execute(
            "UPDATE transition SET at = (SELECT at FROM transition WHERE merchant_id = $1 AND subject_id = $2 AND"
            " version = 1) WHERE merchant_id = $1 AND subject_id = $2 AND version = 2",
            sample.merchant,
            sample.captured,
        )
        for statement in (
            "INSERT INTO attempt SELECT (jsonb_populate_record(a, jsonb_build_object('attempt_id', 'att_again'))).*"
            " FROM attempt a WHERE merchant_id = $1 AND payment_id = $2 AND operation = 'authorize'",
            "INSERT INTO transition SELECT (jsonb_populate_record(t, jsonb_build_object('subject_id', 'att_again',"
            " 'lead_version', 2))).* FROM transition t WHERE merchant_id = $1 AND version = 1 AND subject_id ="
            " (SELECT min(attempt_id) FROM attempt WHERE merchant_id = $1 AND payment_id = $2"
            " AND operation = 'authorize' AND attempt_id <> 'att_again')",
        ):
            assert await owner.execute(statement, sample.merchant, sample.captured) == "INSERT 0 1"
        everything = await _changes(rows, 1_000)
        leaves = [each for each in everything if each.leaf_key.startswith(f"{sample.captured}/")]
        between = everything.index(leaves[1])  # a page ends there
        assert [[table for table, _ in each.rows].count("instruction") for each in leaves] == [1, 1]
        for at_once in (between, 1_000):
            assert "instruction" not in await _apart(rows, at_once)
        await owner.execute(BESIDE["instruction"], sample.merchant, sample.captured)
        for at_once in (between, 1_000):
            assert "instruction" in await _apart(rows, at_once)


async def test_a_change_of_another_stream_has_its_postings_however_it_is_read(
    owner: asyncpg.Connection, sample: Sample
) -> None:
    """Its payment's own are not found twice, although that stream is sought for itself as well."""
    async with _rolled_back(owner) as rows:
        for statement in _IN_ANOTHER_STREAM:
            assert await owner.execute(statement, sample.merchant, sample.captured) == "INSERT 0 1"
        pages = {at_once: await _changes(rows, at_once) for at_once in (3, 1_000)}
        singly = [
            Thing(
                kind=each.kind,
                merchant_id=each.merchant_id,
                leaf_key=each.leaf_key,
                at=each.at,
                rows=each.rows[:1],
            )
            for each in pages[1_000]
        ]
        await ChangeParts(owner).add(singly, whole=False)
    leaves = [[leaf_bytes(each, SALT) for each in things] for things in (*pages.values(), singly)]
    assert leaves[0] == leaves[1] == leaves[2]
    tables = {each.leaf_key: [table for table, _ in each.rows] for each in singly}
    assert tables[f"{sample.captured}x/1"] == ["transition", "transfer"]
    assert tables[f"{sample.captured}/2"].count("transfer") == 1


#: A refused transition that the order of keys passes over: how -> statements.
PASSED_OVER: Final = {
    "empty": (
        "INSERT INTO rejection SELECT (json_populate_record(r, json_build_object('merchant_id', '', 'stream_id', '',"
        " 'rejection_id', ''))).* FROM rejection r LIMIT 1",
    ),
    "null": (
        "ALTER TABLE rejection DROP CONSTRAINT rejection_pkey",
        "ALTER TABLE rejection ALTER merchant_id DROP NOT NULL",
        "INSERT INTO rejection SELECT (json_populate_record(r, '{\"merchant_id\":null}')).* FROM rejection r LIMIT 1",
    ),
    "twice": (
        "ALTER TABLE rejection DROP CONSTRAINT rejection_pkey",
        "INSERT INTO rejection SELECT * FROM rejection LIMIT 1",
    ),
}


@pytest.mark.parametrize("how", PASSED_OVER)
async def test_rows_that_the_order_of_keys_passes_over_are_counted(
    how: str, owner: asyncpg.Connection, sample: Sample
) -> None:
    """A row that is there twice is one where a page ends between the two."""
    async with _rolled_back(owner) as rows:
        number = await owner.fetchval("SELECT count(*) FROM rejection")
        await rows.apart_from_changes()

        async def passed_over() -> list[tuple[str, int, int]]:
            for kind in ("rejection", "instruction", "operator_act"):
                async for _ in rows.every(kind, 1):
                    pass
            return await rows.passed_over()

        assert await passed_over() == []
        for statement in PASSED_OVER[how]:
            await owner.execute(statement)
        assert await passed_over() == [("rejection", number, number + 1)]


async def test_every_kind_of_thing_is_counted(owner: asyncpg.Connection, sample: Sample) -> None:
    async with _rolled_back(owner) as rows:
        await rows.apart_from_changes()
        for kind in KINDS:
            await rows.page(kind, None, 1_000)
        assert await rows.passed_over() == []
        rows._given.update(KINDS)  # one row more of each
        counted = {table for table, _, _ in await rows.passed_over()}
    others = [kind for kind in KINDS if kind != "change"]
    assert counted == {TABLES[kind] for kind in others}
    statement = STATEMENTS["rows_of_kinds"]
    for kind in set(others) - ATTACHED:
        assert re.search(rf"SELECT '{kind}'[^\n]* FROM {TABLES[kind]}$", statement, re.MULTILINE), kind


async def test_functions_that_take_anything_are_the_systems() -> None:
    """One of the owner's that takes a row of a table, or an array of texts, would be a better match."""
    for name, statement in STATEMENTS.items():
        assert not re.search(r"(?<![.\w])(to_json|unnest)\(", statement), name
