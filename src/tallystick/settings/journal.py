"""Settings of the journal: how many changes share a transaction, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, ms
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class JournalSettings(Section):
    """Group commit."""

    title: ClassVar[str] = "Journal"

    journal_connections: Annotated[
        int, count("Two: one batch is on its way to disk while the next is written.", le=64)
    ] = 2
    journal_second_batch_changes: Annotated[
        int, count("Beside a batch in flight another starts when this many changes wait: round trips cost.")
    ] = 100
    journal_spacing_ms: Annotated[
        int,
        ms(
            "While more than one change comes for a batch, the next starts this long after the last did: fewer batches"
            " cost less. It adds about as much to a payment's time, and nothing on an idle system. 0 waits never.",
            ge=0,
            le=1_000,
        ),
    ] = 10
    journal_batch_changes: Annotated[int, count("Changes in one transaction: the gain flattens above 200.")] = 400
    journal_batch_rows: Annotated[int, count("Rows in one transaction, so that it stays short.")] = 4_000
    journal_batch_bytes: Annotated[int, count("Bytes in one transaction, for the same reason.", le=1_000_000_000)] = (
        4_194_304
    )
    journal_queue_limit: Annotated[
        int, count("Intents waiting for a batch: seconds of work; above it new ones are refused.")
    ] = 20_000
    journal_commit_timeout_ms: Annotated[
        int, ms("After this the result of an intent is unknown; outcomes are retried six times as long.", ge=100)
    ] = 10_000
