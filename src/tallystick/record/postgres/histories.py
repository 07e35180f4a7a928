"""The history of many subjects: what replay and the checks of history need."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from tallystick.domain.replay import HistoryStep
from tallystick.record.postgres.invariant_statements import as_list, fetch_all


async def histories_of(
    connection: asyncpg.Connection, merchant_id: str, subject_ids: Sequence[str]
) -> dict[str, list[HistoryStep]]:
    """The steps of these subjects, by subject, in the order of their versions."""
    rows = await fetch_all(connection, "transitions", merchant_id, *as_list(subject_ids))
    histories: dict[str, list[HistoryStep]] = {}
    seen, steps = "", list[HistoryStep]()
    for row in rows:
        subject_id, version, change_id, subject, stream, from_state, to_state, event, at, change, late, old, kind = row
        if subject_id != seen:
            seen, steps = subject_id, histories.setdefault(subject_id, [])
        steps.append(
            HistoryStep(  # by place: that is three times as fast as by name
                merchant_id,
                subject_id,
                version,
                change_id,
                subject,
                stream,
                from_state,
                to_state,
                event,
                at,
                change,
                late,
                old,
                kind,
            )
        )
    return histories
