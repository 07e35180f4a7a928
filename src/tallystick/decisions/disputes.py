"""What a provider says of a dispute: its steps, and their postings. Pure.

A dispute never moves its payment. Each of its changes adds a version to the payment all the same, in the same state:
it is decided against the payment's amounts, and its messages have their place in the payment's order.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tallystick import chart
from tallystick.decisions.dispositions import Decided, NotYet
from tallystick.decisions.draft import Draft, Step
from tallystick.decisions.stored import Stored
from tallystick.ids import derived_id
from tallystick.lifecycle import FINAL
from tallystick.model import Dispute
from tallystick.providers.notices import DisputeNotice

#: What moves against its own verdict comes after it.
_AFTER_VERDICT: Final = frozenset({("won", "withdrawn"), ("lost", "returned")})


#: Reasons are codes or a sentence; more goes into every message about the dispute.
REASON_CHARS: Final = 200

#: A dispute may be over more than was captured: the cardholder's currency has moved, or a fee is in it. Over this many
#: times as much it is somebody's mistake, and a person looks before it is in the ledger.
MOST_OF_A_PAYMENT: Final = 2


def decide_dispute(
    stored: Stored, notice: DisputeNotice, account: str, step: Step, rejection_id: str
) -> Decided | NotYet:
    """Make every step that is missing up to where the dispute stands; one that was skipped is made with it."""
    payment = stored.payment
    if payment.state != "captured":
        return NotYet(f"a dispute over a payment that is {payment.state}")
    dispute_id = derived_id("dp", payment.provider, account, notice.reference)
    known = next((dispute for dispute in stored.disputes if dispute.dispute_id == dispute_id), None)
    step = replace(step, occurred_at=notice.occurred_at, provider_reference=notice.reference)
    draft = Draft(payment.merchant_id, payment.payment_id, step)
    expected = ((known or notice).amount, payment.currency)
    others = sum(each.amount for each in stored.disputes if each is not known and each.state != "won")
    sensible = notice.amount > 0 and others + notice.amount <= MOST_OF_A_PAYMENT * payment.amount_captured
    if (notice.amount, notice.currency) != expected or not sensible:
        reason = f"a dispute over {notice.amount} {notice.currency} of {payment.amount_captured} {payment.currency}"
        draft.reject(rejection_id, known or payment, f"dispute_{notice.state}", origin="provider", reason=reason)
        return Decided("conflict", draft.change(outcome=True), reason)
    if (known is None or known.state not in FINAL["dispute"]) and (notice.state, notice.funds) in _AFTER_VERDICT:
        return NotYet(f"money {notice.funds} after a dispute was {notice.state}: the verdict itself comes first")
    if known is not None and known.state in FINAL["dispute"]:
        return _after_the_end(draft, stored, known, notice, rejection_id)
    after = _moved(draft, known or _opened(draft, stored, notice, dispute_id), notice)
    if after is known:
        same = known.state == notice.state
        return Decided("duplicate_effect" if same else "stale")
    draft.move_payment(payment, "dispute_opened" if known is None else "dispute_updated")
    return Decided("applied", draft.change(outcome=True))


def _opened(draft: Draft, stored: Stored, notice: DisputeNotice, dispute_id: str) -> Dispute:
    payment = stored.payment
    dispute = draft.open_dispute(
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
            created_at=draft.step.at,
            updated_at=draft.step.at,
        )
    )
    draft.post(dispute_id, 1, dispute.currency, chart.dispute_opened(dispute.amount))
    return dispute


def _moved(draft: Draft, dispute: Dispute, notice: DisputeNotice) -> Dispute:
    """The dispute after every step that the notice asks for; itself where there is none."""
    provider, amount, currency = dispute.provider, dispute.amount, dispute.currency
    if notice.funds == "withdrawn" and not dispute.funds_withdrawn and notice.state != "lost":
        dispute = draft.move_dispute(dispute, "funds_withdrawn", funds_withdrawn=True)
        draft.post(dispute.dispute_id, dispute.version, currency, chart.dispute_withdrawn(provider, amount))
    if notice.state == "under_review" and dispute.state == "opened":
        dispute = draft.move_dispute(dispute, "under_review")
    if notice.state == "won":
        postings = chart.dispute_won(provider, amount, withdrawn=dispute.funds_withdrawn)
        dispute = draft.move_dispute(dispute, "won", funds_withdrawn=False)
        draft.post(dispute.dispute_id, dispute.version, currency, postings)
    if notice.state == "lost":
        postings = chart.dispute_lost(provider, amount, withdrawn=dispute.funds_withdrawn)
        dispute = draft.move_dispute(dispute, "lost", funds_withdrawn=True)
        draft.post(dispute.dispute_id, dispute.version, currency, postings)
    return dispute


def _after_the_end(draft: Draft, stored: Stored, dispute: Dispute, notice: DisputeNotice, rejection_id: str) -> Decided:
    """A decided dispute: news of earlier states is stale; money that moves once more goes to suspense, once."""
    if notice.state not in FINAL["dispute"]:
        return Decided("stale")
    against = notice.state != dispute.state
    moved = notice.funds or ({"won": "returned", "lost": "withdrawn"}[notice.state] if against else None)
    taken = dispute.state == "won" and not dispute.funds_withdrawn and moved == "withdrawn"
    returned = dispute.state == "lost" and dispute.funds_withdrawn and moved == "returned"
    if not (taken or returned):
        return Decided("duplicate_effect")
    did = "withdrew" if taken else "returned"
    reason = f"the provider {did} {dispute.amount} {dispute.currency} after it had called the dispute {dispute.state}"
    draft.reject(rejection_id, dispute, notice.state, origin="provider", reason=reason)
    after = draft.move_dispute(dispute, "late_effect", funds_withdrawn=taken)
    posting = chart.late_money_out if taken else chart.late_money_in
    draft.post(after.dispute_id, after.version, after.currency, posting(after.provider, after.amount))
    draft.move_payment(stored.payment, "dispute_updated")
    return Decided("applied", draft.change(outcome=True), reason)
