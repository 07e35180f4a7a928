"""What the events of providers are about. Each connector has a table with a row for every code its provider sends.

A code that is in no table is not guessed at: a person looks at the event, and a release adds the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

EventMeaning = Literal["moves_money", "informs", "not_about_payments"]

#: The meanings and what is done with such an event; published by ``tallystick contract``.
MEANINGS: Final[Mapping[EventMeaning, str]] = {
    "moves_money": "It can change what a payment holds, captured, gave back or lost in a dispute. It is applied; one"
    " that cannot be is a dead letter or a conflict, for a person.",
    "informs": "It is about a payment, and no money moves with it that another event does not report. It is kept.",
    "not_about_payments": "It is about something else. It is acknowledged and kept, even where it cannot be read.",
}


def event_table(
    *, moves_money: Iterable[str], informs: Iterable[str], not_about_payments: Iterable[str]
) -> Mapping[str, EventMeaning]:
    """A provider's table. Raises ValueError for a code in two rows."""
    found: dict[str, EventMeaning] = {}
    for meaning, codes in zip(get_args(EventMeaning), (moves_money, informs, not_about_payments), strict=True):
        for code in codes:
            if code in found:
                raise ValueError(f"{code} has two rows")
            found[code] = meaning
    return found
