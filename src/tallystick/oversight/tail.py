"""Providers' events as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from tallystick.kit.ids import id_floor
from tallystick.record.postgres.operator_reads import BELOW_EVERY_EVENT, EventRow, OperatorReads

#: An event gets its id before it is committed, on one of several hosts: an older one may come after a newer one, by a
#: batch's commit and the difference of two clocks. So much is read again each time.
READ_AGAIN: Final = timedelta(seconds=15)

#: How often there is a look: a person sees an event within this of its arrival.
LOOK_EVERY_MS: Final = 1_000


async def events_as_they_arrive(
    reads: OperatorReads, last: int, pause: Callable[[], Awaitable[None]]
) -> AsyncIterator[EventRow]:
    """The ``last`` events there are, oldest first, and then without end each new one, once; and once more whenever the
    state of one of the last READ_AGAIN changes. ``pause`` waits between two looks."""
    latest = await reads.latest_events(None, None, 1)
    newest = latest[0].received_at if latest else None
    # What is here before the last ones are read is no new event; what comes between the two is among the last ones.
    shown: dict[str, str] = {}  # the state of each recent event, as it was last printed
    if newest is not None:
        shown = {row.event_id: row.state async for row in reads.events_after(_recent(newest))}
    for row in reversed(await reads.latest_events(None, None, last) if last else []):
        shown[row.event_id] = row.state
        yield row
    while True:
        await pause()
        after = _recent(newest)
        async for row in reads.events_after(after):
            if shown.get(row.event_id) == row.state:
                continue
            shown[row.event_id] = row.state
            newest = row.received_at if newest is None else max(newest, row.received_at)
            yield row
        shown = {event_id: state for event_id, state in shown.items() if event_id > after}


def _recent(newest: datetime | None) -> str:
    """What recent events have ids above."""
    return BELOW_EVERY_EVENT if newest is None else id_floor("evt", newest - READ_AGAIN)
