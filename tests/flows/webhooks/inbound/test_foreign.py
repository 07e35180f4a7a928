"""Events of other software on the same account: foreign by proof alone, and taken up when their charge is ours after
all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.decisions.provider_events.foreign import BEARS_NO_MARK, CHARGE_BEARS_NO_MARK, CHARGE_IS_FOREIGN
from tallystick.domain.marks import ChargeMark
from tallystick.domain.notices import RefundNotice
from tallystick.domain.verdicts import Approved, Unknown, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope
from tallystick.flows.webhooks.inbound.handler import Handler
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.event import EventTrace, trace_event
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.connections import connect_journal
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, accept, assert_invariants, envelope, inbox_worker_of, lease_due
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, Client, read, timed_out

#: Every open attempt without a reference counts: so each test has an account of its own.
PATIENT = replace(WEBHOOK_SETTINGS, recovery_backoff_base_ms=60_000, recovery_backoff_cap_ms=60_000)


class Asked(BookedProvider):
    """Answers whether its charges bear our mark; ``fetch`` knows nothing until it is told."""

    def __init__(self, account: str) -> None:
        super().__init__()
        self.account = account
        self.mark: ChargeMark = "absent"
        self.asked: list[str] = []
        self.found: Verdict = Unknown(reason="time-out")

    async def charge_mark(self, charge: str) -> ChargeMark:
        self.asked.append(charge)
        return self.mark

    async def fetch(self, _: ProviderCall) -> Verdict:
        return self.found


@pytest.fixture
def account() -> str:
    return new_letters()


@pytest.fixture
def provider(account: str) -> Asked:
    return Asked(account)


@asynccontextmanager
async def opened(
    database: Database, provider: Asked, *, held: HeldCommits | None = None, **settings: Any
) -> AsyncIterator[Runtime]:
    connected = None if held is None else held.connect_to(database)
    async with open_runtime(
        replace(PATIENT, journal_connections=1, **settings),
        database.app_url,
        providers={"simulator": provider},
        journal_connect=connected,
    ) as runtime:
        yield runtime


@pytest.fixture
async def runtime(database: Database, provider: Asked) -> AsyncIterator[Runtime]:
    async with opened(database, provider) as running:
        yield running


def refund_of(account: str, charge: str, **fields: Any) -> Envelope:
    """A dashboard's refund: it bears no mark, whosever it is."""
    notice = RefundNotice(reference=new_id("re"), amount=400, currency="EUR")
    fields = {"account": account, "charge_reference": charge, "type": "dashboard.refunded"} | fields
    return envelope(new_id("req"), notice, **fields)


async def doubtful(runtime: Runtime, provider: Asked, merchant_id: str) -> tuple[str, str]:
    """A payment whose charge has no name here yet; the ids of its payment and attempt."""
    provider.after = timed_out
    payment_id = str(read(await Client(runtime, merchant_id).create(new_id("req")))["id"])
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    return payment_id, loaded.stored.attempts[0].attempt_id


async def park(runtime: Runtime, attempt_id: str) -> None:
    await runtime.pool.execute(
        "UPDATE attempt SET parked_at = now(), next_check_at = NULL WHERE attempt_id = $1", attempt_id
    )


async def seen(runtime: Runtime, event: Envelope) -> EventTrace:
    trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
    assert trace is not None
    return trace


async def processed(runtime: Runtime, *events: Envelope) -> list[str]:
    """Run the inbox until these events are closed; their states."""
    worker = inbox_worker_of(runtime)
    still_open = "SELECT count(*) FROM inbox WHERE event_id = ANY($1) AND next_try_at IS NOT NULL"
    names = [each.event_id for each in events]

    async def left() -> int:
        await worker.round()
        return int(await runtime.pool.fetchval(still_open, names))

    await eventually_async(left, until=lambda count: count == 0, interval_s=0.005)
    return [(await seen(runtime, each)).state for each in events]


# Proof.


async def test_an_object_without_our_mark_is_foreign(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """At once, without a question, an alert or a dead letter; it is counted."""
    await doubtful(runtime, provider, fresh_merchant)  # an attempt in doubt made no object without our mark
    event = refund_of(account, "ch_theirs", mark="absent")
    await accept(database, [event])
    with capture_logs() as logged:
        assert await processed(runtime, event) == ["foreign"]
    assert [line for line in logged if line.get("alert")] == []
    trace = await seen(runtime, event)
    assert [(each.result, each.detail) for each in trace.attempts] == [("foreign", BEARS_NO_MARK)]
    assert provider.asked == []
    [count] = [each for each in await runtime.stores.inbox.foreign_counts() if each.account == account]
    assert (count.type, count.events) == ("dashboard.refunded", 1)
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("named", [True, False], ids=["a payment that is not here", "names that cannot be read"])
async def test_an_event_with_our_mark_is_never_foreign(
    runtime: Runtime, provider: Asked, account: str, database: Database, named: bool
) -> None:
    """A restored record lacks its payment, or a second installation has it."""
    names = {"merchant_id": "gone", "payment_id": new_id("pay")} if named else {}
    events = [refund_of(account, "ch_1", mark="ours", **names), refund_of(account, "ch_1", mark=None, **names)]
    await accept(database, events if named else events[:1])
    assert set(await processed(runtime, *(events if named else events[:1]))) == {"dead"}
    assert provider.asked == []


@pytest.mark.parametrize(
    ("mark", "state"), [("absent", "foreign"), ("ours", "dead"), ("unknown", "dead")], ids=lambda value: str(value)
)
async def test_the_charge_is_asked_for(
    runtime: Runtime, provider: Asked, account: str, database: Database, mark: ChargeMark, state: str
) -> None:
    provider.mark = mark
    event = refund_of(account, "ch_9")
    await accept(database, [event])
    assert await processed(runtime, event) == [state]
    assert set(provider.asked) == {"ch_9"}
    trace = await seen(runtime, event)
    if state == "foreign":
        assert (trace.tries, trace.detail) == (1, CHARGE_BEARS_NO_MARK)
    else:
        assert trace.tries == WEBHOOK_SETTINGS.webhook_tries_limit


async def test_what_names_no_charge_proves_nothing(
    runtime: Runtime, provider: Asked, account: str, database: Database
) -> None:
    event = refund_of(account, "", charge_reference=None)
    await accept(database, [event])
    assert await processed(runtime, event) == ["dead"]
    assert provider.asked == []


async def test_a_charge_is_asked_for_once(runtime: Runtime, provider: Asked, account: str, database: Database) -> None:
    first, second = refund_of(account, "ch_2"), refund_of(account, "ch_2")
    await accept(database, [first])
    assert await processed(runtime, first) == ["foreign"]
    await accept(database, [second])
    assert await processed(runtime, second) == ["foreign"]
    assert (provider.asked, (await seen(runtime, second)).detail) == (["ch_2"], CHARGE_IS_FOREIGN)


async def test_an_event_waits_for_a_provider_that_does_not_answer(
    runtime: Runtime, provider: Asked, account: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: no try is spent."""
    monkeypatch.setattr("tallystick.flows.webhooks.inbound.tries.NOT_READY_WAIT_MS", 1)
    provider.mark = "unanswered"
    event, worker = refund_of(account, "ch_3"), inbox_worker_of(runtime)
    await accept(database, [event])

    async def asked() -> int:
        await worker.round()
        return len(provider.asked)

    await eventually_async(asked, until=lambda times: times > 2 * WEBHOOK_SETTINGS.webhook_tries_limit)
    trace = await seen(runtime, event)
    assert (trace.state, trace.tries, trace.attempts) == ("not_ready", 0, [])
    assert trace.detail == "the provider does not answer whether the charge that it names is ours"
    provider.mark = "absent"
    assert await processed(runtime, event) == ["foreign"]


@pytest.mark.parametrize("parked", [False, True], ids=["recovery has it", "a person has it"])
async def test_an_attempt_without_a_reference_may_be_the_owner(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str, parked: bool
) -> None:
    _, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    if parked:
        await park(runtime, attempt_id)
    event = refund_of(account, "ch_4")
    await accept(database, [event])
    assert await processed(runtime, event) == ["dead"]
    assert provider.asked == []
    assert (await seen(runtime, event)).detail == (
        "no such payment, and an attempt of the account has no reference yet"
    )


async def test_a_later_attempt_is_not_the_owner(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """On a busy account some attempt always waits for its answer."""
    event = refund_of(account, "ch_5")
    await accept(database, [event])
    await doubtful(runtime, provider, fresh_merchant)
    assert await processed(runtime, event) == ["foreign"]


# Taken up again.


async def by_recovery(
    runtime: Runtime,
    provider: Asked,
    merchant_id: str,
    payment_id: str,
    attempt_id: str,
    charge: str = "ch_mine",
) -> None:
    provider.found = Approved(amount=1_000, currency="EUR", effect="captured", reference=charge)
    await runtime.pool.execute("UPDATE attempt SET next_check_at = now() WHERE attempt_id = $1", attempt_id)
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)

    async def state() -> str:
        await recovery.round()
        found = await runtime.reads.payment(merchant_id, payment_id)
        assert found is not None
        return found[0].state

    await eventually_async(state, until=lambda found: found == "captured")


async def by_operator(runtime: Runtime, _: Asked, __: str, ___: str, attempt_id: str, charge: str = "ch_mine") -> None:
    await park(runtime, attempt_id)
    words = {"evidence": "the bank's file", "actor": "kim", "reason": "seen", "reference": charge}
    await in_doubt.resolve(runtime, runtime.stores.schedule_book, attempt_id, "executed", **words)


async def by_late_word(runtime: Runtime, _: Asked, merchant_id: str, payment_id: str, attempt_id: str) -> None:
    """A webhook tells of the attempt, by our own id for it."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    said = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_mine")
    await settle_verdict(runtime, loaded.stored, attempt_id, said, cause="webhook", actor="provider:simulator")


@pytest.mark.parametrize("learns", [by_recovery, by_operator, by_late_word])
@pytest.mark.parametrize("waiting", [False, True], ids=["foreign", "still open"])
async def test_it_is_taken_up_when_its_charge_is_ours(
    runtime: Runtime,
    provider: Asked,
    account: str,
    database: Database,
    fresh_merchant: str,
    learns: Any,
    waiting: bool,
) -> None:
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    event = refund_of(account, "ch_mine", mark=None if waiting else "absent")
    other = refund_of(account, "ch_other", mark="absent")
    await accept(database, [event, other])
    if waiting:
        assert await processed(runtime, other) == ["foreign"]
        assert (await seen(runtime, event)).state in ("received", "unroutable")
    else:
        assert await processed(runtime, event, other) == ["foreign", "foreign"]
    await learns(runtime, provider, fresh_merchant, payment_id, attempt_id)
    trace = await seen(runtime, event)
    assert (trace.state, trace.tries, trace.payment_id) == ("received", 0, payment_id)
    assert (trace.attempts[-1].result, trace.attempts[-1].actor) == ("taken_up", "journal")
    assert await processed(runtime, event) == ["applied"]
    assert (await seen(runtime, other)).state == "foreign"
    found = await runtime.reads.payment(fresh_merchant, payment_id)
    assert found is not None and found[0].amount_refunded == 400
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("learns", [by_recovery, by_operator])
async def test_so_is_one_whose_charge_is_named_by_a_card_number(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str, learns: Any
) -> None:
    """Event, payment and question mean the same charge, though its name is kept sealed. The provider is asked by
    its own name for it."""
    ours, others = "4111111111111111", "5555555555554444"
    event, other = (
        refund_of(account, runtime.words.kept_name(charge, "simulator"), mark=mark)
        for charge, mark in ((ours, "absent"), (others, None))
    )
    await accept(database, [event, other])
    assert await processed(runtime, event, other) == ["foreign", "foreign"]
    assert provider.asked == [others]
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    await learns(runtime, provider, fresh_merchant, payment_id, attempt_id, ours)
    assert await processed(runtime, event) == ["applied"]
    assert ((await seen(runtime, event)).payment_id, (await seen(runtime, other)).state) == (payment_id, "foreign")
    kept = "SELECT coalesce(string_agg(i::text, ''), '') FROM inbox i WHERE account = $1"
    assert ours not in await runtime.pool.fetchval(kept, account)
    await assert_invariants(database, fresh_merchant)


# Races on the database: filing as foreign against the reference.


class HeldCommits:
    """A journal whose next COMMIT waits until it may go on."""

    def __init__(self) -> None:
        self.armed = False
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    def connect_to(self, database: Database) -> Any:
        async def connected() -> Any:
            return _Held(self, await connect_journal(database.app_url, command_timeout_ms=30_000))

        return connected


class _Held:
    def __init__(self, held: HeldCommits, connection: Any) -> None:
        self._held = held
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, query: str, *args: Any) -> int:
        if query == "COMMIT" and self._held.armed:
            self._held.armed = False
            self._held.waiting.set()
            await self._held.go_on.wait()
        return int(await self._connection.execute(query, *args))


async def blocked_on_a_row(database: Database) -> None:
    """Until some transaction waits for a row of another."""
    owner = await asyncpg.connect(database.owner_url)

    async def waiting() -> int:
        return int(
            await owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
        )

    try:
        await eventually_async(waiting, until=lambda count: count > 0)
    finally:
        await owner.close()


async def test_the_reference_is_committed_while_the_event_is_filed(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """The worker has leased the event and found no payment. The change with the reference is first at its row."""
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    await park(runtime, attempt_id)
    event, held = refund_of(account, "ch_mine", mark="absent"), HeldCommits()
    await accept(database, [event])
    [leased] = await lease_due(runtime.stores.inbox, 10, "slow", 60_000, [f"simulator/{account}"])
    async with opened(database, provider, held=held) as other:
        held.armed = True
        stating = asyncio.create_task(by_operator(other, provider, fresh_merchant, payment_id, attempt_id))
        await held.waiting.wait()
        filing = asyncio.create_task(Handler(runtime).handle(leased, None, datetime.now(UTC)))
        await blocked_on_a_row(database)
        held.go_on.set()
        await asyncio.gather(stating, filing)
    assert (await seen(runtime, event)).state == "received"
    assert await processed(runtime, event) == ["applied"]
    await assert_invariants(database, fresh_merchant)


async def test_the_event_is_filed_while_the_reference_is_committed(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """The worker is first at the event's row, and has not committed when the change with the reference comes to it."""
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    await park(runtime, attempt_id)
    event, held = refund_of(account, "ch_mine", mark="absent"), HeldCommits()
    await accept(database, [event])
    async with opened(database, provider, held=held) as other:
        [leased] = await lease_due(other.stores.inbox, 10, "quick", 60_000, [f"simulator/{account}"])
        held.armed = True
        filing = asyncio.create_task(Handler(other).handle(leased, None, datetime.now(UTC)))
        await held.waiting.wait()
        stating = asyncio.create_task(by_operator(runtime, provider, fresh_merchant, payment_id, attempt_id))
        await blocked_on_a_row(database)
        held.go_on.set()
        await asyncio.gather(stating, filing)
    assert [each.result for each in (await seen(runtime, event)).attempts] == ["foreign", "taken_up"]
    assert await processed(runtime, event) == ["applied"]
    await assert_invariants(database, fresh_merchant)


async def test_the_event_comes_while_the_reference_is_committed(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """The change with the reference has looked for events before this one came, and commits after it was filed. The
    worker's look at what was filed finds it."""
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    await park(runtime, attempt_id)
    event, held = refund_of(account, "ch_mine", mark="absent"), HeldCommits()
    async with opened(database, provider, held=held) as other:
        held.armed = True
        stating = asyncio.create_task(by_operator(other, provider, fresh_merchant, payment_id, attempt_id))
        await held.waiting.wait()
        await accept(database, [event])
        assert await processed(runtime, event) == ["foreign"]
        assert await inbox_worker_of(runtime).take_up_known() == 0
        held.go_on.set()
        await stating
    assert (await seen(runtime, event)).state == "foreign"
    assert await inbox_worker_of(runtime).take_up_known() == 1
    assert await processed(runtime, event) == ["applied"]
    await assert_invariants(database, fresh_merchant)


async def test_an_unmarked_event_comes_while_the_reference_is_committed(
    runtime: Runtime, provider: Asked, account: str, database: Database, fresh_merchant: str
) -> None:
    """Of a charge that has to be asked for: until the commit its attempt lacks the reference, and it waits."""
    payment_id, attempt_id = await doubtful(runtime, provider, fresh_merchant)
    await park(runtime, attempt_id)
    event, held = refund_of(account, "ch_mine"), HeldCommits()
    async with opened(database, provider, held=held) as other:
        held.armed = True
        stating = asyncio.create_task(by_operator(other, provider, fresh_merchant, payment_id, attempt_id))
        await held.waiting.wait()
        await accept(database, [event])
        await inbox_worker_of(runtime).round()
        assert (await seen(runtime, event)).state == "unroutable"
        held.go_on.set()
        await stating
    assert await processed(runtime, event) == ["applied"]
    assert provider.asked == []
    await assert_invariants(database, fresh_merchant)
