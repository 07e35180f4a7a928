"""Checks on the money of one payment: amounts that bound each other, and a ledger that says what the state says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from tallystick.decisions.provider_events.dispute_money import suspended
from tallystick.domain.change import Transfer
from tallystick.domain.ledger import accounts, postings
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.machines import FINAL
from tallystick.domain.replay import Step
from tallystick.domain.subjects import Dispute, Payment, Refund
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.payment_record import PaymentRecord

#: Payment states in which the provider still holds the authorized amount.
HOLDING: Final = frozenset({"authorized", "capturing", "canceling"})

#: Refund states in which the money has left the merchant and not arrived at the payer.
IN_FLIGHT: Final = frozenset({"submitting", "pending"})


class _Word(Struct, frozen=True):
    """A provider's word as history keeps it."""

    amount: int = 0
    effect: str = ""


class _Evidence(Struct, frozen=True):
    verdict: _Word


_EVIDENCE: Final = msgspec.json.Decoder(_Evidence)


def captured_within_authorized(record: PaymentRecord) -> Iterator[Finding]:
    """Nobody takes more than was held, or holds more than was asked for."""
    payment = record.payment
    if not 0 <= payment.amount_captured <= payment.amount_authorized <= payment.amount:
        amounts = f"captured {payment.amount_captured}, authorized {payment.amount_authorized}"
        yield Finding(payment.payment_id, f"{amounts}, asked for {payment.amount}")


def refunds_within_captured(record: PaymentRecord) -> Iterator[Finding]:
    """What was and may yet be paid back is no more than was captured, and is what the refunds add up to."""
    payment = record.payment
    # A capture may be reversed after a refund of it: that is no refund beyond what was captured.
    if payment.amount_refunded + payment.amount_refund_pending > payment.amount_captured:
        amounts = f"refunded {payment.amount_refunded}, pending {payment.amount_refund_pending}"
        yield Finding(payment.payment_id, f"{amounts}, captured {payment.amount_captured}")
    succeeded = sum(refund.amount for refund in record.refunds if refund.state == "succeeded")
    pending = sum(refund.amount for refund in record.refunds if refund.state in IN_FLIGHT)
    if (succeeded, pending) != (payment.amount_refunded, payment.amount_refund_pending):
        ours = f"refunded {payment.amount_refunded} and pending {payment.amount_refund_pending}"
        yield Finding(payment.payment_id, f"{ours}, its refunds add up to {succeeded} and {pending}")


def one_currency_per_payment(record: PaymentRecord) -> Iterator[Finding]:
    """Refunds, attempts and ledger rows are in the payment's currency and at its provider."""
    payment = record.payment
    for subject_id, subject in record.subjects():
        if (subject.currency, subject.provider) != (payment.currency, payment.provider):
            theirs = f"{subject.currency} at {subject.provider}"
            yield Finding(subject_id, f"is in {theirs}, its payment in {payment.currency} at {payment.provider}")
    for transfer in record.transfers:
        if transfer.currency != payment.currency:
            where = f"version {transfer.version}, leg {transfer.leg}"
            yield Finding(transfer.subject_id, f"{where} is in {transfer.currency}, its payment in {payment.currency}")


def postings_follow_the_chart(record: PaymentRecord) -> Iterator[Finding]:
    """Each step of history has exactly the ledger rows that the chart of accounts gives its event."""
    posted: dict[tuple[str, int], list[Posting]] = {}
    for transfer in record.transfers:
        leg = Posting(transfer.kind, transfer.debit, transfer.credit, transfer.amount)
        posted.setdefault((transfer.subject_id, transfer.version), []).append(leg)
    for subject_id, steps in record.histories.items():
        replay = record.replays[subject_id]
        for step in steps:
            if step.version not in replay.states:
                break  # history_replays_to_state has said why
            due = _due(record, step)
            found = posted.get((subject_id, step.version), [])
            if found != due:
                what = f"version {step.version} ({step.event})"
                yield Finding(subject_id, f"{what} posted {_said(found)}, the chart says {_said(due)}")


def _due(record: PaymentRecord, step: Step) -> list[Posting]:
    states = record.replays[step.subject_id].states
    after, before = states[step.version], states.get(step.version - 1)
    if isinstance(after, Payment):
        held = before.amount_authorized if isinstance(before, Payment) else 0
        return _due_of_payment(record, step, after, held)
    if isinstance(after, Refund):
        return _due_of_refund(step, after)
    if isinstance(after, Dispute):
        return _due_of_dispute(step, after, before if isinstance(before, Dispute) else None)
    return []


def _due_of_payment(record: PaymentRecord, step: Step, after: Payment, held: int) -> list[Posting]:
    match step.event:
        case "authorized":
            return postings.hold(after.provider, after.amount_authorized)
        case "captured":
            return postings.capture(after.provider, held, after.amount_captured)
        case "canceled" | "expired":
            return postings.release(after.provider, held)
        case "capture_reversed":
            return postings.capture_reversed(after.provider, after.amount_captured)
        case "late_effect":
            return postings.late_money_in(after.provider, amount) if (amount := _late_money(record, step)) else []
    return []


def _late_money(record: PaymentRecord, step: Step) -> int:
    """What the provider took on a closed edge, as its word says that moved an attempt in the same change; 0 where it
    came to hold or let go of money, and took none."""
    late = _late_step(record, step)
    if late is None or late.evidence is None:
        return 0
    try:
        word = _EVIDENCE.decode(late.evidence).verdict
    except msgspec.MsgspecError:
        return 0
    return word.amount if word.effect == "captured" else 0


def _due_of_dispute(step: Step, after: Dispute, before: Dispute | None) -> list[Posting]:
    """A step's own postings, and beside them what came to stand in suspense."""
    if before is None:
        return postings.dispute_opened(after.amount)
    due: list[Posting] = []
    match step.event:
        case "funds_withdrawn":
            due = postings.dispute_withdrawn(after.provider, after.amount)
        case "funds_returned":
            due = postings.dispute_returned(after.provider, after.amount)
        case "won":
            due = postings.dispute_won(after.provider, after.amount, withdrawn=before.funds_withdrawn)
        case "lost":
            due = postings.dispute_lost(after.provider, after.amount, withdrawn=before.funds_withdrawn)
    more = suspended(after) - suspended(before)
    if after.contested and not before.contested and after.state == "won":
        due = [*due, *postings.dispute_contested(after.provider, after.amount)]
        more -= after.amount
    if more == 0:
        return due
    late = postings.late_money_in if more > 0 else postings.late_money_out
    return [*due, *late(after.provider, abs(more))]


def _due_of_refund(step: Step, after: Refund) -> list[Posting]:
    match step.event:
        case "create":
            return postings.refund_sent(after.provider, after.amount)
        case "succeeded":
            return postings.refund_succeeded(after.provider, after.amount)
        case "failed":
            return postings.refund_failed(after.provider, after.amount, had_succeeded=step.from_state == "succeeded")
        case "late_effect":
            return postings.late_money_out(after.provider, after.amount)
    return []


def _late_step(record: PaymentRecord, step: Step) -> Step | None:
    """The late effect of an attempt that was recorded in the same change as ``step``."""
    for watched in record.attempts:
        for other in record.histories.get(watched.attempt.attempt_id, ()):
            if other.event == "late_effect" and other.change_id == step.change_id:
                return other
    return None


def holds_match(record: PaymentRecord) -> Iterator[Finding]:
    """The ledger holds what the provider holds for us: the authorization while it is open, and nothing after it."""
    payment = record.payment
    due = payment.amount_authorized if payment.state in HOLDING else 0
    held = _debit(record, accounts.authorized_account(payment.provider))
    against = -_debit(record, accounts.contra_account(payment.provider))
    if not held == against == due:
        yield Finding(payment.payment_id, f"is {payment.state}: must hold {due}, holds {held} against {against}")


def refunds_in_flight_match(record: PaymentRecord) -> Iterator[Finding]:
    """The clearing account of refunds holds what is promised and not confirmed, and nothing else."""
    payment = record.payment
    in_flight = -_debit(record, accounts.refunds_account(payment.provider))
    if in_flight != payment.amount_refund_pending:
        yield Finding(payment.payment_id, f"has {in_flight} in flight, {payment.amount_refund_pending} pending")


def captured_money_is_owed(record: PaymentRecord) -> Iterator[Finding]:
    """The merchant is owed what was captured and came, less its refunds and what disputes may cost or have cost; the
    provider owes us the same, less what is still in flight and what it withdrew, plus what stands in suspense."""
    payment = record.payment
    kept = payment.amount_captured - payment.amount_reversed - payment.amount_refunded
    owed = -_debit(record, accounts.MERCHANT)
    reserved = sum(each.amount for each in record.disputes if each.state != "won" or each.contested)
    due = kept - payment.amount_refund_pending - reserved
    if owed != due:
        yield Finding(payment.payment_id, f"owes {owed} to the merchant, must {due}")
    suspended = -_debit(record, accounts.suspense_account(payment.provider))
    withdrawn = sum(dispute.amount for dispute in record.disputes if _is_withdrawn(dispute))
    receivable = _debit(record, accounts.provider_account(payment.provider))
    if receivable != kept + suspended - withdrawn:
        yield Finding(
            payment.payment_id, f"is owed {receivable} by the provider, must be {kept + suspended - withdrawn}"
        )


def disputes_are_reserved(record: PaymentRecord) -> Iterator[Finding]:
    """The reserve holds what undecided disputes may cost, and the clearing account of disputes what of it the provider
    withdrew; both are empty of what is decided."""
    payment = record.payment
    undecided = [dispute for dispute in record.disputes if dispute.state not in FINAL["dispute"]]
    reserve = -_debit(record, accounts.DISPUTE_RESERVE)
    if reserve != (due := sum(dispute.amount for dispute in undecided)):
        yield Finding(payment.payment_id, f"has {reserve} in reserve, open disputes are over {due}")
    cleared = _debit(record, accounts.disputes_account(payment.provider))
    if cleared != (due := sum(dispute.amount for dispute in undecided if dispute.funds_withdrawn)):
        yield Finding(payment.payment_id, f"has {cleared} withdrawn for disputes, must have {due}")


def _is_withdrawn(dispute: Dispute) -> bool:
    """Whether the provider has taken the money out of what it owes us by the dispute's own course: what it did beside
    that stands in suspense."""
    undecided = dispute.state not in FINAL["dispute"]
    return dispute.state == "lost" or dispute.contested or (undecided and dispute.funds_withdrawn)


def suspense_is_explained(record: PaymentRecord) -> Iterator[Finding]:
    """Money in suspense came with a late effect in history, and each late effect has its rejection and alert. Of a
    dispute it is what the movements that the provider named do not explain."""
    suspense = accounts.suspense_account(record.payment.provider)
    for transfer in record.transfers:
        if suspense in (transfer.debit, transfer.credit) and not _is_late(record, transfer):
            yield Finding(transfer.subject_id, f"version {transfer.version} posted to suspense without a late effect")
    alerts = {refusal.subject_id for refusal in record.refusals if refusal.alert}
    for watched in record.attempts:
        attempt = watched.attempt
        if attempt.late_effect and not {attempt.attempt_id, attempt.payment_id} & alerts:
            yield Finding(attempt.attempt_id, "had a late effect, and no rejection raised an alert")
    for dispute in record.disputes:
        rows = [row for row in record.transfers if row.subject_id == dispute.dispute_id]
        late = any(step.event == "late_effect" for step in record.histories.get(dispute.dispute_id, ()))
        if (late or any(_moves(row, suspense) for row in rows)) and dispute.dispute_id not in alerts:
            yield Finding(dispute.dispute_id, "had a late effect, and no rejection raised an alert")
        if (stands := -sum(_moves(row, suspense) for row in rows)) != (due := suspended(dispute)):
            yield Finding(dispute.dispute_id, f"has {stands} in suspense, its movements leave {due} unexplained")


def _is_late(record: PaymentRecord, transfer: Transfer) -> bool:
    """A dispute's own sum is compared; of anything else a late effect must have brought it."""
    step = record.step(transfer.subject_id, transfer.version)
    if step is None or step.subject == "dispute":
        return step is not None
    return step.event == "late_effect" and _late_step(record, step) is not None


def _debit(record: PaymentRecord, account: str) -> int:
    """What the payment's ledger rows left on an account: debits less credits."""
    return sum(_moves(transfer, account) for transfer in record.transfers)


def _moves(transfer: Transfer, account: str) -> int:
    return transfer.amount * ((transfer.debit == account) - (transfer.credit == account))


def _said(legs: list[Posting]) -> str:
    return ", ".join(f"{p.kind} {p.amount} ({p.debit} from {p.credit})" for p in legs) or "nothing"
