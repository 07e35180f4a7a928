"""When an attempt may be sent again, given up, or parked. Pure.

The rules cover stalled senders, key lifetimes and providers that lose requests. Sending again is safe only with proof
that nothing happened (``decisions.lookups``), or if the provider deduplicates within its key's lifetime.
"""

from __future__ import annotations

from enum import StrEnum

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.terms import Terms
from tallystick.domain.change import Change
from tallystick.domain.left_to_refund import uncommitted
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Schedule
from tallystick.domain.traits import Traits

#: A key is not trusted through the last tenth of its lifetime: clocks differ, and requests take time.
_KEY_MARGIN = 10


class Move(StrEnum):
    """What recovery does next with an attempt that did not reach the provider, or may not have."""

    RESUBMIT = "resubmit"
    GIVE_UP = "give_up"
    PARK = "park"


def in_doubt(attempt: Attempt, traits: Traits) -> bool:
    """Whether an earlier submission may have had its effect. Then a later submission that was not sent proves
    nothing."""
    if attempt.key_taken or attempt.state == "unknown":
        return True
    return attempt.state == "not_found" and not traits.lookup_is_consistent


def still_possible(stored: PaymentSnapshot, attempt: Attempt) -> bool:
    """Whether an attempt may be sent again by what its payment has become. A refund may not where reversals, disputes
    and refunds have left less than its amount; what it asks for is part of what is pending."""
    return attempt.refund_id is None or uncommitted(stored.payment, stored.disputes) >= 0


def next_move(
    attempt: Attempt,
    traits: Traits,
    *,
    age_ms: int,
    resubmit_limit: int,
    possible: bool = True,
    record_was_restored: bool = False,
) -> Move:
    """For an attempt that is ``not_sent`` or ``not_found``, or ``unknown`` at a provider that has no lookup; ``age_ms``
    since its first submission; ``possible``: as ``still_possible`` says. ``record_was_restored``: from an older
    back-up. An attempt that the record has forgotten may then have carried out the same instruction: that nothing
    happened under this one proves nothing of it."""
    if attempt.key_taken:
        return Move.PARK  # sent again it would be refused again, and nothing proves that nothing happened
    proven = not in_doubt(attempt, traits)
    if not possible or attempt.submissions > resubmit_limit:
        return Move.GIVE_UP if proven and not record_was_restored else Move.PARK
    lifetime_ms = traits.key_lifetime_ms
    key_lives = lifetime_ms is None or age_ms < lifetime_ms - lifetime_ms // _KEY_MARGIN
    if proven or (traits.deduplicates and key_lives):
        return Move.RESUBMIT
    return Move.PARK


def gives_up_waiting(
    attempt: Attempt, traits: Traits, *, age_ms: int, patience_ms: int, record_was_restored: bool = False
) -> bool:
    """Whether an attempt that may not be sent yet, because its provider asked to wait, is given up: its customer has
    left. One that may have had its effect waits on, whatever it takes."""
    return age_ms >= patience_ms and not in_doubt(attempt, traits) and not record_was_restored


def resubmit(stored: PaymentSnapshot, attempt_id: str, cause: Cause, terms: Terms) -> Change:
    """Committed before it is sent, so that a stalled sender of the earlier submission finds itself overtaken. A refund
    is sent on what was left of the payment, so the payment gets a version too: it races with disputes."""
    attempt = stored.attempt(attempt_id)
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause.of(attempt))
    if attempt.refund_id is not None:
        builder.move(stored.payment, "refund_resubmitted")
    builder.move(attempt, "resubmit", schedule=terms.submitted(), submissions=attempt.submissions + 1)
    return builder.change(must_not_be_shed=True)


def park(stored: PaymentSnapshot, attempt_id: str, cause: Cause) -> Change:
    """The bounded schedule is over: put the attempt on the in-doubt list, for a person."""
    attempt = stored.attempt(attempt_id)
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause.of(attempt))
    builder.move(attempt, "parked", schedule=Schedule(parked=True))
    return builder.change(must_not_be_shed=True)
