"""Counts of rejected deliveries: by provider, account, reason and hour; and kinds of them, which somebody closes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.hourly_counts import HourBook
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("refusals.sql")


class RefusedWebhooks(Struct, frozen=True, kw_only=True):
    """How many deliveries were rejected for one reason in the hour that begins at ``hour``."""

    provider: str
    account: str
    reason: str
    hour: datetime
    count: int

    @property
    def kind_id(self) -> str:
        """Of the kind: an account's, for one reason. As the statements make it."""
        named = "\x1f".join((self.provider, self.account, self.reason)).encode()
        return f"wrf_{hashlib.md5(named, usedforsecurity=False).hexdigest()}"


class RejectedDeliveryCounts(HourBook[RefusedWebhooks]):
    """The table of rejected deliveries."""

    ADD, FORGET, READ = STATEMENTS["count_refusals"], STATEMENTS["forget_refusals"], STATEMENTS["refusals"]
    row = RefusedWebhooks

    async def of_kind(self, kind_id: str) -> Sequence[RefusedWebhooks]:
        """The counts of one kind, newest first: of 30 days at most, closed or not."""
        return structs_of(await self._pool.fetch(STATEMENTS["refusals_of_kind"], kind_id), RefusedWebhooks)

    async def close(self, newest: RefusedWebhooks, act: OperatorAct) -> bool:
        """What was counted of a kind until ``newest`` waits no more, with the act; False, and nothing is written, where
        as much was closed before. UniqueViolationError where the act's key is taken."""
        named = (newest.provider, newest.account, newest.reason, newest.hour, newest.count)
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(STATEMENTS["close_refusals"], *named, act.act_id, act.at) is None:
                return False
            await insert_act(connection, act)
            return True
