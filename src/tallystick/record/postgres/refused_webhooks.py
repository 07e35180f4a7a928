"""Counts of rejected deliveries: by provider, account, reason and hour."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.hourly_counts import HourBook

STATEMENTS: Final = sql.load("refusals.sql")


class RefusedWebhooks(Struct, frozen=True, kw_only=True):
    """How many deliveries were rejected for one reason in the hour that begins at ``hour``."""

    provider: str
    account: str
    reason: str
    hour: datetime
    count: int


class RejectedDeliveryCounts(HourBook[RefusedWebhooks]):
    """The table of rejected deliveries."""

    ADD, FORGET, READ = STATEMENTS["count_refusals"], STATEMENTS["forget_refusals"], STATEMENTS["refusals"]
    row = RefusedWebhooks
