"""What came of comparing one row of a report that posts nothing with the record. Plain data.

It is found as the evidence of a settlement row is, and is no such evidence: nothing is taken, counted, told or posted
of it. So one movement may be in a report and in a settlement file, in either order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from tallystick.domain.settlement_evidence import Reason, Stage, Status
from tallystick.domain.settlement_row import RowKind

#: A webhook that comes after its report comes within minutes, or when somebody has mended what kept it.
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class ReportEvidence(Struct, frozen=True, kw_only=True):
    """A comparison, for ever: fields as in ``Evidence``. ``comparison``: of the report, from 1; that of a later one
    supersedes the one before. ``compared``: each value as (row, record)."""

    file_id: str
    position: int
    comparison: int = 1
    line: int
    currency: str
    kind: RowKind
    row_key: str
    gross: int
    fee: int
    net: int
    status: Status
    reason: Reason
    stage: Stage
    merchant_id: str | None = None
    payment_id: str | None = None
    subject_id: str | None = None
    row_reference: str | None = None
    payment_reference: str | None = None
    compared: Mapping[str, Any]
    parser: str
    parser_version: int
    actor: str
    compared_at: datetime


class OpenReport(Struct, frozen=True, kw_only=True):
    """A report with rows that did not agree with the record when it was compared last."""

    file_id: str
    comparison: int
    first_at: datetime
    last_at: datetime

    def is_due(self, now: datetime) -> bool:
        """Whether it is compared again: after an hour, then when as long has passed again as since the first time, and
        at least once a day."""
        return now >= self.last_at + min(_DAY, max(_HOUR, self.last_at - self.first_at))


class ReportCount(Struct, frozen=True, kw_only=True):
    """How many rows of a report came to this."""

    status: Status
    reason: Reason
    rows: int


class ComparedReport(Struct, frozen=True, kw_only=True):
    """What a report's rows came to. ``exceptions``: the first rows that do not agree."""

    counts: Sequence[ReportCount]
    exceptions: Sequence[ReportEvidence]
