"""Operators' acts in the record: found, listed, and written by what is no change of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.rows import act_row

STATEMENTS: Final = sql.load("acts.sql")


class ActBook:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, operator: str, idempotency_key: str) -> OperatorAct | None:
        """What the operator did under the key."""
        return _act(await self._pool.fetchrow(STATEMENTS["act"], operator, idempotency_key))

    async def by_id(self, act_id: str) -> OperatorAct | None:
        """One act."""
        return _act(await self._pool.fetchrow(STATEMENTS["act_by_id"], act_id))

    async def page(
        self,
        before: str | None,
        limit: int,
        *,
        operator: str | None = None,
        act: str | None = None,
        target: str | None = None,
    ) -> Sequence[OperatorAct]:
        """Acts before this id, the newest first; None matches all."""
        rows = await self._pool.fetch(STATEMENTS["acts"], before, operator, act, target, limit)
        return [found for row in rows if (found := _act(row)) is not None]

    async def record(self, act: OperatorAct) -> None:
        """Record an act that consists in its record alone. Raises asyncpg.UniqueViolationError where its key is
        taken."""
        await insert_act(self._pool, act)


async def insert_act(connection: Any, act: OperatorAct) -> None:
    """As a part of the transaction that carries it out. Raises asyncpg.UniqueViolationError where its key is taken:
    then the transaction must not commit."""
    await connection.execute(STATEMENTS["insert_act"], *act_row(act))


def _act(row: asyncpg.Record | None) -> OperatorAct | None:
    if row is None:
        return None
    held = dict(row)
    for name in ("arguments", "result"):
        held[name] = msgspec.json.decode(held[name])
    return msgspec.convert(held, OperatorAct)
