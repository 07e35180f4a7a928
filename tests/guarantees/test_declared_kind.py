"""A kind of subject that belongs to no payment, declared here and nowhere else, goes the whole way: journal, history,
ledger, reads, ``verify``, message and contract, without a line for it in any module of the product. So does one that
belongs to a payment: journal, history, ledger, trace and ``verify``.

A voucher is issued, and then redeemed (which posts and is told) or withdrawn. A parcel belongs to a payment, and is in
its trace and its invariants as refunds and disputes are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
import psycopg
import pytest
from msgspec import Struct
from msgspec.structs import replace

from tallystick.contract.document import render_contract
from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.messages import message_types
from tallystick.domain.change import Change
from tallystick.domain.errors import IllegalTransition
from tallystick.domain.kinds import KINDS, SubjectKind, declare, withdraw
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Edge, Machine
from tallystick.flows.operations.acts import annotate, asked_act
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.oversight.trace.payment import PaymentTrace, rebuilt_trace
from tallystick.record.journal import Fresh, Journal, JournalLimits, Stale
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.reads import Reads
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase
from tests.support.outbox import drain, pay, register, runtime_for, worker
from tests.support.receivers import receiving

LIMITS = JournalLimits(
    connections=1,
    second_batch_changes=100,
    spacing_ms=10,
    batch_changes=400,
    batch_rows=4_000,
    batch_bytes=4_194_304,
    queue_limit=1_000,
    commit_timeout_ms=5_000,
)


class Voucher(Struct, frozen=True, kw_only=True):
    merchant_id: str
    voucher_id: str
    version: int
    state: Literal["issued", "redeemed", "withdrawn"]
    amount: int
    currency: str
    provider: str
    holder: dict[str, str] | None = None
    created_at: datetime
    updated_at: datetime


class VoucherView(Struct, frozen=True, kw_only=True):
    id: str
    object: str
    amount: int
    state: str
    version: int


def _view(voucher: Voucher) -> VoucherView:
    return VoucherView(
        id=voucher.voucher_id,
        object="voucher",
        amount=voucher.amount,
        state=voucher.state,
        version=voucher.version,
    )


def _redeemed(_: Voucher, after: Voucher) -> list[Posting]:
    return [Posting("voucher_redeemed", "vouchers", "merchant", after.amount)]


MACHINE = Machine(
    "voucher",
    {
        NEW: {"issue": Edge("issued")},
        "issued": {
            "redeem": Edge("redeemed", posts=_redeemed, told="voucher.redeemed"),
            "withdraw": Edge("withdrawn"),
        },
        "redeemed": {},
        "withdrawn": {},
    },
    final=frozenset({"redeemed", "withdrawn"}),
)

#: Its migration: a table, and what the application may do with it.
SCHEMA = """
CREATE TABLE voucher (
    merchant_id text NOT NULL, voucher_id text NOT NULL, version integer NOT NULL, state text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0), currency text NOT NULL, provider text NOT NULL, holder json,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, voucher_id)
);
GRANT SELECT, INSERT, UPDATE ON voucher TO tallystick_app;
"""


class Parcel(Struct, frozen=True, kw_only=True):
    merchant_id: str
    payment_id: str
    parcel_id: str
    version: int
    state: Literal["packed", "sent"]
    amount: int
    currency: str
    address: dict[str, str] | None = None
    created_at: datetime
    updated_at: datetime


def _sent(_: Parcel, after: Parcel) -> list[Posting]:
    return [Posting("parcel_sent", "parcels", "carrier", after.amount)]


PARCEL = Machine(
    "parcel",
    {NEW: {"pack": Edge("packed")}, "packed": {"send": Edge("sent", posts=_sent)}, "sent": {}},
    final=frozenset({"sent"}),
)

PARCEL_SCHEMA = """
CREATE TABLE parcel (
    merchant_id text NOT NULL, payment_id text NOT NULL, parcel_id text NOT NULL, version integer NOT NULL,
    state text NOT NULL, amount bigint NOT NULL CHECK (amount > 0), currency text NOT NULL,
    address json, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, parcel_id)
);
GRANT SELECT, INSERT, UPDATE ON parcel TO tallystick_app;
"""


@pytest.fixture(scope="module")
def kind() -> Iterator[SubjectKind]:
    declared = declare(
        SubjectKind(
            struct=Voucher,
            machine=MACHINE,
            id_field="voucher_id",
            id_prefix="vou",
            stream_field="voucher_id",
            table="voucher",
            view=_view,
        )
    )
    yield declared
    withdraw(declared)


@pytest.fixture(scope="module")
def member() -> Iterator[SubjectKind]:
    declared = declare(
        SubjectKind(
            struct=Parcel,
            machine=PARCEL,
            id_field="parcel_id",
            id_prefix="prc",
            stream_field="payment_id",
            table="parcel",
        )
    )
    yield declared
    withdraw(declared)


@pytest.fixture(scope="module")
def database(new_database: NewDatabase, kind: SubjectKind, member: SubjectKind) -> Database:
    made = new_database()
    with psycopg.connect(made.owner_url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(PARCEL_SCHEMA)
    return made


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async def own_connection() -> Any:
        return await connect_journal(database.app_url, command_timeout_ms=5_000)

    door = Journal(own_connection, LIMITS, Clock())
    await door.start()
    yield door
    await door.stop()


def builder(merchant_id: str, voucher_id: str) -> ChangeBuilder:
    cause = Cause(change_id=new_id("chg"), at=datetime.now(UTC), trigger="test", actor="test", evidence={"why": "test"})
    return ChangeBuilder(merchant_id, voucher_id, cause)


def issued(merchant_id: str) -> tuple[Voucher, Change]:
    voucher_id = f"vou_{new_id('req')[4:]}"
    draft = builder(merchant_id, voucher_id)
    voucher = draft.open(
        Voucher(
            merchant_id=merchant_id,
            voucher_id=voucher_id,
            version=1,
            state="issued",
            amount=700,
            currency="EUR",
            provider="shop",
            holder={"name": "Ada"},
            created_at=draft.cause.at,
            updated_at=draft.cause.at,
        )
    )
    return voucher, draft.change(must_not_be_shed=False)


def moved(voucher: Voucher, event: str) -> tuple[Voucher, Change]:
    draft = builder(voucher.merchant_id, voucher.voucher_id)
    after = draft.move(voucher, event)
    return after, draft.change(must_not_be_shed=True)


async def redeemed(journal: Journal, merchant_id: str) -> Voucher:
    voucher, opening = issued(merchant_id)
    after, redemption = moved(voucher, "redeem")
    assert isinstance(await journal.commit(opening), Fresh)
    assert isinstance(await journal.commit(redemption), Fresh)
    return after


async def test_it_is_kept_as_it_was_decided(database: Database, journal: Journal, fresh_merchant: str) -> None:
    after = await redeemed(journal, fresh_merchant)
    pool = await asyncpg.create_pool(database.app_url, min_size=1, max_size=1)
    try:
        stored = await Reads(pool, Clock()).subject(KINDS["voucher"], fresh_merchant, after.voucher_id)
        assert stored == after
        steps = await pool.fetch("SELECT * FROM history WHERE merchant_id = $1 ORDER BY version", fresh_merchant)
        assert [(step["subject"], step["event"], step["stream_id"], step["payment_id"]) for step in steps] == [
            ("voucher", "issue", after.voucher_id, None),
            ("voucher", "redeem", after.voucher_id, None),
        ]
        assert json.loads(steps[0]["change"])["holder"] == {"name": "Ada"}
        (row,) = await pool.fetch("SELECT * FROM transfer WHERE merchant_id = $1", fresh_merchant)
        assert (row["kind"], row["debit"], row["credit"], row["amount"]) == (
            "voucher_redeemed",
            "vouchers",
            "merchant",
            700,
        )
        assert (row["stream_id"], row["version"], row["currency"]) == (after.voucher_id, 2, "EUR")
        owed = await pool.fetchval(
            "SELECT credits - debits FROM balance WHERE merchant_id = $1 AND account = 'merchant'", fresh_merchant
        )
        assert owed == 700
    finally:
        await pool.close()


async def test_the_guard_holds_for_it(journal: Journal, fresh_merchant: str) -> None:
    """Redeemed and withdrawn at once: one of the two wins, whole."""
    voucher, opening = issued(fresh_merchant)
    await journal.commit(opening)
    outcomes = [await journal.commit(moved(voucher, event)[1]) for event in ("redeem", "withdraw")]
    assert [type(outcome) for outcome in outcomes] == [Fresh, Stale]


def test_an_edge_that_there_is_not_is_refused(kind: SubjectKind) -> None:
    voucher, _ = issued("m1")
    after, _ = moved(voucher, "withdraw")
    with pytest.raises(IllegalTransition):
        moved(after, "redeem")
    with pytest.raises(IllegalTransition):
        builder("m1", "vou_1").open(replace(voucher, state="redeemed"))


BREAKS = {
    "history_replays_to_state": "UPDATE voucher SET amount = 1 WHERE merchant_id = '{m}'",
    "versions_without_gaps": "DELETE FROM transition WHERE merchant_id = '{m}' AND version = 1",
    "legal_edges_only": "UPDATE transition SET event = 'withdraw' WHERE merchant_id = '{m}' AND version = 2",
    "postings_follow_the_chart": "UPDATE transfer SET credit = 'bank' WHERE merchant_id = '{m}'",
    "transfers_have_transitions": "UPDATE transfer SET version = 9 WHERE merchant_id = '{m}'",
    "balances_equal_transfers": "DELETE FROM transfer WHERE merchant_id = '{m}'",
    "steps_are_told": "DELETE FROM outbox WHERE merchant_id = '{m}'",
    "nothing_is_orphaned": "DELETE FROM voucher WHERE merchant_id = '{m}'",
}


async def test_verify_holds_for_it(database: Database, journal: Journal, fresh_merchant: str) -> None:
    await redeemed(journal, fresh_merchant)
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=Settings(), merchant_id=fresh_merchant)
        assert report.violations == ()
        assert (report.checked["other_subjects"], report.checked["transfers"]) == (1, 1)
    finally:
        await connection.close()


@pytest.mark.parametrize("invariant", BREAKS)
async def test_verify_finds_what_is_wrong_with_it(
    database: Database, journal: Journal, fresh_merchant: str, invariant: str
) -> None:
    await redeemed(journal, fresh_merchant)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        assert owner.execute(BREAKS[invariant].format(m=fresh_merchant)).rowcount == 1
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=Settings(), merchant_id=fresh_merchant)
    finally:
        await connection.close()
    assert invariant in {violation.invariant for violation in report.violations}


async def test_its_message_reaches_the_merchant(database: Database, journal: Journal, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        endpoint = await register(runtime, fresh_merchant, receiver)
        after = await redeemed(journal, fresh_merchant)
        await drain(delivery)
    (got,) = receiver.got
    body = got.verified(endpoint.secret)
    assert body["data"] == {
        "id": after.voucher_id,
        "object": "voucher",
        "amount": 700,
        "state": "redeemed",
        "version": 2,
    }
    assert (body["type"], body["version"]) == ("voucher.redeemed", 2)
    assert "payment_id" not in body, "it belongs to none"


def test_the_contract_publishes_it(kind: SubjectKind) -> None:
    contract = render_contract()
    assert "### Voucher" in contract
    assert "| `issued` | `redeem` | `redeemed` | `voucher.redeemed` |" in contract
    assert "| `voucher: redeem` | `issued` | `voucher_redeemed` | `vouchers` | `merchant` | `amount` |" in contract
    assert any("`voucher.redeemed`" in line and "`voucher: redeem`" in line for line in contract.splitlines())
    assert "voucher.redeemed" in message_types()


def test_a_kind_is_declared_once(kind: SubjectKind) -> None:
    with pytest.raises(ValueError, match="declared twice"):
        declare(kind)


async def packed(runtime: Runtime, merchant_id: str) -> Parcel:
    """A parcel of a captured payment, in a change that moves no payment."""
    payment_id = await pay(runtime, merchant_id, "order")
    draft = builder(merchant_id, payment_id)
    parcel = draft.open(
        Parcel(
            merchant_id=merchant_id,
            payment_id=payment_id,
            parcel_id=f"prc_{new_id('req')[4:]}",
            version=1,
            state="packed",
            amount=30,
            currency="EUR",
            address={"city": "Bergen"},
            created_at=draft.cause.at,
            updated_at=draft.cause.at,
        )
    )
    assert isinstance(await runtime.journal.commit(draft.change(must_not_be_shed=False)), Fresh)
    return parcel


async def sent(runtime: Runtime, parcel: Parcel) -> Parcel:
    draft = builder(parcel.merchant_id, parcel.payment_id)
    after = draft.move(parcel, "send")
    assert isinstance(await runtime.journal.commit(draft.change(must_not_be_shed=False)), Fresh)
    return after


async def traced(runtime: Runtime, parcel: Parcel) -> tuple[TraceRows, PaymentTrace]:
    rows = await trace_rows(runtime.pool, parcel.merchant_id, parcel.payment_id)
    assert rows is not None
    return rows, rebuilt_trace(rows, runtime.settings)


async def verified(database: Database, runtime: Runtime, merchant_id: str) -> list[tuple[str, str]]:
    """What verify finds wrong."""
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=runtime.settings, merchant_id=merchant_id)
    finally:
        await connection.close()
    return [(violation.invariant, violation.subject_id) for violation in report.violations]


async def test_a_kind_of_a_payment_is_in_its_trace(database: Database, fresh_merchant: str) -> None:
    """While nothing but its own table names it, and once its ledger rows do; and what is wrong with it is found."""
    async with runtime_for(database) as runtime:
        parcel = await packed(runtime, fresh_merchant)
        asked = asked_act("key:kim", None, "annotate", parcel.parcel_id, "looked at the parcel")
        await annotate(runtime, asked)
        for events in (["pack"], ["pack", "send"]):
            if "send" in events:
                parcel = await sent(runtime, parcel)
            rows, trace = await traced(runtime, parcel)
            assert [each for each in rows.record.others if isinstance(each, Parcel)] == [parcel]
            assert [step.event for step in rows.steps if step.subject_id == parcel.parcel_id] == events
            assert [act.target for act in rows.acts] == [parcel.parcel_id]
            shown = [(entry.kind, entry.what) for entry in trace.timeline if entry.subject == "parcel"]
            assert shown == [("step", event) for event in events]
            assert trace.missing == []
            assert trace.rebuilt is not None and trace.rebuilt.differs == []
            assert all(each.agrees for each in trace.rebuilt.subjects)
        assert [(row.kind, row.amount) for row in rows.transfers if row.subject_id == parcel.parcel_id] == [
            ("parcel_sent", 30)
        ]
        assert await verified(database, runtime, fresh_merchant) == []
        named = (fresh_merchant, parcel.parcel_id)
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute("UPDATE parcel SET amount = 1 WHERE merchant_id = %s AND parcel_id = %s", named)
            _, trace = await traced(runtime, parcel)
            assert trace.rebuilt is not None
            differs = [(each.invariant, each.subject_id) for each in trace.rebuilt.differs]
            assert ("history_replays_to_state", parcel.parcel_id) in differs
            owner.execute("DELETE FROM parcel WHERE merchant_id = %s AND parcel_id = %s", named)
            _, trace = await traced(runtime, parcel)
            assert ("stored row", parcel.parcel_id) in [(each.checkpoint, each.subject_id) for each in trace.missing]
        assert ("nothing_is_orphaned", parcel.parcel_id) in await verified(database, runtime, fresh_merchant)
