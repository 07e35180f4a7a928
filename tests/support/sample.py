"""A merchant with a payment of every kind, made by the real flows: what the tests of the invariants then break."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import AttemptNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.requests.commands import (
    CancelPayment,
    CaptureMethod,
    CapturePayment,
    CreatePayment,
    CreateRefund,
)
from tallystick.domain.subjects import DisputeState, Operation
from tallystick.domain.verdicts import Reversed
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.payments.attempts import provider_call, settle_verdict
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.intake import Intake
from tallystick.kit.clock import Clock
from tallystick.kit.ids import derived_id, new_id
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.reads import SnapshotWithClocks
from tallystick.settings.load import Settings
from tests.support.factories import (
    InstantProvider,
    approves,
    asks_customer,
    declines,
    keeps_waiting,
    make_instruction,
    never_answers,
)
from tests.support.inbox import WEBHOOK_SETTINGS, arrival, drain, envelope

#: Longer than the suites take on any machine: only what is put back by hand is overdue.
ALARM_AGE_MS = 3_600_000

#: One try at an event, so that the one that nobody can place is a dead letter at once.
SETTINGS = Settings(
    in_doubt_alarm_age_ms=ALARM_AGE_MS,
    webhook_tries_limit=1,
    webhook_dead_letter_alarm_age_ms=ALARM_AGE_MS,
    sealing_keys=WEBHOOK_SETTINGS.sealing_keys,
)

SCRIPTS = {
    ("declined", "authorize"): declines,
    ("silent", "authorize"): never_answers,
    ("asks", "authorize"): asks_customer,
    ("slow_refund", "refund"): keeps_waiting,
    ("no_refund", "refund"): declines,
    ("no_capture", "capture"): declines,
}


class Sample(Struct, frozen=True, kw_only=True):
    """Ids of the payments, each named after what became of it, and of some refunds and disputes (``NOT_PAYMENTS``)."""

    merchant: str
    captured: str
    refunded: str
    refund: str
    refund_pending: str
    pending_refund: str
    refund_failed: str
    partly_captured: str
    authorized: str
    capture_refused: str
    canceled: str
    declined: str
    unknown: str
    requires_action: str
    refused: str  # captured, with a second capture refused
    late: str  # declined by us, captured by the provider: in suspense
    parked: str
    disputed: str  # the money is withdrawn, the dispute open
    dispute: str
    dispute_lost: str
    lost_dispute: str
    dispute_won: str  # and the money withdrawn once more after that: in suspense
    won_dispute: str
    dispute_contested: str  # called won, and then lost: in suspense
    contested_dispute: str
    capture_reversed: str
    came_back: str
    refund_back: str  # succeeded, and failed weeks later
    dashboard: str
    dashboard_refund: str  # made at the provider


#: Fields of ``Sample`` that name something else than a payment.
NOT_PAYMENTS = (
    "merchant",
    "refund",
    "pending_refund",
    "dispute",
    "lost_dispute",
    "won_dispute",
    "contested_dispute",
    "refund_back",
    "dashboard_refund",
)


class Client:
    """Sends instructions to the runtime as the HTTP face does."""

    def __init__(self, runtime: Runtime, merchant_id: str) -> None:
        self.runtime = runtime
        self.merchant_id = merchant_id

    async def create(self, name: str, method: str = "ok", capture_method: CaptureMethod = "automatic") -> str:
        """Create a payment of 1,000 under a key of that name; its id."""
        command = CreatePayment(
            amount=1_000,
            currency="EUR",
            payment_method=method,
            capture_method=capture_method,
            description=f"sample {name}",
            metadata={"name": name},
        )
        instruction = make_instruction(self.merchant_id, name, {"payment_method": method, "name": name})
        return _id(await instructions.create_payment(self.runtime, instruction, command, "simulator"))

    async def capture(self, payment_id: str, amount: int | None = None, name: str = "capture") -> Reply:
        """Capture all or part."""
        instruction = self._follow_up(payment_id, name, "capture", {"amount": amount})
        return await instructions.capture_payment(self.runtime, instruction, payment_id, CapturePayment(amount=amount))

    async def cancel(self, payment_id: str) -> Reply:
        """Release the hold."""
        instruction = self._follow_up(payment_id, "cancel", "cancel", {})
        return await instructions.cancel_payment(self.runtime, instruction, payment_id, CancelPayment())

    async def refund(self, payment_id: str, amount: int | None = None) -> str:
        """Refund all or part; the refund's id."""
        instruction = self._follow_up(payment_id, "refund", "refunds", {"amount": amount})
        command = CreateRefund(amount=amount, reason="asked for")
        return _id(await instructions.create_refund(self.runtime, instruction, payment_id, command))

    def _follow_up(self, payment_id: str, name: str, what: str, body: dict[str, Any]) -> Any:
        path = f"/v1/payments/{payment_id}/{what}"
        key = f"{name}-{payment_id}"
        return make_instruction(self.merchant_id, key, body, f"POST /v1/payments/{{id}}/{what}", path)


async def make_sample(app_url: str, merchant_id: str) -> Sample:
    """Every kind of payment there is."""
    async with open_runtime(SETTINGS, app_url, providers={"simulator": InstantProvider(SCRIPTS)}) as runtime:
        client = Client(runtime, merchant_id)
        refunded, pending = await client.create("refunded"), await client.create("pending", "slow_refund")
        failed = await client.create("refund_failed", "no_refund")
        await client.refund(failed)
        partly, canceled = await client.create("partly", "ok", "manual"), await client.create("cancel", "ok", "manual")
        await client.capture(partly, 600)
        await client.cancel(canceled)
        capture_refused = await client.create("capture_refused", "no_capture", "manual")
        await client.capture(capture_refused)
        refused, late = await client.create("refused"), await client.create("late", "declined")
        assert (await client.capture(refused)).status == 409
        await happened_after_all(runtime, merchant_id, late)
        parked = await client.create("parked", "silent")
        await _park(runtime, merchant_id, parked)
        told = await _told_by_webhooks(runtime, client, app_url)
        return Sample(
            merchant=merchant_id,
            captured=await client.create("captured"),
            refunded=refunded,
            refund=await client.refund(refunded, 400),
            refund_pending=pending,
            pending_refund=await client.refund(pending, 300),
            refund_failed=failed,
            partly_captured=partly,
            authorized=await client.create("authorized", "ok", "manual"),
            capture_refused=capture_refused,
            canceled=canceled,
            declined=await client.create("declined", "declined"),
            unknown=await client.create("unknown", "silent"),
            requires_action=await client.create("requires_action", "asks"),
            refused=refused,
            late=late,
            parked=parked,
            **told,
        )


async def _told_by_webhooks(runtime: Runtime, client: Client, app_url: str) -> dict[str, str]:
    """What only events tell of, through the inbox and its worker; and one event that nobody can place."""
    disputed = ("disputed", "dispute_lost", "dispute_won", "dispute_contested")
    names = (*disputed, "capture_reversed", "came_back", "dashboard")
    paid = {name: await client.create(name) for name in names}
    back = await client.refund(paid["came_back"], 250)
    failed_capture = _came_back((await _loaded(runtime, client.merchant_id, paid["capture_reversed"])), "authorize")
    failed_refund = _came_back((await _loaded(runtime, client.merchant_id, paid["came_back"])), "refund")
    said: list[tuple[str, Notice]] = [
        ("disputed", _dispute("disputed", "opened", "withdrawn")),
        ("dispute_lost", _dispute("dispute_lost", "under_review")),
        ("dispute_lost", _dispute("dispute_lost", "lost", "withdrawn")),
        ("dispute_won", _dispute("dispute_won", "opened", "withdrawn")),
        ("dispute_won", _dispute("dispute_won", "won", "returned")),
        ("dispute_won", _dispute("dispute_won", "won", "withdrawn")),
        ("dispute_contested", _dispute("dispute_contested", "opened", "withdrawn", "mv_1")),
        ("dispute_contested", _dispute("dispute_contested", "won", "returned", "mv_2")),
        ("dispute_contested", _dispute("dispute_contested", "lost", None, "")),
        ("capture_reversed", failed_capture),
        ("came_back", failed_refund),
        ("dashboard", RefundNotice(reference="dashboard", amount=150, currency="EUR")),
    ]
    async with _intake(app_url) as intake:
        for number, (name, notice) in enumerate(said):
            payment = (await _loaded(runtime, client.merchant_id, paid[name])).stored.payment
            await intake.accept([arrival(envelope(f"{client.merchant_id}-{number}", notice, payment=payment))])
            await drain(runtime)
        nowhere = envelope(f"{client.merchant_id}-nowhere", said[0][1], merchant_id=client.merchant_id)
        await intake.accept([arrival(nowhere)])
        await drain(runtime)
    return paid | {
        "dispute": derived_id("dp", "simulator", "main", "disputed"),
        "lost_dispute": derived_id("dp", "simulator", "main", "dispute_lost"),
        "won_dispute": derived_id("dp", "simulator", "main", "dispute_won"),
        "contested_dispute": derived_id("dp", "simulator", "main", "dispute_contested"),
        "refund_back": back,
        "dashboard_refund": derived_id("re", "simulator", "main", "dashboard"),
    }


def _came_back(loaded: SnapshotWithClocks, operation: Operation) -> AttemptNotice:
    attempt = next(each for each in loaded.stored.attempts if each.operation == operation)
    verdict = Reversed(code="returned", message="The money did not come.")
    return AttemptNotice(operation=operation, attempt_id=attempt.attempt_id, verdict=verdict)


def _dispute(reference: str, state: DisputeState, funds: Funds | None = None, name: str | None = None) -> DisputeNotice:
    """``name``: the provider's for what moved; None where it names nothing, empty where nothing moved."""
    movements: tuple[Movement, ...] | None = None if name is None else ()
    if name and funds:
        movements = (Movement(reference=name, funds=funds, amount=1_000, before_verdict=state == "opened"),)
    return DisputeNotice(
        reference=reference, state=state, amount=1_000, currency="EUR", funds=funds, movements=movements
    )


@asynccontextmanager
async def _intake(app_url: str) -> AsyncIterator[Intake]:
    async def own() -> Any:
        return await connect_journal(app_url, command_timeout_ms=5_000)

    intake = Intake(own, Clock(), queue_limit=100, commit_timeout_ms=5_000)
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop()


async def happened_after_all(runtime: Runtime, merchant_id: str, payment_id: str) -> None:
    """The provider says that it executed the payment's first attempt."""
    loaded = await _loaded(runtime, merchant_id, payment_id)
    attempt = loaded.stored.attempts[0]
    verdict = approves(provider_call(attempt, 0))
    change = await settle_verdict(
        runtime, loaded.stored, attempt.attempt_id, verdict, cause="webhook", actor="provider:simulator"
    )
    assert change is not None and change.transfers


async def _park(runtime: Runtime, merchant_id: str, payment_id: str) -> None:
    loaded = await _loaded(runtime, merchant_id, payment_id)
    step = Cause(change_id=new_id("chg"), at=datetime.now(UTC), trigger="recovery", actor="recovery")
    await runtime.journal.commit(park(loaded.stored, loaded.stored.attempts[0].attempt_id, step))


async def _loaded(runtime: Runtime, merchant_id: str, payment_id: str) -> SnapshotWithClocks:
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    return loaded


def _id(reply: Reply) -> str:
    return str(json.loads(reply.body)["id"])
