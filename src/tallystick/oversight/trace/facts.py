"""The facts of a payment: what was asked, what was sent, what it did at the provider, and where the money is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import Amount, Count, Currency, DisputeId, described
from tallystick.domain.ledger.accounts import suspense_account
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.subjects import Dispute, Refund
from tallystick.oversight.invariants.ledger import HOLDING, LATE_KINDS
from tallystick.record.postgres.payment_record import ScheduledAttempt
from tallystick.record.postgres.trace_parts import TraceRows

#: Attempt states after which the provider had the effect, whether or not it took it back later.
_HAD_EFFECT: Final = frozenset({"approved", "reversed"})


class Operations(Struct, frozen=True, kw_only=True):
    """A number for each operation at a provider."""

    authorize: Annotated[Count, described("Charges: money held or taken.", 1)] = 0
    capture: Annotated[Count, described("Captures of held money.", 0)] = 0
    cancel: Annotated[Count, described("Holds released.", 0)] = 0
    refund: Annotated[Count, described("Refunds.", 0)] = 0


class DisputeFact(Struct, frozen=True, kw_only=True):
    """How one dispute stands, and where its money is."""

    dispute_id: DisputeId
    state: Annotated[str, described("Its state; `won` and `lost` are verdicts.", "lost", enum=DISPUTE.states)]
    amount: Annotated[Amount, described("What the payer's bank claims.", 1200)]
    withdrawn: Annotated[Amount, described("What the provider withdrew for it and has not given back.", 1200)]
    was_withdrawn: Annotated[bool, described("Whether money was ever withdrawn for it.", True)]
    contested: Annotated[bool, described("Whether the provider reported it both won and lost.", False)]


class Facts(Struct, frozen=True, kw_only=True):
    """The first line is made from these alone. Amounts are in the currency's minor unit."""

    state: Annotated[str, described("The payment's state.", "captured", enum=PAYMENT.states)]
    code: Annotated[str | None, described("Why it ended without money; null where it did not.", None)]
    asked: Annotated[Count, described("Instructions of the merchant, each under its key.", 1)]
    replays: Annotated[Count, described("Requests that repeated one of them, as far as they are counted by now.", 0)]
    sent: Annotated[Count, described("Calls that were sent to the provider to move money.", 2)]
    calls: Annotated[Operations, described("Of those, how many for each operation.")]
    time_outs: Annotated[Count, described("Of those, how many ran out of time without an answer.", 1)]
    unanswered: Annotated[Count, described("Of those, how many had no usable answer, time-outs among them.", 1)]
    effects: Annotated[
        Operations,
        described(
            "What these calls did at the provider, also what failed later. What it did by itself is not counted."
        ),
    ]
    failed_later: Annotated[Operations, described("Of those effects, how many the provider took back later.")]
    unknown: Annotated[Operations, described("Instructions of which nobody knows whether they had an effect.")]
    currency: Currency
    requested: Annotated[Amount, described("What the merchant asked for.", 1200)]
    amount: Annotated[Amount, described("What the provider took from the payer and did not report as lost.", 1200)]
    refunded: Annotated[Amount, described("What went back to the payer.", 0)]
    refunds_failed_later: Annotated[
        Amount, described("Refunds that had succeeded and failed later: the merchant has that money again.", 0)
    ]
    withdrawn: Annotated[int, described("What the provider withdrew for disputes.", 0)]
    disputes: Annotated[list[DisputeFact], described("Each dispute of the payment.")]
    late: Annotated[int, described("Of all that, what is in suspense: it came after the end.", 0)]
    held: Annotated[Amount, described("What the provider holds and has not taken.", 0)]
    in_doubt: Annotated[Amount, described("What may or may not have moved: nobody knows yet.", 0)]


def facts_of(rows: TraceRows) -> Facts:
    """The facts, from the stored rows and the history."""
    record, payment = rows.record, rows.record.payment
    reasons, calls = _reasons(rows), _calls(rows)
    late_in, late_out = _late(rows)
    late_withdrawn = sum(
        each.amount * (1 if each.way == "out" else -1) for each in payment.late_movements if each.dispute is not None
    )
    return Facts(
        state=payment.state,
        code=None if payment.failure is None else payment.failure.code,
        asked=len(rows.instructions),
        replays=sum(each.n for each in rows.replays),
        sent=sum(calls.values()),
        calls=Operations(**calls),
        time_outs=sum(1 for reason in reasons if reason == "TimeoutError"),
        unanswered=len(reasons),
        effects=_counted(each for each in record.attempts if _had_effect(each)),
        failed_later=_counted(each for each in record.attempts if each.attempt.state == "reversed"),
        unknown=_counted(each for each in record.attempts if is_in_doubt(each)),
        currency=payment.currency,
        requested=payment.amount,
        amount=payment.amount_captured - payment.amount_reversed + late_in,
        refunded=payment.amount_refunded + late_out + payment.amount_late_returned - late_withdrawn,
        refunds_failed_later=sum(each.amount for each in record.refunds if _failed_later(rows, each)),
        withdrawn=sum(each.amount for each in record.disputes if each.funds_withdrawn) + late_withdrawn,
        disputes=[_dispute(rows, each) for each in record.disputes],
        late=-record.debits.get(suspense_account(payment.provider), 0),
        held=payment.amount_authorized if payment.state in HOLDING else 0,
        in_doubt=sum(each.attempt.amount for each in record.attempts if is_in_doubt(each)),
    )


def is_in_doubt(watched: ScheduledAttempt) -> bool:
    """Whether nobody knows what became of an attempt: as the API says it of a payment (``in_doubt``)."""
    attempt = watched.attempt
    if attempt.purpose == "close" or attempt.state not in ATTEMPT_OPEN:
        return False
    return attempt.state == "unknown" or (attempt.state in ("not_sent", "not_found") and watched.parked_at is not None)


def _calls(rows: TraceRows) -> dict[str, int]:
    """By operation, submissions less those of which it is proved that nothing was sent."""
    counts: dict[str, int] = {}
    for each in rows.record.attempts:
        steps = rows.record.histories.get(each.attempt.attempt_id, ())
        submitted = sum(step.event in ("submit", "resubmit") for step in steps)
        sent = submitted - sum(step.event == "not_sent" and step.from_state == "submitted" for step in steps)
        counts[each.attempt.operation] = counts.get(each.attempt.operation, 0) + sent
    return counts


def _reasons(rows: TraceRows) -> list[str]:
    """Of each call without a usable answer, why."""
    return [
        str(step.evidence.get("verdict", {}).get("reason", ""))
        for step in rows.steps
        if step.subject == "attempt" and step.event == "unknown" and isinstance(step.evidence, dict)
    ]


def _had_effect(watched: ScheduledAttempt) -> bool:
    return watched.attempt.state in _HAD_EFFECT or watched.attempt.late_effect


def _counted(attempts: Iterable[ScheduledAttempt]) -> Operations:
    counts: dict[str, int] = Counter(each.attempt.operation for each in attempts)
    return Operations(**counts)


def _failed_later(rows: TraceRows, refund: Refund) -> bool:
    steps = rows.record.histories.get(refund.refund_id, ())
    return refund.state == "failed" and any(step.event == "succeeded" for step in steps)


def _dispute(rows: TraceRows, dispute: Dispute) -> DisputeFact:
    moved = dispute.funds_withdrawn or any(each.funds == "withdrawn" for each in dispute.movements)
    steps = rows.record.histories.get(dispute.dispute_id, ())
    return DisputeFact(
        dispute_id=dispute.dispute_id,
        state=dispute.state,
        amount=dispute.amount,
        withdrawn=dispute.amount if dispute.funds_withdrawn else 0,
        was_withdrawn=moved or any(step.event == "funds_withdrawn" for step in steps),
        contested=dispute.contested,
    )


def _late(rows: TraceRows) -> tuple[int, int]:
    """What came and what went after the end, by the ledger; money of disputes is counted with these."""
    suspense = suspense_account(rows.record.payment.provider)
    disputes = {each.dispute_id for each in rows.record.disputes}
    late = [row for row in rows.transfers if row.kind in LATE_KINDS and row.subject_id not in disputes]
    came = sum(row.amount for row in late if row.credit == suspense)
    return came, sum(row.amount for row in late if row.debit == suspense)
