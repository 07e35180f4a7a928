"""What operators moved alone, by day and currency. Each act takes the next place of its day: of two that counted on the
same sum, one is committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("moved_alone.sql")


class PlaceTaken(Exception):
    """Another act of the operator took the place: nothing of this transaction must be committed, and the sum is looked
    at again."""


class MovedOn(Struct, frozen=True):
    """What an operator moved alone on one day in one currency, in minor units, with how many acts."""

    acts: int = 0
    amount: int = 0


class MovedAlone:
    """Over a connection, whose transaction the acts are of, or a pool to look alone. Raises what asyncpg raises."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def on(self, operator: str, day: date, currencies: Collection[str]) -> Mapping[str, MovedOn]:
        """By currency. ``day``: in UTC."""
        rows = await self._connection.fetch(_STATEMENTS["moved_on"], operator, day, sorted(currencies))
        found = {row["currency"]: MovedOn(row["acts"], row["amount"]) for row in rows}
        return {currency: found.get(currency, MovedOn()) for currency in currencies}

    async def add(self, act: OperatorAct, day: date, currency: str, before: MovedOn, amount: int) -> None:
        """The act moves so much more than ``before``. Raises PlaceTaken."""
        given = (act.operator, day, currency, before.acts + 1, amount, act.act_id, act.at)
        try:
            await self._connection.execute(_STATEMENTS["insert_moved"], *given)
        except asyncpg.UniqueViolationError:
            raise PlaceTaken(f"{act.operator} on {day}, {currency}") from None
