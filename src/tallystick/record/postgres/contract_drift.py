"""Counts of what providers sent that is not read here as it was sent: by provider, field, kind and hour."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.hourly_counts import HourBook

STATEMENTS: Final = sql.load("contract_drift.sql")


class DriftCount(Struct, frozen=True, kw_only=True):
    """How often a field differed in one way in the hour that begins at ``hour``."""

    provider: str
    field: str
    kind: str
    hour: datetime
    count: int


class DriftCounts(HourBook[DriftCount]):
    """The table of contract drift."""

    ADD, FORGET, READ = STATEMENTS["count_drift"], STATEMENTS["forget_drift"], STATEMENTS["drift"]
    row = DriftCount
