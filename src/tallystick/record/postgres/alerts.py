"""Alerts in the record, and how far each webhook is with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.domain.alert import Alert
from tallystick.domain.kinds import ALERT_KIND
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import reader

STATEMENTS: Final = sql.load("alerts.sql")


class AlertStep(Struct, frozen=True, kw_only=True):
    """One step of an alert's history. ``change``: the fields that it set."""

    version: int
    from_state: str
    to_state: str
    event: str
    actor: str
    at: datetime
    change: dict[str, Any]


class Sending(Struct, frozen=True, kw_only=True):
    """How far one target is with one alert: the newest ``version`` that it took, 0 for none; how often it ``failed``
    since, and when it is tried again."""

    alert_id: str
    target: str
    version: int
    failed: int
    next_try_at: datetime


class AlertBook:
    """Reads over a pool of connections, of the merchant id that alerts are kept under. They raise what asyncpg
    raises."""

    def __init__(self, pool: asyncpg.Pool, merchant_id: str) -> None:
        self._pool = pool
        self.merchant_id = merchant_id

    async def find(self, alert_id: str) -> Alert | None:
        """One alert."""
        row = await self._pool.fetchrow(STATEMENTS["alert"], self.merchant_id, alert_id)
        return None if row is None else reader(ALERT_KIND)(row)

    async def all(self) -> Sequence[Alert]:
        """Every alert there ever was, by id: each once, however often it opened."""
        rows = await self._pool.fetch(STATEMENTS["alerts"], self.merchant_id)
        return [reader(ALERT_KIND)(row) for row in rows]

    async def unresolved(self) -> Sequence[Alert]:
        """Those that are not resolved, by id."""
        rows = await self._pool.fetch(STATEMENTS["alerts_unresolved"], self.merchant_id)
        return [reader(ALERT_KIND)(row) for row in rows]

    async def history(self, alert_id: str) -> Sequence[AlertStep]:
        """Its steps, the oldest first."""
        rows = await self._pool.fetch(STATEMENTS["alert_history"], self.merchant_id, alert_id)
        return [msgspec.convert({**row, "change": msgspec.json.decode(row["change"])}, AlertStep) for row in rows]

    async def sendings(self, targets: Collection[str]) -> dict[tuple[str, str], Sending]:
        """How far these targets are, by (alert, target)."""
        rows = structs_of(await self._pool.fetch(STATEMENTS["sendings"], list(targets)), Sending)
        return {(each.alert_id, each.target): each for each in rows}

    async def note(self, sending: Sending) -> None:
        """Keep how far a target is."""
        await self._pool.execute(STATEMENTS["note_sending"], *msgspec.structs.astuple(sending))
