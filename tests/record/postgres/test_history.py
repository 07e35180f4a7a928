"""Rows of history say a thing once; the view ``history`` has every step whole, of rows of before too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from tallystick.domain.change import Change, Transition
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.lab.bench.workload import new_payment
from tallystick.record.postgres.personal import personal_of
from tallystick.record.postgres.reads import Reads
from tallystick.record.postgres.rows import transition_rows
from tallystick.record.postgres.subject_rows import json_or_none, json_text
from tests.support.database import Database, NewDatabase
from tests.support.journal import commit

#: What the lead of a change says for the others.
OF_CHANGE = ("change_id", "cause", "actor", "provider_reference", "at", "occurred_at")


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database.app_url, min_size=1, max_size=1) as pool:
        yield pool


def whole(change: Change, step: Transition) -> dict[str, Any]:
    """A step as it was decided."""
    said = {name: getattr(step, name) for name in step.__struct_fields__}
    said |= {"change_id": change.change_id, "change": json_text(step.change), "evidence": json_or_none(step.evidence)}
    return said


async def stored(pool: asyncpg.Pool, table: str, change: Change) -> dict[str, dict[str, Any]]:
    """The rows of a payment by subject and version."""
    ids = [step.subject_id for step in change.transitions]
    rows = await pool.fetch(f"SELECT * FROM {table} WHERE merchant_id = $1 AND subject_id = ANY($2)", "bench", ids)
    kinds = {step.subject_id: step.subject for step in change.transitions}
    return {f"{kinds[row['subject_id']]} {row['version']}": dict(row) for row in rows}


async def test_every_step_is_read_as_it_was_decided(database: Database, pool: asyncpg.Pool) -> None:
    create, settle = new_payment()
    await commit(database, create, settle)
    read = await stored(pool, "history", settle)
    name = ("bench", settle.stream_id)
    kept = read["payment 1"]["change"]
    assert "two tickets" not in kept and "20931" not in kept
    read["payment 1"]["change"] = (await personal_of(pool, [name]))[name].opened(kept, *name)
    decided = {
        f"{step.subject} {step.version}": whole(change, step)
        for change in (create, settle)
        for step in change.transitions
    }
    assert {name: {field: row[field] for field in decided[name]} for name, row in read.items()} == decided


async def test_one_step_of_a_change_says_what_all_share(database: Database, pool: asyncpg.Pool) -> None:
    create, settle = new_payment()
    await commit(database, create, settle)
    rows = await stored(pool, "transition", settle)
    for version in (1, 2):
        assert rows[f"attempt {version}"]["lead_version"] == version
        assert [rows[f"attempt {version}"][name] for name in OF_CHANGE] == [None] * len(OF_CHANGE)
        assert (rows[f"payment {version}"]["lead_version"], rows[f"payment {version}"]["stream_id"]) == (None, None)
    assert rows["payment 2"]["change_id"] == settle.change_id


@pytest.mark.parametrize(("prefix", "subject", "kept"), [
    ("pay", "payment", None), ("att", "attempt", None), ("re", "refund", "refund"), ("dp", "dispute", "dispute"),
    ("att", "refund", "refund"), ("pay2", "payment", "payment"),
])  # fmt: skip
async def test_a_kind_is_stored_where_the_id_does_not_name_it(
    database: Database, pool: asyncpg.Pool, prefix: str, subject: str, kept: str | None
) -> None:
    create, _ = new_payment()
    step = replace(create.transitions[0], subject_id=new_id(prefix), subject=subject, version=7)
    await commit(database, replace(create, claim=None, subjects=(), transitions=(step,)))
    [row] = await pool.fetch(
        "SELECT t.subject AS kept, h.subject FROM transition t JOIN history h USING (merchant_id, subject_id, version)"
        " WHERE t.subject_id = $1",
        step.subject_id,
    )
    assert (row["kept"], row["subject"]) == (kept, subject)


async def test_a_subject_is_made_at_its_first_step_unless_it_says_otherwise(
    database: Database, pool: asyncpg.Pool
) -> None:
    create, _ = new_payment()
    payment = create.transitions[0]
    assert "created_at" not in payment.change
    await commit(database, create)
    [first] = await Reads(pool, Clock()).history("bench", payment.subject_id)
    assert f'"created_at":{json_text(payment.at)}' in first.change
    other, earlier = new_payment()[0], payment.at - timedelta(days=1)
    named = replace(other.transitions[0], change=payment.change | {"created_at": earlier})
    await commit(database, replace(other, transitions=(named, other.transitions[1])))
    [first] = await Reads(pool, Clock()).history("bench", named.subject_id)
    assert f'"created_at":{json_text(earlier)}' in first.change


@pytest.mark.parametrize("field", ["cause", "actor", "provider_reference"])
async def test_a_step_that_says_something_else_says_it_itself(
    database: Database, pool: asyncpg.Pool, field: str
) -> None:
    create, _ = new_payment()
    payment, attempt = create.transitions
    other = replace(create, transitions=(payment, replace(attempt, **{field: "another"})))
    await commit(database, other)
    read = await stored(pool, "history", other)
    assert [read[name][field] for name in ("payment 1", "attempt 1")] == [getattr(payment, field), "another"]


def test_a_change_without_a_step_of_its_stream_has_no_lead() -> None:
    create, _ = new_payment()
    [row] = transition_rows(replace(create, transitions=create.transitions[1:]))
    assert row[3] == create.change_id and row[16] is None


async def test_a_first_step_has_its_defaults_when_it_is_read(database: Database, pool: asyncpg.Pool) -> None:
    create, settle = new_payment()
    await commit(database, create, settle)
    attempt_id = create.transitions[1].subject_id
    first, second = await Reads(pool, Clock()).history("bench", attempt_id)
    assert f'{{"attempt_id":"{attempt_id}","purpose":"instruction","refund_id":null,' in first.change
    assert '"operation":"authorize"' in first.change and '"account":"main"' in first.change
    assert second.change == json_text(settle.transitions[0].change)


@pytest.mark.parametrize("row", ["'chg_1', 'pay_1'", "NULL, NULL"], ids=["as of 0.2", "without its cause"])
async def test_a_row_of_another_form_is_refused(pool: asyncpg.Pool, row: str) -> None:
    insert = (
        "INSERT INTO transition (merchant_id, subject_id, version, change_id, stream_id, subject, from_state, to_state,"
        f" event, cause, actor, at, change) VALUES ('bench', 'pay_1', 1, {row}, 'payment', 'new', 'authorizing',"
        " 'create', 'instruction', 'key:1', now(), '{}')"
    )
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(insert)
