"""What came of comparing one row of a report that posts nothing with the record. Plain data.

It is found as the evidence of a settlement row is, and is no such evidence: nothing is taken, counted, told or posted
of it. So one movement may be in a report and in a settlement file, in either order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from tallystick.domain.settlement_evidence import Reason, Stage, Status
from tallystick.domain.settlement_row import RowKind


class ReportEvidence(Struct, frozen=True, kw_only=True):
    """A comparison, for ever: fields as in ``Evidence``. ``compared``: each value as (row, record)."""

    file_id: str
    position: int
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


class ReportCount(Struct, frozen=True, kw_only=True):
    """How many rows of a report came to this."""

    status: Status
    reason: Reason
    rows: int


class ComparedReport(Struct, frozen=True, kw_only=True):
    """What a report's rows came to. ``exceptions``: the first rows that do not agree."""

    counts: Sequence[ReportCount]
    exceptions: Sequence[ReportEvidence]
