"""Ways to break a payment by hand, written before the finder that must name each: what is broken, what trace says, and
what ``verify`` says.

A way is tried on two payments of a demonstration, each in a transaction that is rolled back. To add one, add a row.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Way(NamedTuple):
    """``of``: which payments, as a condition on the table ``payment`` under the name ``p``. ``statement`` breaks one:
    {merchant} and {payment} are its ids. ``missing``: the checkpoint that trace names as absent, or None. ``differs``:
    what ``trace --rebuild`` finds broken, or None. ``verify``: the invariant that breaks, or None. One of the three is
    said at least."""

    what: str
    of: str
    statement: str
    missing: str | None = None
    differs: str | None = None
    verify: str | None = None


_OF: Final = "WHERE merchant_id = '{merchant}' AND"

#: The attempt that authorizes the payment.
_CHARGE: Final = f"(SELECT min(attempt_id) FROM attempt {_OF} payment_id = '{{payment}}')"

#: The key of the payment's own request.
_KEY: Final = f"(SELECT idempotency_key FROM attempt {_OF} attempt_id = {_CHARGE})"

#: A payment that was captured at once, and of which nothing else happened.
PAID: Final = (
    "p.state = 'captured' AND p.payment_method = 'sim_ok' AND p.amount_refunded IS NULL AND NOT EXISTS ("
    "SELECT 1 FROM attempt a WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id AND"
    " a.operation <> 'authorize')"
)

#: A payment of which somebody asked for a refund: others are made at the provider, and no key claims them.
REFUNDED: Final = (
    "EXISTS (SELECT 1 FROM refund r JOIN instruction i ON i.merchant_id = r.merchant_id AND i.subject_id = r.refund_id"
    " WHERE r.merchant_id = p.merchant_id AND r.payment_id = p.payment_id AND r.state = 'succeeded')"
)

#: A payment that an event of its provider changed.
BY_EVENT: Final = (
    "EXISTS (SELECT 1 FROM inbox e WHERE e.merchant_id = p.merchant_id AND e.payment_id = p.payment_id"
    " AND e.state = 'applied')"
)

#: Money that came after the payment was closed.
LATE: Final = "p.amount_late > 0"

#: The first applied event of the payment.
_EVENT: Final = (
    "provider_event_id = (SELECT min(provider_event_id) FROM inbox e WHERE e.merchant_id = '{merchant}'"
    " AND e.payment_id = '{payment}' AND e.state = 'applied')"
)

WAYS: Final = (
    Way(
        "the last step of the payment's history is gone",
        PAID,
        f"DELETE FROM transition {_OF} subject_id = '{{payment}}' AND version ="
        f" (SELECT max(version) FROM transition {_OF} subject_id = '{{payment}}')",
        missing="history",
        differs="versions_without_gaps",
        verify="versions_without_gaps",
    ),
    Way(
        "the first step of an attempt's history is gone",
        PAID,
        f"DELETE FROM transition {_OF} subject_id = {_CHARGE} AND version = 1",
        missing="history",
        differs="versions_without_gaps",
        verify="versions_without_gaps",
    ),
    Way(
        "a step has lost the step that its change begins with",
        PAID,
        f"UPDATE transition SET lead_version = 9 {_OF} subject_id = {_CHARGE} AND version = 2",
        missing="history",
        differs="history_replays_to_state",
        verify="history_replays_to_state",
    ),
    Way(
        "an amount in the history is another",
        PAID,
        'UPDATE transition SET change = \'{{"amount_authorized": 1, "amount_captured": 1}}\''
        f" {_OF} subject_id = '{{payment}}' AND version = 2",
        differs="history_replays_to_state",
        verify="history_replays_to_state",
    ),
    Way(
        "the ledger rows of a capture are gone",
        PAID,
        f"DELETE FROM transfer {_OF} stream_id = '{{payment}}'",
        missing="posting",
        differs="postings_follow_the_chart",
        verify="postings_follow_the_chart",
    ),
    Way(
        "a ledger row has another amount",
        PAID,
        f"UPDATE transfer SET amount = amount + 1 {_OF} stream_id = '{{payment}}' AND leg ="
        f" (SELECT max(leg) FROM transfer {_OF} stream_id = '{{payment}}')",
        differs="postings_follow_the_chart",
        verify="postings_follow_the_chart",
    ),
    Way(
        "a balance is another",
        PAID,
        f"UPDATE balance SET credits = credits + 1 {_OF} account = 'merchant' AND currency ="
        f" (SELECT currency FROM payment {_OF} payment_id = '{{payment}}')",
        verify="balances_equal_transfers",
    ),
    Way(
        "the message about a capture was never written",
        PAID,
        f"DELETE FROM outbox {_OF} stream_id = '{{payment}}'",
        missing="message",
        differs="steps_are_told",
        verify="steps_are_told",
    ),
    Way(
        "a message says that the payment failed",
        PAID,
        f"UPDATE outbox SET type = 'payment.failed' {_OF} stream_id = '{{payment}}'",
        missing="message",
        differs="steps_are_told",
        verify="steps_are_told",
    ),
    Way(
        "a message waits for its delivery in no queue",
        f"{PAID} AND EXISTS (SELECT 1 FROM message_delivery d WHERE d.merchant_id = p.merchant_id"
        " AND d.payment_id = p.payment_id)",
        f"UPDATE message_delivery SET state = 'open', closed_at = NULL, next_try_at = now() {_OF}"
        " payment_id = '{payment}'",
        missing="schedule",
    ),
    Way(
        "the recorded answer is gone",
        PAID,
        f"DELETE FROM response {_OF} idempotency_key = {_KEY}",
        missing="recorded answer",
        differs="final_instructions_answered",
        verify="final_instructions_answered",
    ),
    Way(
        "the recorded answer says another amount",
        PAID,
        "UPDATE response SET body = regexp_replace(convert_from(body, 'UTF8'), '\"amount_captured\":[0-9]+',"
        f" '\"amount_captured\":1')::bytea {_OF} idempotency_key = {_KEY}",
        differs="final_instructions_answered",
        verify="final_instructions_answered",
    ),
    Way(
        "the request is gone, and its key is free again",
        PAID,
        f"DELETE FROM instruction {_OF} idempotency_key = {_KEY}",
        missing="request",
        differs="claimed_instructions_have_subject",
        verify="claimed_instructions_have_subject",
    ),
    Way(
        "recovery does not look at an open attempt any more",
        "p.state = 'requires_action'",
        f"UPDATE attempt SET next_check_at = NULL {_OF} payment_id = '{{payment}}'",
        missing="schedule",
        differs="open_attempts_are_watched",
        verify="open_attempts_are_watched",
    ),
    Way(
        "a hold has no deadline",
        "p.state = 'authorized'",
        f"DELETE FROM deadline {_OF} payment_id = '{{payment}}'",
        missing="schedule",
        differs="holds_are_watched",
        verify="holds_are_watched",
    ),
    Way(
        "what the provider answered is gone",
        PAID,
        f"UPDATE transition SET evidence = NULL {_OF} subject_id = {_CHARGE} AND event = 'approved'",
        missing="provider's word",
    ),
    Way(
        "the provider's recorded answer is about another amount",
        PAID,
        "UPDATE transition SET evidence = jsonb_set(evidence::jsonb, '{{verdict,amount}}', '1')::json"
        f" {_OF} subject_id = {_CHARGE} AND event = 'approved'",
        differs="provider_said_so",
    ),
    Way(
        "the row of an attempt is gone",
        PAID,
        f"DELETE FROM attempt {_OF} payment_id = '{{payment}}'",
        missing="stored row",
        verify="claimed_instructions_have_subject",
    ),
    Way(
        "the row of a refund is gone",
        REFUNDED,
        f"DELETE FROM refund {_OF} payment_id = '{{payment}}'",
        missing="stored row",
        differs="refunds_within_captured",
        verify="claimed_instructions_have_subject",
    ),
    Way(
        "a captured payment is stored as authorized",
        PAID,
        f"UPDATE payment SET state = 'authorized' {_OF} payment_id = '{{payment}}'",
        differs="history_replays_to_state",
        verify="history_replays_to_state",
    ),
    Way(
        "nothing says who processed an event",
        BY_EVENT,
        f"DELETE FROM processing WHERE {_EVENT}",
        missing="try",
        verify="events_have_their_story",
    ),
    Way(
        "nothing says that an event has arrived",
        BY_EVENT,
        f"DELETE FROM delivery WHERE {_EVENT}",
        missing="arrival",
        verify="events_have_their_story",
    ),
    Way(
        "nobody was told of money that came late",
        LATE,
        f"DELETE FROM rejection {_OF} stream_id = '{{payment}}'",
        missing="rejection",
        differs="suspense_is_explained",
        verify="suspense_is_explained",
    ),
)

#: Each is tried on so many payments.
PAYMENTS_EACH: Final = 2
