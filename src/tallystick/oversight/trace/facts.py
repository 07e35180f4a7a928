"""The facts of a payment: what was asked, what was sent, what it did at the provider, and where the money is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import Amount, Count, Currency, described
from tallystick.domain.ledger.accounts import suspense_account
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.replay import HistoryStep
from tallystick.oversight.invariants.ledger import HOLDING, LATE_KINDS
from tallystick.record.postgres.payment_record import ScheduledAttempt
from tallystick.record.postgres.trace_parts import TraceRows

#: Attempt states after which the provider had the effect, whether or not it took it back later.
_HAD_EFFECT: Final = frozenset({"approved", "reversed"})


class Effects(Struct, frozen=True, kw_only=True):
    """How often the provider did what it was asked to do. What it did by itself is not counted."""

    authorize: Annotated[Count, described("Charges: money held or taken.", 1)] = 0
    capture: Annotated[Count, described("Captures of held money.", 0)] = 0
    cancel: Annotated[Count, described("Holds released.", 0)] = 0
    refund: Annotated[Count, described("Refunds.", 0)] = 0


class Facts(Struct, frozen=True, kw_only=True):
    """The first line is made from these alone. Amounts are in the currency's minor unit."""

    state: Annotated[str, described("The payment's state.", "captured", enum=PAYMENT.states)]
    code: Annotated[str | None, described("Why it ended without money; null where it did not.", None)]
    asked: Annotated[Count, described("Instructions of the merchant, each under its key.", 1)]
    replays: Annotated[Count, described("Requests that repeated one of them, as far as they are counted by now.", 0)]
    sent: Annotated[Count, described("Calls that were sent to the provider to move money.", 2)]
    time_outs: Annotated[Count, described("Of those, how many ran out of time without an answer.", 1)]
    unanswered: Annotated[Count, described("Of those, how many had no usable answer, time-outs among them.", 1)]
    effects: Annotated[Effects, described("What these calls did at the provider.")]
    currency: Currency
    requested: Annotated[Amount, described("What the merchant asked for.", 1200)]
    amount: Annotated[Amount, described("What the provider took from the payer and did not report as lost.", 1200)]
    refunded: Annotated[Amount, described("What went back to the payer.", 0)]
    withdrawn: Annotated[int, described("What the provider withdrew for disputes.", 0)]
    late: Annotated[int, described("Of all that, what is in suspense: it came after the end.", 0)]
    held: Annotated[Amount, described("What the provider holds and has not taken.", 0)]
    in_doubt: Annotated[Amount, described("What may or may not have moved: nobody knows yet.", 0)]


def facts_of(rows: TraceRows) -> Facts:
    """The facts, from the stored rows and the history."""
    record, payment = rows.record, rows.record.payment
    outcomes = [step for each in record.attempts for step in record.histories.get(each.attempt.attempt_id, ())]
    reasons = _reasons(rows)
    late_in, late_out = _late(rows)
    late_withdrawn = sum(
        each.amount * (1 if each.way == "out" else -1) for each in payment.late_movements if each.dispute is not None
    )
    return Facts(
        state=payment.state,
        code=None if payment.failure is None else payment.failure.code,
        asked=len(rows.instructions),
        replays=sum(each.n for each in rows.replays),
        sent=_sent(outcomes),
        time_outs=sum(1 for reason in reasons if reason == "TimeoutError"),
        unanswered=len(reasons),
        effects=_effects(record.attempts),
        currency=payment.currency,
        requested=payment.amount,
        amount=payment.amount_captured - payment.amount_reversed + late_in,
        refunded=payment.amount_refunded + late_out + payment.amount_late_returned - late_withdrawn,
        withdrawn=sum(each.amount for each in record.disputes if each.funds_withdrawn) + late_withdrawn,
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


def _sent(steps: list[HistoryStep]) -> int:
    """Submissions less those of which it is proved that nothing was sent."""
    submitted = sum(step.event in ("submit", "resubmit") for step in steps)
    return submitted - sum(step.event == "not_sent" and step.from_state == "submitted" for step in steps)


def _reasons(rows: TraceRows) -> list[str]:
    """Of each call without a usable answer, why."""
    return [
        str(step.evidence.get("verdict", {}).get("reason", ""))
        for step in rows.steps
        if step.subject == "attempt" and step.event == "unknown" and isinstance(step.evidence, dict)
    ]


def _effects(attempts: Sequence[ScheduledAttempt]) -> Effects:
    counts: dict[str, int] = {}
    for each in attempts:
        if each.attempt.state in _HAD_EFFECT or each.attempt.late_effect:
            counts[each.attempt.operation] = counts.get(each.attempt.operation, 0) + 1
    return Effects(**counts)


def _late(rows: TraceRows) -> tuple[int, int]:
    """What came and what went after the end, by the ledger; money of disputes is counted with these."""
    suspense = suspense_account(rows.record.payment.provider)
    disputes = {each.dispute_id for each in rows.record.disputes}
    late = [row for row in rows.transfers if row.kind in LATE_KINDS and row.subject_id not in disputes]
    came = sum(row.amount for row in late if row.credit == suspense)
    return came, sum(row.amount for row in late if row.debit == suspense)
