"""Rows leave out what is a default or follows from another column, and are read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from tallystick.domain.change import Change
from tallystick.domain.subjects import Attempt, LateMovement, Payment, Schedule
from tallystick.kit.clock import Clock
from tallystick.lab.bench.commits import open_journal
from tallystick.lab.bench.workload import new_payment
from tallystick.record.journal import Existing
from tallystick.record.postgres.reads import Reads
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase
from tests.support.journal import commit


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(database.owner_url, min_size=1, max_size=1) as pool:
        yield pool


async def read(pool: asyncpg.Pool, change: Change) -> tuple[Payment, Attempt]:
    loaded = await Reads(pool, Clock()).load(change.merchant_id, change.stream_id)
    assert loaded is not None
    return loaded.stored.payment, loaded.stored.attempts[0]


async def row(pool: asyncpg.Pool, table: str, change: Change) -> dict[str, Any]:
    [found] = await pool.fetch(f"SELECT * FROM {table} WHERE payment_id = $1", change.stream_id)
    return dict(found)


async def test_payment_and_attempt_are_read_as_they_were_decided(database: Database, pool: asyncpg.Pool) -> None:
    create, settle = new_payment()
    for change in (create, settle):
        await commit(database, change)
        payment, attempt = await read(pool, change)
        assert (payment, attempt) == (change.one(Payment), replace(change.every(Attempt)[0], schedule=Schedule()))
    stored = await row(pool, "payment", create)
    assert [name for name in stored if name.startswith("amount_") and stored[name] is not None] == [
        "amount_authorized",
        "amount_captured",
    ]
    assert (stored["capture_method"], stored["late_movements"], stored["provider_operations"]) == (None, None, None)
    assert (await row(pool, "attempt", create))["provider_key"] is None


async def test_what_is_no_default_is_stored(database: Database, pool: asyncpg.Pool) -> None:
    create, _ = new_payment()
    payment, attempt = create.one(Payment), create.one(Attempt)
    assert payment is not None and attempt is not None
    moved = LateMovement(reference="mv_1", way="out", amount=5)
    late = {"amount_late": 9, "amount_late_accepted": 1, "amount_late_returning": 2, "amount_late_returned": 3}
    payment = replace(payment, capture_method="manual", late_movements=(moved,), **late)
    attempt = replace(attempt, provider_key="of an older rule")
    await commit(database, replace(create, subjects=(payment, attempt)))
    assert await read(pool, create) == (payment, replace(attempt, schedule=Schedule()))


@pytest.mark.parametrize(
    "wrong",
    [
        "amount_captured = 1",
        "amount_authorized = 5, amount_captured = 5, amount_refunded = 6",
        "amount_refund_pending = 1",
        "amount_late_accepted = 1",
        "amount_late_returned = 1",
    ],
)
async def test_a_null_amount_is_zero_for_every_check(database: Database, pool: asyncpg.Pool, wrong: str) -> None:
    create, _ = new_payment()
    await commit(database, create)
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(f"UPDATE payment SET {wrong} WHERE payment_id = $1", create.stream_id)


async def test_an_instruction_is_read_as_it_was_claimed(database: Database, pool: asyncpg.Pool) -> None:
    create, _ = new_payment()
    await commit(database, create)
    assert create.claim is not None
    stored = await row(pool, "instruction", create)
    assert (stored["instruction_id"], stored["path"], stored["subject_id"]) == (None, None, None)
    found = await Reads(pool, Clock()).instruction(create.merchant_id, create.claim.idempotency_key)
    assert found is not None
    assert (found.path, found.subject_id) == (create.claim.path, create.stream_id)
    assert found.instruction_id == create.claim.instruction_id


async def test_a_key_that_is_taken_is_found_as_it_was_claimed(database: Database) -> None:
    create, settle = new_payment()
    assert create.claim is not None
    again = replace(create, change_id="chg_again", claim=replace(create.claim, instruction_id="ins_again"))
    await commit(database, create, settle)
    async with open_journal(Settings(), database.app_url) as journal:
        found = await journal.commit(again)
    assert isinstance(found, Existing)
    assert (found.stored.path, found.stored.subject_id) == (create.claim.path, create.stream_id)
    assert (found.stored.status, found.stored.body) == (201, settle.responses[0].body)


@pytest.mark.parametrize(
    ("field", "value"),
    [("path", "/v1/payments/pay_1/capture"), ("subject_id", "re_1"), ("path", "payments"), ("instruction_id", "ins_1")],
)
async def test_what_an_instruction_has_of_its_own_is_stored(
    database: Database, pool: asyncpg.Pool, field: str, value: str
) -> None:
    create, _ = new_payment()
    assert create.claim is not None
    await commit(database, replace(create, claim=replace(create.claim, **{field: value})))
    found = await Reads(pool, Clock()).instruction(create.merchant_id, create.claim.idempotency_key)
    assert getattr(found, field) == value == (await row(pool, "instruction", create))[field]
