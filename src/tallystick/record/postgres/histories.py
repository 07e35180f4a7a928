"""The history of many subjects: what replay and the checks of history need."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from tallystick.domain.replay import HistoryStep
from tallystick.record.postgres.invariant_statements import as_list, fetch_all
from tallystick.record.postgres.personal import MISSING, is_sealed, personal_of


async def histories_of(
    connection: asyncpg.Connection, merchant_id: str, subject_ids: Sequence[str]
) -> dict[str, list[HistoryStep]]:
    """The steps of these subjects, by subject, in the order of their versions."""
    rows = await fetch_all(connection, "transitions", merchant_id, *as_list(subject_ids))
    personal = await personal_of(
        connection, {(merchant_id, row["stream_id"]) for row in rows if is_sealed(row["change"])}
    )
    histories: dict[str, list[HistoryStep]] = {}
    seen, steps = "", list[HistoryStep]()
    for row in rows:
        subject_id, version, change_id, subject, stream, from_state, to_state, event, at, change, late, old, kind = row
        if subject_id != seen:
            seen, steps = subject_id, histories.setdefault(subject_id, [])
        if is_sealed(change):
            change = personal.get((merchant_id, stream), MISSING).opened(change, merchant_id, stream)
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
