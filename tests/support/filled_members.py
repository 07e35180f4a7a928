"""A refund, a dispute and an event of a provider for each payment of a filled database."""

from __future__ import annotations

from typing import Final

import psycopg

_REFUNDS: Final = """
INSERT INTO refund (merchant_id, refund_id, payment_id, version, state, amount, currency, provider, created_at,
                    updated_at)
SELECT merchant_id, 're_' || substr(payment_id, 5), payment_id, 2, 'succeeded', 1, currency, provider, created_at,
       created_at
FROM payment
"""

_DISPUTES: Final = """
INSERT INTO dispute (merchant_id, dispute_id, payment_id, version, state, amount, currency, provider,
                     provider_reference, funds_withdrawn, created_at, updated_at)
SELECT merchant_id, 'dp_' || md5(payment_id), payment_id, 2, 'won', 1, currency, provider, 'dp_' || payment_id, false,
       created_at, created_at
FROM payment
"""

_EVENTS: Final = """
INSERT INTO inbox (provider, account, provider_event_id, event_id, type, received_at, merchant_id, payment_id, digest,
                   state, turn, tries, replays, closed_at)
SELECT provider, 'main', 'of_' || payment_id, 'evt_' || substr(payment_id, 5), 'charge.updated', created_at,
       merchant_id, payment_id, 'x', 'applied', 0, 1, 0, created_at
FROM payment
"""


def fill_members(owner_url: str) -> None:
    """Put them there, all final and as old as their payments."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for statement in (_REFUNDS, _DISPUTES, _EVENTS):
            owner.execute(statement)


#: What waits for a person, as of every fifth payment.
_WAITING: Final = (
    """
INSERT INTO inbox (provider, account, provider_event_id, event_id, type, received_at, merchant_id, payment_id, digest,
                   state, turn, tries, replays, closed_at)
SELECT provider, 'main', 'dead_' || payment_id, 'evt_' || md5(payment_id), 'charge.updated', created_at, merchant_id,
       payment_id, 'x', 'dead', 0, 8, 0, created_at
FROM payment WHERE hashtext(payment_id) % 5 = 0
""",
    """
INSERT INTO rejected_case (merchant_id, case_id, rejection_id, from_stream_id, subject, subject_id, subject_state,
                           subject_version, event, tried_by, origin, category, reason, provider, created_at, version,
                           state, escalations, reprocessings, updated_at)
SELECT merchant_id, 'case_' || md5(payment_id), 'rej_' || md5(payment_id), payment_id, 'payment', payment_id, state,
       version, 'captured', 'webhook', 'webhook', 'late', 'too late', provider, created_at, 1, 'open', 0, 0, created_at
FROM payment WHERE hashtext(payment_id) % 5 = 0
""",
    """
UPDATE attempt SET parked_at = now() - hashtext(payment_id) % 1000 * interval '1 s' WHERE hashtext(attempt_id) % 5 = 0
""",
    "UPDATE payment SET amount_late = 1 WHERE hashtext(payment_id) % 5 = 0",
    """
INSERT INTO work_owner (item_id, list, owner, act_id, since)
SELECT event_id, 'dead_letters', 'operator:' || substr(md5(event_id), 1, 1), 'opa_1', received_at
FROM inbox WHERE state = 'dead' AND hashtext(event_id) % 2 = 0
""",
)


def fill_waiting(owner_url: str) -> None:
    """Dead letters, rejected cases, attempts in doubt and late money, thousands of each; half of the dead letters have
    owners."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        for statement in _WAITING:
            owner.execute(statement)
