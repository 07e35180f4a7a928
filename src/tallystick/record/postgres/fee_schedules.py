"""Schedules of providers' fees in the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from tallystick.domain.fee_schedule import FeeSchedule
from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act

_STATEMENTS: Final = sql.load("fee_schedules.sql")

_ENCODER: Final = msgspec.json.Encoder()


class FeeScheduleBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of_account(self, provider: str, account: str) -> Sequence[FeeSchedule]:
        """All versions of one account, the oldest first."""
        return [_schedule(row) for row in await self._pool.fetch(_STATEMENTS["fee_schedules"], provider, account)]

    async def all(self) -> Sequence[FeeSchedule]:
        """All versions of every account."""
        return [_schedule(row) for row in await self._pool.fetch(_STATEMENTS["all_fee_schedules"])]

    async def add(self, schedule: FeeSchedule, act: OperatorAct) -> None:
        """Keep a version together with who set it. UniqueViolationError where the version or the act's key is taken."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                _STATEMENTS["insert_fee_schedule"],
                schedule.provider,
                schedule.account,
                schedule.version,
                schedule.valid_from,
                schedule.rounding,
                _ENCODER.encode(schedule.rates).decode(),
                schedule.actor,
                schedule.created_at,
            )
            await insert_act(connection, act)


def _schedule(row: Any) -> FeeSchedule:
    return msgspec.convert({**row, "rates": msgspec.json.decode(row["rates"])}, FeeSchedule)
