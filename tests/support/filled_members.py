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
