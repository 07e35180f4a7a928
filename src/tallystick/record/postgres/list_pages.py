"""Which statement lists a merchant's refunds, disputes, events or messages: one for each filter that has an index, so
that a page costs what is on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from tallystick.domain.created_range import CreatedRange
from tallystick.domain.list_filters import EventFilter, MemberFilter, MessageFilter

#: (created at, id) of an entry: the order of a list.
Position = tuple[datetime, str]

#: A statement's name in lists.sql, and its parameters.
Page = tuple[str, list[Any]]

#: Before and after everything that is stored. A bound is never null, so that an index is read from one to the other.
BEFORE_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)
AFTER_ALL: Final = datetime(9999, 1, 1, tzinfo=UTC)

#: Sorts before every id: a position with it is before all entries of its instant.
BEFORE_EVERY_ID: Final = ""


def member_page(kind: str, merchant_id: str, wanted: MemberFilter, before: Position | None, limit: int) -> Page:
    """Of ``kind``: refunds or disputes. ``before``: the last one of the page before."""
    page = _newest_first(merchant_id, wanted, before, limit)
    if wanted.payment_id is not None:
        return f"{kind}_of_payment", [*page, wanted.payment_id, wanted.state]
    return (kind, page) if wanted.state is None else (f"{kind}_in_state", [*page, wanted.state])


def event_page(merchant_id: str, wanted: EventFilter, before: Position | None, limit: int) -> Page:
    """Of providers' events."""
    page = _newest_first(merchant_id, wanted, before, limit)
    return ("events", page) if wanted.payment_id is None else ("events_of_payment", [*page, wanted.payment_id])


def message_page(merchant_id: str, wanted: MessageFilter, after: Position | None, limit: int) -> Page:
    """Of messages, which are listed oldest first. ``after``: the last one of the page before.

    Raises ValueError for a filter with faults: nobody may be made to read a merchant's every message.
    """
    if faults := wanted.faults():
        raise ValueError("; ".join(f"{each.field} {each.detail}" for each in faults))
    since = (wanted.created_gte or BEFORE_ALL, BEFORE_EVERY_ID)
    start = since if after is None else max(since, after)
    page = [merchant_id, *start, wanted.created_lt or AFTER_ALL, limit, wanted.type]
    return ("messages", page) if wanted.payment_id is None else ("messages_of_payment", [*page, wanted.payment_id])


def _newest_first(merchant_id: str, wanted: CreatedRange, before: Position | None, limit: int) -> list[Any]:
    until = (wanted.created_lt or AFTER_ALL, BEFORE_EVERY_ID)
    end = until if before is None else min(until, before)
    return [merchant_id, wanted.created_gte or BEFORE_ALL, *end, limit]
