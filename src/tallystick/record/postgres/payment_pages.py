"""Which statement lists payments: one for each filter that has an index, so that a page costs what is on it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from tallystick.domain.payment_filter import PaymentFilter
from tallystick.kit.ids import id_floor

#: Ids are ``pay_`` and hexadecimal digits: before and after all of them, in every collation.
BELOW_EVERY_ID: Final = ""
ABOVE_EVERY_ID: Final = "pay_g"

#: An id is minted a few milliseconds after the instant that is stored as ``created_at``, in the same process. So
#: payments of a range are looked for by their ids to this much beyond its bounds.
ID_TIME_DRIFT: Final = timedelta(seconds=1)

#: Most payments read at a time where those just beyond a range took the places of a page. One is often enough, and a
#: merchant's busy second has thousands: each time twice as many are read.
PASSED_OVER: Final = 1_000

#: No payment is of a year before or after these; times beyond them leave no room for ID_TIME_DRIFT.
FIRST_YEAR: Final = 1971
LAST_YEAR: Final = 9998

#: Every amount there is, for a bound that was not given: a column of 64 bits, without an amount below 1.
SMALLEST_AMOUNT: Final = 0
LARGEST_AMOUNT: Final = 2**63 - 1

#: Most payments: they have an index of their own.
CAPTURED: Final = "captured"


def page_statement(
    merchant_id: str, wanted: PaymentFilter, *, before_id: str | None, limit: int
) -> tuple[str, list[Any]]:
    """The name of a statement in reads.sql, and its parameters. The filter that finds the fewest payments chooses it;
    the others apply to what that one finds. Of a created range it has the ids, to ID_TIME_DRIFT beyond it:
    ``is_created`` drops what is outside. ``before_id``: the last id of the page before.

    Raises ValueError for a filter with faults: nobody may be made to read a merchant's every payment.
    """
    if faults := wanted.faults():
        raise ValueError("; ".join(f"{each.field} {each.detail}" for each in faults))
    page = [merchant_id, _floor(wanted.created_gte), _ceiling(wanted.created_lt, before_id), limit]
    if wanted.unindexed:
        beside = [*_amounts(wanted), wanted.currency, wanted.state]
        if wanted.metadata is not None:
            return "payments_of_metadata", [*page, *wanted.metadata, *beside]
        return "payments_of_amount", [*page, *beside]
    if wanted.idempotency_key is not None:
        return "payments_by_key", [*page, wanted.idempotency_key, wanted.state, wanted.provider_reference]
    if wanted.provider_reference is not None:
        return "payments_by_reference", [*page, wanted.provider_reference, wanted.state]
    if wanted.state is None:
        return "payments", page
    return (
        ("payments_captured", page) if wanted.state == CAPTURED else ("payments_in_rare_state", [*page, wanted.state])
    )


def is_created(wanted: PaymentFilter, created_at: datetime) -> bool:
    """Whether a payment of this time is in the range."""
    since, until = wanted.created_gte, wanted.created_lt
    return (since is None or created_at >= since) and (until is None or created_at < until)


def _amounts(wanted: PaymentFilter) -> tuple[int, int]:
    return (
        SMALLEST_AMOUNT if wanted.amount_gte is None else wanted.amount_gte,
        LARGEST_AMOUNT if wanted.amount_lte is None else wanted.amount_lte,
    )


def _floor(since: datetime | None) -> str:
    if since is None or since.year < FIRST_YEAR:
        return BELOW_EVERY_ID
    return id_floor("pay", since - ID_TIME_DRIFT)


def _ceiling(until: datetime | None, before_id: str | None) -> str:
    if until is None or until.year > LAST_YEAR:
        return before_id or ABOVE_EVERY_ID
    ceiling = id_floor("pay", until + ID_TIME_DRIFT)
    return ceiling if before_id is None else min(ceiling, before_id)
