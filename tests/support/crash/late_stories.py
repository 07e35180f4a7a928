"""What may still become of a payment after its answer, as stories in which a process may die: late money and what an
operator decides of it, a charge that is closed, captures that the provider names, a key that was used before a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    Notice,
    RefundNotice,
)
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Approved, Declined, Reversed
from tallystick.flows.operations.late_money import accept, give_back
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.ids import new_id
from tests.support.crash.provider import Bank, Operation
from tests.support.crash.scenario import ROUNDS, Time
from tests.support.database import Database
from tests.support.inbox import accept as into_the_inbox
from tests.support.inbox import envelope
from tests.support.runtime import Client, read

WORDS: Final = {"actor": "kim", "reason": "ticket 7"}


class Scene(NamedTuple):
    """One merchant at one bank, as a process that nobody kills prepares it."""

    runtime: Runtime
    bank: Bank
    merchant_id: str
    url: str

    async def stored(self, payment_id: str) -> PaymentSnapshot:
        """A payment as it is recorded."""
        return await stored(self.runtime, self.merchant_id, payment_id)

    async def create(self, key: str, *faults: str, manual: bool = False) -> str:
        """A payment whose sends go wrong like this; its id."""
        self.bank.expect(self.merchant_id, key, "authorize", *faults)
        return cast(str, read(await Client(self.runtime, self.merchant_id).create(key, manual=manual))["id"])

    async def told(self, payment_id: str, *notices: Notice) -> None:
        """Events of the provider, in the inbox in this order."""
        database = Database(self.url, self.url)
        for notice in notices:
            event = envelope(new_id("req"), notice, merchant_id=self.merchant_id, payment_id=payment_id)
            await into_the_inbox(database, [event])

    async def late(self, key: str) -> str:
        """Declined, and captured all the same: its money waits in suspense."""
        payment_id = await self.create(key, "declined")
        self.bank.paid_all_the_same(self.bank.charge_of(payment_id))
        await self.told(payment_id, ChargeNotice(verdict=captured(self.bank, payment_id)))
        await process(self.runtime)
        return payment_id

    async def failed_authentication(self, key: str) -> str:
        """Its payer was given something to act on and failed; the provider tells it, and leaves the charge open."""
        payment_id = await self.create(key, "action_required")
        self.bank.fails_authentication(self.bank.charge_of(payment_id))
        return payment_id


async def stored(runtime: Runtime, merchant_id: str, payment_id: str) -> PaymentSnapshot:
    """A payment as it is recorded."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    return loaded.stored


def captured(bank: Bank, payment_id: str) -> Approved:
    """The bank's word on a charge that was captured."""
    charge = bank.charge_of(payment_id)
    return Approved(amount=charge.captured, currency=charge.currency, effect="captured", reference=charge.charge_id)


async def process(runtime: Runtime) -> None:
    """What a worker does with the events that are due."""
    processing = InboxWorker(runtime, runtime.stores.inbox)
    while await processing.round():
        pass


async def rounds_of_recovery(runtime: Runtime, time: Time) -> None:
    """Recovery, and time between its rounds, until nothing is due."""
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
    for _ in range(ROUNDS):
        time.pass_on(runtime)
        if await recovery.round() == 0:
            return
    raise AssertionError("recovery does not come to an end")


class Case(NamedTuple):
    """One payment, and what happens to it: the process that does it may die."""

    key: str
    merchant_id: str
    payment_id: str
    time: Time


#: What a process does, and what the next one does after its death: the same.
Work = Callable[[Runtime, Case], Coroutine[Any, Any, None]]


class Story(NamedTuple):
    """``prepare`` gives the payment's id, or none where ``work`` makes the payment. What is left, by hand: the steps of
    the payment, how its attempts ended, its messages, the balances, and what the bank executed for it."""

    prepare: Callable[[Scene, str], Coroutine[Any, Any, str]]
    work: Work
    steps: str
    attempts: str
    messages: str
    balances: dict[str, int]
    executed: str = ""


async def _late(scene: Scene, key: str) -> str:
    return await scene.late(key)


async def _accepts(runtime: Runtime, case: Case) -> None:
    with suppress(NoLateMoney):  # the operator had done it before they died
        await accept(runtime, case.payment_id, **WORDS)


async def _returns(runtime: Runtime, case: Case) -> None:
    """An operator returns it, unless the record shows that they had; recovery finishes what is open."""
    history = await runtime.reads.history(case.merchant_id, case.payment_id)
    if all(step.event != "late_return_opened" for step in history):
        await give_back(runtime, case.payment_id, **WORDS)
    await rounds_of_recovery(runtime, case.time)


async def _late_and_refused(scene: Scene, key: str) -> str:
    payment_id = await scene.late(key)
    version = (await scene.stored(payment_id)).payment.version
    scene.bank.faults[provider_key(scene.merchant_id, payment_id, "late_return", version)] = ["declined"]
    return payment_id


async def _late_and_unanswered(scene: Scene, key: str) -> str:
    payment_id = await scene.late(key)
    version = (await scene.stored(payment_id)).payment.version
    scene.bank.faults[provider_key(scene.merchant_id, payment_id, "late_return", version)] = ["timeout_charged"]
    return payment_id


async def _returned_and_came_back(scene: Scene, key: str) -> str:
    payment_id = await scene.late(key)
    await give_back(scene.runtime, payment_id, **WORDS)
    attempt = (await scene.stored(payment_id)).attempts[-1]
    scene.bank.charge_of(payment_id).refunded = 0
    reversal = Reversed(code="account_closed", message="The account is closed.")
    await scene.told(payment_id, AttemptNotice(operation="refund", attempt_id=attempt.attempt_id, verdict=reversal))
    return payment_id


async def _paid_after_its_decline(scene: Scene, key: str) -> str:
    """The decline is recorded, the call that closes the charge is open, and the payer has paid."""
    payment_id = await scene.failed_authentication(key)
    [attempt] = (await scene.stored(payment_id)).attempts
    no = Declined(code="authentication_failed", message="No.", reference=scene.bank.charge_of(payment_id).charge_id)
    await settle_verdict(
        scene.runtime, await scene.stored(payment_id), attempt.attempt_id, no, cause="webhook", actor="provider:bank"
    )
    scene.bank.paid_all_the_same(scene.bank.charge_of(payment_id))
    return payment_id


async def _recovers(runtime: Runtime, case: Case) -> None:
    await rounds_of_recovery(runtime, case.time)


async def _restored(scene: Scene, key: str) -> str:
    scene.bank.done_before_the_restore(scene.merchant_id, key)
    return ""


async def _sends_again(runtime: Runtime, case: Case) -> None:
    await Client(runtime, case.merchant_id).create(case.key)
    await rounds_of_recovery(runtime, case.time)


async def _held(scene: Scene, key: str) -> str:
    return await scene.create(key, manual=True)


def _part(name: str, amount: int) -> CaptureNotice:
    return CaptureNotice(reference=name, amount=amount, currency="EUR")


async def _captured_in_parts(scene: Scene, key: str) -> str:
    """Two equal parts by their own names, the first told twice; then the first one never comes."""
    payment_id = await _held(scene, key)
    one, two = f"one_{key}", f"two_{key}"
    back = AttemptNotice(
        operation="capture", reference=one, verdict=Reversed(code="refused", message="It never came.", reference=one)
    )
    await scene.told(payment_id, _part(one, 500), _part(one, 500), _part(two, 500), back)
    scene.bank.dashboard_capture(scene.bank.charge_of(payment_id))
    return payment_id


async def _ended_and_then_captured(scene: Scene, key: str) -> str:
    """A word that can mean a refund ended the hold; its capture is told after it."""
    payment_id = await _held(scene, key)
    await scene.told(payment_id, CancelOrRefundNotice(reference=f"end_{key}", amount=600, currency="EUR"))
    scene.runtime.clock.shift_ms += 10_000  # the settling time of that word
    await process(scene.runtime)
    await scene.told(payment_id, _part(f"part_{key}", 600))
    return payment_id


async def _processes(runtime: Runtime, case: Case) -> None:
    await process(runtime)


async def _paid_late(scene: Scene, key: str) -> str:
    payment_id = await scene.create(key, "declined")
    scene.bank.paid_all_the_same(scene.bank.charge_of(payment_id))
    await scene.told(payment_id, ChargeNotice(verdict=captured(scene.bank, payment_id)))
    return payment_id


async def _held_late(scene: Scene, key: str) -> str:
    """A hold that was declined here, and its release."""
    payment_id = await scene.create(key, "declined", manual=True)
    charge = scene.bank.charge_of(payment_id)
    scene.bank.paid_all_the_same(charge)
    word = Approved(amount=charge.amount, currency="EUR", effect="authorized", reference=charge.charge_id)
    [attempt] = (await scene.stored(payment_id)).attempts
    held = AttemptNotice(operation="authorize", attempt_id=attempt.attempt_id, verdict=word)
    released = Approved(amount=charge.amount, currency="EUR", effect="voided", reference=charge.charge_id)
    await scene.told(payment_id, held, ChargeNotice(verdict=released))
    return payment_id


async def _refunded_in_the_dashboard(scene: Scene, key: str) -> str:
    """Late money that its provider pays back by itself, and that does not reach the payer."""
    payment_id, name = await scene.late(key), f"re_{key}"
    back = Reversed(code="account_closed", message="The account is closed.", reference=name)
    out = RefundNotice(reference=name, amount=1_000, currency="EUR")
    await scene.told(payment_id, out, out, AttemptNotice(operation="refund", reference=name, verdict=back))
    return payment_id


async def _refunded_late(scene: Scene, key: str) -> str:
    """A refund that failed here, and that the bank executed all the same."""
    payment_id = await scene.create(key)
    again = new_id("req")
    scene.bank.expect(scene.merchant_id, again, "refund", "declined")
    await Client(scene.runtime, scene.merchant_id).refund(again, payment_id, 400)
    attempt = (await scene.stored(payment_id)).attempts[-1]
    operation = cast(Operation, scene.bank.lookup(attempt.attempt_id))
    operation.status, operation.code, operation.charge.refunded = "approved", None, 400
    word = Approved(amount=400, currency="EUR", effect="refunded", reference=operation.reference)
    await scene.told(payment_id, AttemptNotice(operation="refund", attempt_id=attempt.attempt_id, verdict=word))
    return payment_id


async def _canceled_late(scene: Scene, key: str) -> str:
    """A cancel that was refused here, and that the bank executed all the same."""
    payment_id = await _held(scene, key)
    again = new_id("req")
    scene.bank.expect(scene.merchant_id, again, "cancel", "declined")
    await Client(scene.runtime, scene.merchant_id).cancel(again, payment_id)
    attempt = (await scene.stored(payment_id)).attempts[-1]
    operation = cast(Operation, scene.bank.lookup(attempt.attempt_id))
    operation.status, operation.code, operation.charge.status = "approved", None, "released"
    word = Approved(amount=1_000, currency="EUR", effect="voided", reference=operation.reference)
    await scene.told(payment_id, AttemptNotice(operation="cancel", attempt_id=attempt.attempt_id, verdict=word))
    return payment_id


_SUSPENDED: Final = {"provider:simulator": 1_000, "suspense:simulator": -1_000}
_MERCHANTS: Final = {"provider:simulator": 1_000, "merchant": -1_000}
_LATE: Final = "create declined late_capture"

STORIES: Final[dict[str, Story]] = {
    "late money is accepted": Story(
        _late,
        _accepts,
        f"{_LATE} late_money_accepted",
        "declined",
        "payment.declined payment.late_money_accepted",
        _MERCHANTS,
        "authorize",
    ),
    "late money is returned": Story(
        _late,
        _returns,
        f"{_LATE} late_return_opened late_money_returned",
        "declined approved",
        "payment.declined",
        {},
        "authorize refund",
    ),
    "the return is refused": Story(
        _late_and_refused,
        _returns,
        f"{_LATE} late_return_opened late_return_failed",
        "declined declined",
        "payment.declined",
        _SUSPENDED,
        "authorize",
    ),
    "the answer to the return is lost": Story(
        _late_and_unanswered,
        _returns,
        f"{_LATE} late_return_opened late_money_returned",
        "declined approved",
        "payment.declined",
        {},
        "authorize refund",
    ),
    "what was returned came back": Story(
        _returned_and_came_back,
        _processes,
        f"{_LATE} late_return_opened late_money_returned late_money_came_back",
        "declined reversed",
        "payment.declined",
        _SUSPENDED,
        "authorize refund",
    ),
    "a charge is closed": Story(
        Scene.failed_authentication,
        _recovers,
        "create action_required declined",
        "declined approved",
        "payment.requires_action payment.declined",
        {},
        "cancel",
    ),
    "a charge that was paid is not closed": Story(
        _paid_after_its_decline,
        _recovers,
        "create action_required declined late_capture",
        "declined declined",
        "payment.requires_action payment.declined",
        _SUSPENDED,
        "authorize",
    ),
    "a key was used before a restore": Story(
        _restored,
        _sends_again,
        "create",
        "unknown",
        "",
        {},
    ),
    "a hold is captured in parts": Story(
        _captured_in_parts,
        _processes,
        "create authorized captured capture_added capture_reversed",
        "approved",
        "payment.authorized payment.captured payment.capture_added payment.capture_reversed",
        {"provider:simulator": 500, "merchant": -500},
        "authorize",
    ),
    "a hold is ended, and then its capture is told": Story(
        _ended_and_then_captured,
        _processes,
        "create authorized canceled captured_and_refunded",
        "approved",
        "payment.authorized payment.canceled",
        {},
        "authorize",
    ),
    "a declined charge is captured": Story(
        _paid_late, _processes, _LATE, "declined", "payment.declined", _SUSPENDED, "authorize"
    ),
    "a declined hold is held and released": Story(
        _held_late,
        _processes,
        "create declined late_hold late_release",
        "declined",
        "payment.declined",
        {},
        "authorize",
    ),
    "late money is refunded in the dashboard": Story(
        _refunded_in_the_dashboard,
        _processes,
        f"{_LATE} late_money_returned late_money_came_back",
        "declined",
        "payment.declined",
        _SUSPENDED,
        "authorize",
    ),
    "a cancel that was refused was executed": Story(
        _canceled_late,
        _processes,
        "create authorized cancel cancel_refused canceled",
        "approved declined",
        "payment.authorized payment.cancel_refused payment.canceled",
        {},
        "authorize cancel",
    ),
    "a refund that failed was executed": Story(
        _refunded_late,
        _processes,
        "create captured refund_opened refund_failed",
        "approved declined",
        "payment.captured refund.created refund.failed",
        {"provider:simulator": 600, "merchant": -1_000, "suspense:simulator": 400},
        "authorize refund",
    ),
}
