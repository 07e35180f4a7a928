"""What may still become of a payment after its answer, against its rivals: both have decided on the same version, and
then commit in either order. Whoever comes second decides anew; the money is moved once, and the books agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.change import Change
from tallystick.domain.notices import AttemptNotice, CaptureNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Approved, Declined, KeyTaken, NotFound, RequiresAction, Unknown, Verdict
from tallystick.flows.operations.late_money import accept, give_back
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, drain, envelope, inbox_worker_of, states
from tests.support.inbox import accept as into_the_inbox
from tests.support.polling import eventually_async
from tests.support.rendezvous import Races, Rival, moves, race
from tests.support.runtime import BookedProvider, Client, read, recover, runtime_of

WORDS: Final = {"actor": "kim", "reason": "ticket 7"}

#: Of two events each worker takes one.
ONE_EACH: Final = replace(WEBHOOK_SETTINGS, webhook_batch=1)

#: Beyond a sender's time, the provider's settling time, and every lease.
SETTLED_MS: Final = 120_000

#: Who commits first.
BOTH_ORDERS = pytest.mark.parametrize("second_first", [False, True], ids=["in this order", "the other way round"])


class OpenCharge(BookedProvider):
    """Its payers get something to act on, where ``acts`` is set; ``said`` is its word on a charge that is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.acts = False
        self.said: Verdict | None = None
        self.answers: dict[str, Verdict] = {}
        self.before = self._before

    async def fetch(self, call: ProviderCall) -> Verdict:
        if call.operation == "authorize" and self.said is not None:
            return self.said
        return await super().fetch(call)

    async def _before(self, call: ProviderCall) -> Verdict | None:
        if call.operation == "authorize" and self.acts:
            return RequiresAction(next_action={"type": "redirect", "url": "/act"}, reference="ch_1")
        return self.answers.get(call.operation)


@dataclass
class Ring:
    """Two processes of one platform, and a third that prepares and looks."""

    database: Database
    merchant_id: str
    provider: OpenCharge
    home: Runtime
    corners: tuple[Runtime, Runtime]
    payment_id: str = ""
    events: list[str] = field(default_factory=list)

    async def stored(self) -> PaymentSnapshot:
        loaded = await self.home.reads.load(self.merchant_id, self.payment_id)
        assert loaded is not None
        return loaded.stored

    async def says(self, verdict: Verdict, attempt: int = 0) -> None:
        """The provider's word on an attempt is in the record."""
        stored = await self.stored()
        name = stored.attempts[attempt].attempt_id
        await settle_verdict(self.home, stored, name, verdict, cause="webhook", actor="provider:simulator")

    async def told(self, notice: Notice) -> None:
        """An event of the provider is in the inbox."""
        name = new_id("req")
        self.events.append(name)
        event = envelope(name, notice, merchant_id=self.merchant_id, payment_id=self.payment_id)
        await into_the_inbox(self.database, [event])

    async def race(self, one: tuple[Rival, Races], other: tuple[Rival, Races], second_first: bool) -> list[Any]:
        """Both at once. What came of ``one`` and of ``other``."""
        pair = [(self.corners[0], *one), (self.corners[1], *other)]
        came = await race(*(pair[::-1] if second_first else pair))
        return came[::-1] if second_first else came

    async def end(self) -> dict[str, int]:
        """Once every event is processed and nothing is due: the balances. Every invariant holds."""
        await drain(self.home, self.merchant_id)
        await recover(self.home)
        connection = await asyncpg.connect(self.database.owner_url)
        try:
            report = await verify(connection, settings=WEBHOOK_SETTINGS, merchant_id=self.merchant_id)
        finally:
            await connection.close()
        assert not report.violations, report.violations
        rows = await self.home.reads.accounts(self.merchant_id)
        return {row.account: row.debits - row.credits for row in rows if row.debits != row.credits}

    async def steps(self) -> list[str]:
        """The payment's steps."""
        return [step.event for step in await self.home.reads.history(self.merchant_id, self.payment_id)]

    async def dispositions(self) -> list[str]:
        """What became of the events, in the order in which they were told."""
        found = await states(self.home, self.merchant_id)
        return [found[name] for name in self.events]

    def sent(self, operation: str) -> int:
        """How often the provider executed something for this merchant."""
        return sum(call.operation == operation for call in self.provider.effects_for(self.merchant_id))


NewRing = Callable[[], Any]


@pytest.fixture
def ring(database: Database, fresh_merchant: str) -> NewRing:
    @asynccontextmanager
    async def made() -> AsyncIterator[Ring]:
        provider = OpenCharge()
        async with (
            runtime_of(database.app_url, provider, settings=WEBHOOK_SETTINGS) as home,
            runtime_of(database.app_url, provider, settings=ONE_EACH) as one,
            runtime_of(database.app_url, provider, settings=ONE_EACH) as other,
        ):
            yield Ring(database, fresh_merchant, provider, home, (one, other))

    return made


def captured(amount: int = 1_000) -> Approved:
    return Approved(amount=amount, currency="EUR", effect="captured", reference="ch_1")


async def late_money(ring: Ring) -> None:
    """Declined, and captured all the same."""
    ring.provider.answers["authorize"] = Declined(code="card_declined", message="No.", reference="ch_1")
    ring.payment_id = read(await Client(ring.home, ring.merchant_id).create("create"))["id"]
    await ring.says(captured())


async def paid(ring: Ring, *, manual: bool = False) -> None:
    ring.payment_id = read(await Client(ring.home, ring.merchant_id).create("create", manual=manual))["id"]


def accepts(ring: Ring) -> tuple[Rival, Races]:
    return lambda runtime: accept(runtime, ring.payment_id, **WORDS), moves("late_money_accepted")


def returns(ring: Ring) -> tuple[Rival, Races]:
    return lambda runtime: give_back(runtime, ring.payment_id, **WORDS), moves("late_return_opened")


def processes(*events: str) -> tuple[Rival, Races]:
    """A worker takes the event that is due."""

    async def work(runtime: Runtime) -> object:
        return await eventually_async(inbox_worker_of(runtime).round)

    return work, moves(*events)


def recovers(*events: str) -> tuple[Rival, Races]:
    async def work(runtime: Runtime) -> object:
        return await RecoveryWorker(runtime, runtime.stores.schedule_book).round()

    return work, moves(*events)


def instruction(ring: Ring, send: Callable[[Client], Awaitable[Any]], event: str) -> tuple[Rival, Races]:
    return lambda runtime: send(Client(runtime, ring.merchant_id)), moves(event)


def refunded(name: str, amount: int = 1_000) -> RefundNotice:
    return RefundNotice(reference=name, amount=amount, currency="EUR")


async def test_two_accepts(ring: NewRing) -> None:
    async with ring() as here:
        await late_money(here)
        first, second = await here.race(accepts(here), accepts(here), False)
        assert isinstance(first, Change) and isinstance(second, NoLateMoney)
        assert (await here.steps()).count("late_money_accepted") == 1
        assert await here.end() == {"merchant": -1_000, "provider:simulator": 1_000}


@BOTH_ORDERS
async def test_accept_against_return(ring: NewRing, second_first: bool) -> None:
    async with ring() as here:
        await late_money(here)
        accepted, returned = await here.race(accepts(here), returns(here), second_first)
        assert isinstance(accepted, NoLateMoney if second_first else Change)
        assert isinstance(returned, Change if second_first else NoLateMoney)
        merchants = {} if second_first else {"merchant": -1_000, "provider:simulator": 1_000}
        assert await here.end() == merchants
        assert here.sent("refund") == second_first


async def test_two_returns(ring: NewRing) -> None:
    async with ring() as here:
        await late_money(here)
        first, second = await here.race(returns(here), returns(here), False)
        assert isinstance(first, Change) and isinstance(second, NoLateMoney)
        assert await here.end() == {}
        assert here.sent("refund") == 1


@BOTH_ORDERS
async def test_accept_against_a_refund_in_the_dashboard(ring: NewRing, second_first: bool) -> None:
    """The payer has the money: out of suspense, or as a refund of what the merchant was given."""
    async with ring() as here:
        await late_money(here)
        await here.told(refunded("re_1"))
        came, _ = await here.race(accepts(here), processes("late_money_returned", "refund_succeeded"), second_first)
        assert isinstance(came, NoLateMoney if second_first else Change)
        assert await here.end() == {}
        assert await here.dispositions() == ["applied"]
        payment = (await here.stored()).payment
        expected = (0, 1_000, 0) if second_first else (1_000, 0, 1_000)
        assert (payment.amount_late_accepted, payment.amount_late_returned, payment.amount_refunded) == expected


@BOTH_ORDERS
async def test_return_against_a_refund_in_the_dashboard(ring: NewRing, second_first: bool) -> None:
    """No provider pays back more than it took: of two refunds it executes one, and its word on ours decides."""
    async with ring() as here:
        await late_money(here)
        here.provider.answers["refund"] = Declined(code="charge_already_refunded", message="No.")
        await here.told(refunded("re_1"))
        came, _ = await here.race(returns(here), processes("late_money_returned"), second_first)
        assert isinstance(came, NoLateMoney if second_first else Change)
        assert await here.end() == {}
        assert await here.dispositions() == ["applied"]
        payment = (await here.stored()).payment
        assert (payment.amount_late_returned, payment.amount_late_returning) == (1_000, 0)


@BOTH_ORDERS
async def test_the_answer_to_a_return_against_its_event(ring: NewRing, second_first: bool) -> None:
    async with ring() as here:
        await late_money(here)
        told: list[str] = []

        async def and_tells(call: ProviderCall) -> Verdict | None:
            if call.operation == "refund" and not told:
                told.append(call.attempt_id)
                word = Approved(amount=1_000, currency="EUR", effect="refunded", reference=f"ref_{call.attempt_id}")
                await here.told(AttemptNotice(operation="refund", attempt_id=call.attempt_id, verdict=word))
                started.set()
            return None

        started = asyncio.Event()
        here.provider.after = and_tells

        async def once_told(runtime: Runtime) -> object:
            await started.wait()
            return await eventually_async(inbox_worker_of(runtime).round)

        answer = (lambda runtime: give_back(runtime, here.payment_id, **WORDS), moves("late_money_returned"))
        await here.race(answer, (once_told, moves("late_money_returned")), second_first)
        assert await here.end() == {}
        assert (await here.steps()).count("late_money_returned") == 1
        assert here.sent("refund") == 1
        assert await here.dispositions() == ["applied" if second_first else "duplicate_effect"]


@BOTH_ORDERS
async def test_accept_against_a_dispute(ring: NewRing, second_first: bool) -> None:
    """Of late money that nobody accepted there is no dispute of the merchant's; of accepted money there is."""
    async with ring() as here:
        await late_money(here)
        await here.told(
            DisputeNotice(reference="dp_1", state="opened", amount=1_000, currency="EUR", funds="withdrawn")
        )
        dispute = processes("late_money_returned", "dispute_opened")
        came, _ = await here.race(accepts(here), dispute, second_first)
        assert isinstance(came, NoLateMoney if second_first else Change)
        balances = await here.end()
        assert balances.get("suspense:simulator", 0) == balances.get("provider:simulator", 0) == 0
        assert await here.dispositions() == ["applied"]
        assert ("dispute_opened" in await here.steps()) is not second_first


@BOTH_ORDERS
async def test_late_capture_by_a_look_up_against_its_event(ring: NewRing, second_first: bool) -> None:
    """The provider refuses to close a charge that was paid: what is found behind the refusal and its event are one."""
    async with ring() as here:
        here.provider.acts = True
        await paid(here)
        await here.says(Declined(code="authentication_failed", message="No.", reference="ch_1"))
        here.provider.said = captured()
        here.provider.answers["cancel"] = Declined(code="charge_already_captured", message="No.")
        await here.told(ChargeNotice(verdict=captured()))
        await here.race(recovers("late_capture"), processes("late_capture"), second_first)
        assert await here.end() == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
        stored = await here.stored()
        assert (stored.payment.amount_late, (await here.steps()).count("late_capture")) == (1_000, 1)
        assert [each.state for each in stored.attempts] == ["declined", "declined"]


@BOTH_ORDERS
async def test_closing_a_charge_against_its_capture(ring: NewRing, second_first: bool) -> None:
    """The call is about to be sent, and the provider tells that the charge was paid: neither hinders the other."""
    async with ring() as here:
        here.provider.acts = True
        await paid(here)
        await here.says(Declined(code="authentication_failed", message="No.", reference="ch_1"))
        here.provider.said = captured()
        here.provider.answers["cancel"] = Declined(code="charge_already_captured", message="No.")
        await here.told(ChargeNotice(verdict=captured()))
        await here.race(recovers("resubmit"), processes("late_capture"), second_first)
        assert await here.end() == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
        assert (await here.steps()).count("late_capture") == 1


@BOTH_ORDERS
async def test_a_capture_of_ours_against_one_in_the_dashboard(ring: NewRing, second_first: bool) -> None:
    """Ours is refused, or the other is added to it: a hold is captured in parts."""
    async with ring() as here:
        await paid(here, manual=True)
        await here.told(CaptureNotice(reference="cap_1", amount=400, currency="EUR"))
        ours = instruction(here, lambda client: client.capture("capture", here.payment_id, 600), "capture")
        reply, _ = await here.race(ours, processes("captured"), second_first)
        assert reply.status == (409 if second_first else 200)
        total = 400 if second_first else 1_000
        assert await here.end() == {"merchant": -total, "provider:simulator": total}
        added = [] if second_first else ["capture", "captured", "capture_added"]
        assert await here.steps() == ["create", "authorized", *(added or ["captured"])]
        assert await here.dispositions() == ["applied"]


@BOTH_ORDERS
async def test_the_answer_to_our_capture_against_its_event(ring: NewRing, second_first: bool) -> None:
    """One capture, told twice, by the name that the provider gave it."""
    async with ring() as here:
        await paid(here, manual=True)
        started = asyncio.Event()

        async def and_tells(call: ProviderCall) -> Verdict | None:
            name = f"ref_{call.attempt_id}"
            word = Approved(amount=600, currency="EUR", effect="captured", reference=name)
            await here.told(AttemptNotice(operation="capture", attempt_id=call.attempt_id, verdict=word))
            started.set()
            return None

        async def once_told(runtime: Runtime) -> object:
            await started.wait()
            return await eventually_async(inbox_worker_of(runtime).round)

        here.provider.after = and_tells
        ours = instruction(here, lambda client: client.capture("capture", here.payment_id, 600), "captured")
        reply, _ = await here.race(ours, (once_told, moves("captured")), second_first)
        assert (reply.status, read(reply)["amount_captured"]) == (200, 600)
        await here.told(
            CaptureNotice(
                reference=(await here.stored()).attempts[-1].provider_reference or "", amount=600, currency="EUR"
            )
        )
        assert await here.end() == {"merchant": -600, "provider:simulator": 600}
        assert await here.steps() == ["create", "authorized", "capture", "captured"]


@pytest.mark.parametrize(("names", "total"), [(("cap_1", "cap_2"), 1_000), (("cap_1", "cap_1"), 500)])
async def test_two_captures_in_the_dashboard(ring: NewRing, names: tuple[str, str], total: int) -> None:
    """Two equal parts are two; one that is told under two events is one."""
    async with ring() as here:
        await paid(here, manual=True)
        for name in names:
            await here.told(CaptureNotice(reference=name, amount=500, currency="EUR"))
        takes = processes("captured", "capture_added")
        await here.race(takes, takes, False)
        assert await here.end() == {"merchant": -total, "provider:simulator": total}
        second = "applied" if total == 1_000 else "duplicate_effect"
        assert sorted(await here.dispositions()) == ["applied", second]


@BOTH_ORDERS
async def test_a_refund_against_the_state_of_a_dispute(ring: NewRing, second_first: bool) -> None:
    """Whoever comes second is decided on the other: never more than was captured."""
    async with ring() as here:
        await paid(here)
        await here.told(
            DisputeNotice(reference="dp_1", state="opened", amount=1_000, currency="EUR", funds="withdrawn")
        )
        ours = instruction(here, lambda client: client.refund("refund", here.payment_id, 600), "refund_opened")
        reply, _ = await here.race(ours, processes("dispute_opened"), second_first)
        assert reply.status == (409 if second_first else 201)
        await here.end()
        assert here.sent("refund") == (not second_first)
        rejected = await here.home.reads.rejections(here.merchant_id, here.payment_id)
        # Both took money where the refund came first: that passes the capture, and a person hears of it.
        assert [row.origin for row in rejected] == (["client"] if second_first else ["provider"])


@BOTH_ORDERS
async def test_recovery_against_an_event(ring: NewRing, second_first: bool) -> None:
    """Both bring the outcome of an attempt whose answer was lost."""
    async with ring() as here:

        async def lost(_: ProviderCall) -> Verdict:
            return Unknown(reason="time-out")

        here.provider.after = lost
        await paid(here)
        [attempt] = (await here.stored()).attempts
        word = Approved(amount=1_000, currency="EUR", effect="captured", reference=f"ref_{attempt.attempt_id}")
        await here.told(AttemptNotice(operation="authorize", attempt_id=attempt.attempt_id, verdict=word))
        await here.race(_when_due(recovers("captured")), processes("captured"), second_first)
        assert await here.end() == {"merchant": -1_000, "provider:simulator": 1_000}
        assert await here.steps() == ["create", "captured"]
        assert await here.dispositions() == ["applied" if second_first else "duplicate_effect"]
        reply = await Client(here.home, here.merchant_id).create("create")
        assert (reply.status, read(reply)["state"]) == (201, "captured")


def _when_due(rival: tuple[Rival, Races]) -> tuple[Rival, Races]:
    """Rounds of recovery, until it has found something due."""
    work, races = rival

    async def rounds(runtime: Runtime) -> object:
        runtime.clock.shift_ms += SETTLED_MS
        return await work(runtime)

    return rounds, races


@BOTH_ORDERS
async def test_a_key_that_was_taken_against_the_charge_itself(ring: NewRing, second_first: bool) -> None:
    """The answer says that the key was used before; the charge's own event says that it was made. The event stands."""
    async with ring() as here:
        started = asyncio.Event()

        async def taken(call: ProviderCall) -> Verdict:
            here.payment_id = call.payment_id
            word = Approved(amount=1_000, currency="EUR", effect="captured", reference=f"ref_{call.attempt_id}")
            await here.told(AttemptNotice(operation="authorize", attempt_id=call.attempt_id, verdict=word))
            started.set()
            return KeyTaken(reason="the key was used for another request")

        async def once_told(runtime: Runtime) -> object:
            await started.wait()
            return await eventually_async(inbox_worker_of(runtime).round)

        here.provider.after = taken
        ours = instruction(here, lambda client: client.create("create"), "key_taken")
        await here.race(ours, (once_told, moves("captured")), second_first)
        assert await here.end() == {"merchant": -1_000, "provider:simulator": 1_000}
        [attempt] = (await here.stored()).attempts
        assert (attempt.state, attempt.key_taken) == ("approved", not second_first)
        assert here.sent("authorize") == 1


@BOTH_ORDERS
async def test_two_recoveries_park_once(ring: NewRing, second_first: bool) -> None:
    """A key that was taken: two workers park the attempt, and one of them raises the alert."""
    async with ring() as here:
        here.provider.answers["authorize"] = KeyTaken(reason="the key was used for another request")
        here.provider.said = NotFound()
        await paid(here)
        decided = asyncio.Event()

        def first(change: Change) -> bool:
            if moves("parked")(change):
                decided.set()
            return decided.is_set()

        async def second(runtime: Runtime) -> object:
            """A worker that finds the first one's lease run out."""
            await decided.wait()
            runtime.clock.shift_ms += SETTLED_MS
            return await work(runtime)

        work, parks = _when_due(recovers("parked"))
        with capture_logs() as lines:
            await here.race((work, first), (second, parks), second_first)
        assert [line["event"] for line in lines if line.get("alert")] == ["attempt is in doubt"]
        rows = await here.home.pool.fetch(
            "SELECT event FROM history WHERE merchant_id = $1 AND subject = 'attempt' ORDER BY version",
            here.merchant_id,
        )
        assert [row["event"] for row in rows] == ["submit", "key_taken", "parked"]
        assert here.sent("authorize") == 0
