"""Who has what waits for a person, where the work's own row has no place for it: dead letters, attempts in doubt, late
money, refused webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act

STATEMENTS: Final = sql.load("work_owners.sql")


class WorkOwners:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def of(self, of_list: str, ids: Sequence[str]) -> Mapping[str, str]:
        """Who has these, by their ids; nobody has what is not in it."""
        rows = await self._pool.fetch(STATEMENTS["owners"], list(ids), of_list) if ids else []
        return {row["item_id"]: row["owner"] for row in rows}

    async def owned(self, of_list: str, names: Sequence[str] | None) -> list[str]:
        """The ids that an owner of one of these names has, or anybody (None)."""
        values = (of_list, None if names is None else list(names))
        return [row["item_id"] for row in await self._pool.fetch(STATEMENTS["owned"], *values)]

    async def take(self, of_list: str, owner: str, names: Sequence[str], act: OperatorAct) -> bool:
        """The act's target is the owner's, with the act; False, and nothing is written, where somebody else has it, who
        has none of ``names``. UniqueViolationError where the act's key is taken, here and below."""
        return await self._write("take", act, (act.target, of_list, owner, act.act_id, act.at, list(names)))

    async def hand_on(self, of_list: str, owner: str, act: OperatorAct) -> bool:
        """The act's target is the owner's, whoever has it."""
        return await self._write("hand_on", act, (act.target, of_list, owner, act.act_id, act.at))

    async def give_back(self, of_list: str, owner: str, act: OperatorAct) -> bool:
        """The act's target, which this owner has, is nobody's; False, and nothing is written, where it is not so."""
        return await self._write("give_back", act, (act.target, of_list, owner))

    async def _write(self, statement: str, act: OperatorAct, values: tuple[object, ...]) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(STATEMENTS[statement], *values) is None:
                return False
            await insert_act(connection, act)
            return True
