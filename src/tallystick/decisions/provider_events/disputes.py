"""Decisions on a provider's notice of a dispute. Pure.

A dispute never moves its payment. Each of its changes adds a version to the payment all the same, in the same state:
it is decided against the payment's amounts, and its messages have a place in the payment's order.

Every movement that the provider identifies is posted once, whichever event reports it, and however many there are
(``dispute_position``). If a provider identifies no movements, an event is compared with the position in our ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.late_effects import names_captures
from tallystick.decisions.late_money import is_of_late_money, observe_late_dispute
from tallystick.decisions.provider_events.dispositions import Decided, NotYet
from tallystick.domain.change import Transfer
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.dispute_position import DECIDED, claimed, net_of, suspended, taken_by
from tallystick.domain.late_money import merchants_money
from tallystick.domain.ledger import accounts
from tallystick.domain.left_to_refund import beyond_the_capture
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Dispute
from tallystick.kit.ids import derived_id

#: A movement against the verdict comes after the verdict.
_AFTER_VERDICT: Final = frozenset({("won", "withdrawn"), ("lost", "returned")})

#: Reasons are codes or a sentence, and are part of every message about the dispute.
REASON_CHARS: Final = 200

#: A dispute may be over more than was captured: the exchange rate has moved, or it includes a fee. More than this many
#: times the captured amount is a mistake, and a person decides before it enters the ledger.
MOST_OF_A_PAYMENT: Final = 2

#: The reference of money that was withdrawn before the provider identified its movements.
_UNNAMED: Final = ""


def decide_dispute(
    stored: PaymentSnapshot, notice: DisputeNotice, account: str, cause: Cause, rejection_id: str
) -> Decided | NotYet:
    """Make every missing step up to the dispute's current state, including skipped ones."""
    payment = stored.payment
    captured = merchants_money(payment)
    if payment.state not in PAYMENT.final or (captured == 0 and payment.amount_late == 0):
        return NotYet(f"a dispute over a payment that is {payment.state}")
    dispute_id = derived_id("dp", payment.provider, account, notice.reference)
    known = next((dispute for dispute in stored.disputes if dispute.dispute_id == dispute_id), None)
    if known is None and (captured == 0 or is_of_late_money(payment, notice.reference)):
        cause = replace(cause, occurred_at=notice.occurred_at, provider_reference=notice.reference)
        return observe_late_dispute(stored, notice, cause, rejection_id)
    if known is None and not notice.opens:
        return NotYet("the end of a dispute that is not open here: its opening comes first")
    cause = replace(cause, occurred_at=notice.occurred_at, provider_reference=notice.reference)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    if reason := _implausible(stored, notice, known):
        builder.reject(
            rejection_id,
            known or payment,
            f"dispute_{notice.state}",
            origin="provider",
            category="malformed",
            reason=reason,
        )
        return Decided("conflict", builder.change(must_not_be_shed=True), reason)
    names = notice.movements is not None or (known is not None and bool(known.movements))
    if waits := _waits_for(known, notice) if names else _waits_for_verdict(known, notice):
        return NotYet(waits)
    dispute = known or _opened(builder, stored, notice, dispute_id)
    after = _after_movements(builder, dispute, notice) if names else _moved(builder, dispute, notice)
    if after is known:
        overtaken = known.state != notice.state and notice.state not in DECIDED
        return Decided("stale" if overtaken else "duplicate_effect")
    alarming = alarming_postings(builder.transfers, known, after) or _of_unknown_amount(known, after)
    reason = "; ".join(filter(None, (alarming, _beyond_the_capture(stored, known, after)))) or None
    if reason is not None:
        builder.reject(rejection_id, after, notice.state, origin="provider", category="conflicting", reason=reason)
    builder.move(payment, "dispute_opened" if known is None else "dispute_updated")
    return Decided("applied", builder.change(must_not_be_shed=True), reason)


def _implausible(stored: PaymentSnapshot, notice: DisputeNotice, known: Dispute | None) -> str | None:
    """Why a person must decide; None for a plausible notice. The amount of a movement may differ from the dispute's: a
    provider may add its fee to a second one."""
    payment = stored.payment
    expected = known.amount if known is not None and not notice.movements else notice.amount
    others = sum(each.amount for each in stored.disputes if each is not known and each.state != "won")
    captured = merchants_money(payment)
    # Of a hold that is captured in parts, other parts may still be told.
    most = MOST_OF_A_PAYMENT * (max(captured, payment.amount_authorized) if names_captures(stored) else captured)
    sensible = notice.amount > 0 and others + notice.amount <= most
    sensible = sensible and all(0 < each.amount <= most for each in notice.movements or () if each.amount is not None)
    if (notice.amount, notice.currency) == (expected, payment.currency) and sensible:
        return None
    return f"a dispute over {notice.amount} {notice.currency} of {merchants_money(payment)} {payment.currency}"


def _waits_for(known: Dispute | None, notice: DisputeNotice) -> str | None:
    """Money comes back only after it went: a provider that names its movements tells of that too. An event that lists
    a withdrawal itself waits for none: of what came back, a part may come by itself, and more than once."""
    if any(each.funds == "withdrawn" for each in notice.movements or ()):
        return None
    named = _named(known, notice)
    withdrawn = sum(1 if each.funds == "withdrawn" else -1 for each in named)
    waits = withdrawn < 0 and net_of(named) < 0
    return "money came back that never went: that it was withdrawn comes first" if waits else None


def _waits_for_verdict(known: Dispute | None, notice: DisputeNotice) -> str | None:
    if (known is None or known.state not in DECIDED) and (notice.state, notice.funds) in _AFTER_VERDICT:
        return f"money {notice.funds} after a dispute was {notice.state}: the verdict itself comes first"
    return None


def alarming_postings(posted: Sequence[Transfer], known: Dispute | None, after: Dispute) -> str | None:
    """Why a person should know about what was posted; None for a dispute on its usual course."""
    if after.contested and not (known is not None and known.contested):
        return f"the provider reported the dispute both won and lost: {after.amount} {after.currency} are contested"
    suspense = accounts.suspense_account(after.provider)
    if not any(suspense in (row.debit, row.credit) for row in posted):
        return None
    stands = f"{suspended(after)} {after.currency} of it are in suspense"
    return f"the provider moved money that the dispute's course does not account for: {stands}"


def _beyond_the_capture(stored: PaymentSnapshot, known: Dispute | None, after: Dispute) -> str | None:
    """Why a person should know that the dispute now claims more; None where that is covered by what is left."""
    if claimed(after) <= (0 if known is None else claimed(known)):
        return None
    others = [each for each in stored.disputes if each.dispute_id != after.dispute_id]
    return beyond_the_capture(stored.payment, (*others, after))


def _of_unknown_amount(known: Dispute | None, after: Dispute) -> str | None:
    """What a person should look up: money that moved in another currency, and nobody said how much it is in ours."""
    before = {each.reference for each in known.movements} if known is not None else set()
    unknown = [each for each in after.movements if each.amount is None and each.reference not in before]
    if not unknown:
        return None
    listed = ", ".join(f"{each.moved_amount} {each.moved_currency} {each.funds} ({each.reference})" for each in unknown)
    return f"the provider moved money of unknown amount in {after.currency}, posted nowhere: {listed}"


def _opened(builder: ChangeBuilder, stored: PaymentSnapshot, notice: DisputeNotice, dispute_id: str) -> Dispute:
    payment = stored.payment
    return builder.open(
        Dispute(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            dispute_id=dispute_id,
            version=1,
            state="opened",
            amount=notice.amount,
            currency=notice.currency,
            provider=payment.provider,
            provider_reference=notice.reference,
            reason=None if notice.reason is None else notice.reason[:REASON_CHARS],
            kind=notice.kind,
            created_at=builder.cause.at,
            updated_at=builder.cause.at,
        )
    )


def _named(known: Dispute | None, notice: DisputeNotice) -> tuple[Movement, ...]:
    """Every movement that is known now, each once, in the order in which we learnt of them."""
    held = () if known is None else known.movements
    news = {each.reference: each for each in _new(held, notice)}
    if known is None or held:
        told_again = tuple(news.pop(each.reference, each) for each in held)
        return (*told_again, *news.values())
    out = known.funds_withdrawn and known.state not in DECIDED
    if not out or any(each.funds == "withdrawn" for each in news.values()):
        return tuple(news.values())
    unnamed = Movement(reference=_UNNAMED, funds="withdrawn", amount=known.amount, before_verdict=True)
    return (unnamed, *news.values())


def _new(held: tuple[Movement, ...], notice: DisputeNotice) -> tuple[Movement, ...]:
    """What is told for the first time, and what is told with its amount for the first time."""
    unknown = {each.reference for each in held if each.amount is None}
    known = {each.reference for each in held} - unknown
    told = [each for each in notice.movements or () if each.reference not in known]
    new = [each for each in told if each.reference not in unknown or each.amount is not None]
    return tuple({each.reference: each for each in new}.values())


def _after_movements(builder: ChangeBuilder, dispute: Dispute, notice: DisputeNotice) -> Dispute:
    """The dispute after the reported movements and the verdict; unchanged if nothing is new."""
    dispute = _escalated(builder, dispute, notice)
    named, held = _named(dispute, notice), dispute.movements
    for number, (before, now) in enumerate(zip(held, named, strict=False)):
        if before != now:  # its amount is known at last
            dispute = counted(builder, dispute, movements=(*named[: number + 1], *held[number + 1 :]))
    for number in range(_first_new(held, named, notice), len(named)):
        dispute = counted(builder, dispute, movements=named[: number + 1])
    if notice.state == "under_review" and dispute.state == "opened":
        dispute = builder.move(dispute, "under_review")
    if notice.state not in DECIDED or notice.state == dispute.state:
        return dispute
    if dispute.state in DECIDED:
        return dispute if dispute.contested else counted(builder, dispute, contested=True)
    now_taken = taken_by(notice.state, dispute.movements, dispute.amount, contested=False)
    return builder.move(dispute, notice.state, funds_withdrawn=now_taken > 0)


def _first_new(held: tuple[Movement, ...], named: tuple[Movement, ...], notice: DisputeNotice) -> int:
    """Where the new movements begin. One that stands for money that was out without a name is written with the first
    of them: it is no news of its own."""
    if held:
        return len(held)
    return len(named) - len(_new(held, notice))


def _escalated(builder: ChangeBuilder, dispute: Dispute, notice: DisputeNotice) -> Dispute:
    """An inquiry that is told as a chargeback has become one. A late event of the inquiry changes nothing."""
    becomes = dispute.kind == "inquiry" and notice.kind == "chargeback" and dispute.state not in DECIDED
    return builder.move(dispute, "escalated", kind="chargeback") if becomes else dispute


def counted(builder: ChangeBuilder, dispute: Dispute, **fields: Any) -> Dispute:
    """The step for one new fact about the money, with what it posts. Returns the dispute after it."""
    known = replace(dispute, **fields)
    now_taken = taken_by(known.state, known.movements, known.amount, contested=known.contested)
    known = replace(known, funds_withdrawn=now_taken > 0)
    event = "funds_reported"
    if known.state not in DECIDED and known.funds_withdrawn != dispute.funds_withdrawn:
        event = "funds_withdrawn" if known.funds_withdrawn else "funds_returned"
    elif known.contested != dispute.contested:
        event = "contested"
    elif suspended(known) != suspended(dispute):
        event = "late_movement"
    return builder.move(dispute, event, **fields, funds_withdrawn=known.funds_withdrawn)


def _moved(builder: ChangeBuilder, dispute: Dispute, notice: DisputeNotice) -> Dispute:
    """The dispute after every step of an event without identified movements; unchanged if there is no step."""
    if dispute.state in DECIDED:
        return _after_the_end(builder, dispute, notice)
    dispute = _escalated(builder, dispute, notice)
    if notice.funds == "withdrawn" and not dispute.funds_withdrawn and notice.state != "lost":
        dispute = builder.move(dispute, "funds_withdrawn", funds_withdrawn=True)
    if notice.state == "under_review" and dispute.state == "opened":
        dispute = builder.move(dispute, "under_review")
    if notice.state in DECIDED:
        dispute = builder.move(dispute, notice.state, funds_withdrawn=notice.state == "lost")
    return dispute


def _after_the_end(builder: ChangeBuilder, dispute: Dispute, notice: DisputeNotice) -> Dispute:
    """A decided dispute: notices of earlier states are stale; money that moves again goes to suspense, once."""
    if notice.state not in DECIDED:
        return dispute
    against = notice.state != dispute.state
    moved = notice.funds or ({"won": "returned", "lost": "withdrawn"}[notice.state] if against else None)
    taken = dispute.state == "won" and not dispute.funds_withdrawn and moved == "withdrawn"
    returned = dispute.state == "lost" and dispute.funds_withdrawn and moved == "returned"
    return builder.move(dispute, "late_movement", funds_withdrawn=taken) if taken or returned else dispute
