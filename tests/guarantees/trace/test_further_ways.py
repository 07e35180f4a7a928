"""Payments are broken in ten further ways, chosen by somebody who had seen neither the finder nor its tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

import asyncpg
import pytest
import pytest_asyncio

from tallystick.access.key_store import create_key
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.requests.commands import CreatePayment, CreateRefund
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants import examine
from tallystick.oversight.trace.missing import named
from tallystick.oversight.trace.payment import rebuilt_trace
from tallystick.record.postgres.connections import FIND_BY_KEY
from tallystick.record.postgres.trace_rows import trace_rows
from tests.guarantees.trace.further_ways import FURTHER, statements
from tests.support.database import Database, NewDatabase
from tests.support.factories import InstantProvider, make_instruction
from tests.support.inbox import accept, captured, drain, envelope
from tests.support.sample import SCRIPTS, SETTINGS, Client

MERCHANT: Final = "further"


@pytest.fixture(scope="module")
def own_database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(own_database: Database) -> dict[str, str]:
    """A payment for each way, and another captured one."""
    await create_key(own_database.app_url, MERCHANT, "simulator")
    provider = InstantProvider(SCRIPTS)
    async with open_runtime(SETTINGS, own_database.app_url, providers={"simulator": provider}) as runtime:
        client = Client(runtime, MERCHANT)
        paid = {name: await client.create(name) for name in ("another", "refunded", "two_refunds")}
        paid["captured"] = await charged(client, "captured")
        await client.refund(paid["refunded"], 400)
        for amount in (300, 500):
            await refund(client, paid["two_refunds"], amount)
        paid["captured_later"] = await client.create("captured_later", "ok", "manual")
        await client.capture(paid["captured_later"])
        paid["in_doubt"] = await client.create("in_doubt", "silent")
        paid["by_webhook"] = await client.create("by_webhook", "silent")
        paid["dispute_lost"] = await client.create("dispute_lost")
        await told(runtime, own_database, paid)
    return paid


async def charged(client: Client, key: str) -> str:
    """A payment whose request is as a client sends it: what it asked for is in it."""
    asked = CreatePayment(amount=1_000, currency="EUR", payment_method="ok", capture_method="automatic")
    body = {"amount": asked.amount, "currency": asked.currency, "payment_method": asked.payment_method}
    instruction = make_instruction(MERCHANT, key, body)
    reply = await instructions.create_payment(client.runtime, instruction, asked, "simulator")
    return str(json.loads(reply.body)["id"])


async def refund(client: Client, payment_id: str, amount: int) -> None:
    instruction = client._follow_up(payment_id, f"refund-{amount}", "refunds", {"amount": amount})
    command = CreateRefund(amount=amount, reason=None)
    await instructions.create_refund(client.runtime, instruction, payment_id, command)


async def told(runtime: Runtime, database: Database, paid: dict[str, str]) -> None:
    """What the provider's events say: a charge that ran out of time was captured, and a dispute is lost."""
    loaded = await runtime.reads.load(MERCHANT, paid["by_webhook"])
    disputed = await runtime.reads.load(MERCHANT, paid["dispute_lost"])
    assert loaded is not None and disputed is not None
    notice = captured(loaded.stored.payment, loaded.stored.attempts[0].attempt_id)
    await accept(database, [envelope("settled", notice, payment=loaded.stored.payment)])
    await drain(runtime)
    moved = (Movement(reference="mv_1", funds="withdrawn", amount=1_000, before_verdict=True),)
    for number, (state, movements) in enumerate((("opened", ()), ("opened", moved), ("lost", moved))):
        opened = DisputeNotice(
            reference="lost",
            state=state,  # type: ignore[arg-type]  # a str of the loop
            amount=1_000,
            currency="EUR",
            funds="withdrawn" if movements else None,
            movements=movements,
        )
        event = envelope(f"dispute-{number}", opened, payment=disputed.stored.payment, type=f"dispute.{state}")
        await accept(database, [event])
        await drain(runtime)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(own_database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(own_database.owner_url, server_settings=FIND_BY_KEY)
    yield connection
    await connection.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_is_broken_at_first(owner: asyncpg.Connection, made: dict[str, str]) -> None:
    for name, payment_id in made.items():
        rows = await trace_rows(owner, MERCHANT, payment_id)
        assert rows is not None
        trace = rebuilt_trace(rows, SETTINGS)
        assert trace.missing == [] and trace.rebuilt is not None and trace.rebuilt.differs == [], name
    assert (await examine(owner, settings=SETTINGS, merchant_id=MERCHANT)).broken() == set()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", FURTHER)
async def test_what_is_broken_is_named(owner: asyncpg.Connection, made: dict[str, str], name: str) -> None:
    way, payment_id = FURTHER[name], made[FURTHER[name].payment]
    statement = statements()[name].replace(":merchant_id", f"'{MERCHANT}'").replace(":payment_id", f"'{payment_id}'")
    transaction = owner.transaction()
    await transaction.start()
    try:
        assert not (await owner.execute(statement)).endswith(" 0"), "the statement found nothing to break"
        rows = await trace_rows(owner, MERCHANT, payment_id)
        assert rows is not None
        trace = rebuilt_trace(rows, SETTINGS)
        broken = (await examine(owner, settings=SETTINGS, merchant_id=MERCHANT)).broken()
    finally:
        await transaction.rollback()
    assert trace.rebuilt is not None
    missing, differs = named(trace.missing), {each.invariant for each in trace.rebuilt.differs}
    told = f"missing {trace.missing}, differs {trace.rebuilt.differs}, verify {broken}"
    assert way.missing or way.differs or way.verify, told
    assert way.missing is None or way.missing in missing, told
    assert way.differs is None or way.differs in differs, told
    assert way.verify is None or way.verify in broken, told
    assert (bool(way.missing), bool(way.differs), bool(way.verify)) == tuple(map(bool, (missing, differs, broken))), (
        told
    )


def test_every_way_is_tried() -> None:
    assert FURTHER.keys() == statements().keys()
