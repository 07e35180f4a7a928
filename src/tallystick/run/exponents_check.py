"""A start is refused where this release counts a currency otherwise than open payments in it were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg

from tallystick.domain.errors import TallystickError
from tallystick.domain.money import Exponents
from tallystick.kit.logs import get_logger
from tallystick.oversight.exponents import ChangedExponents, changed_exponents
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.hosts import open_connection

log = get_logger("tallystick.run.exponents_check")

#: Every payment is read, some millions in a few seconds. A process that starts does not wait longer than this.
START_LIMIT_MS: Final = 10_000

#: A migration waits: it comes before every start of a new release.
MIGRATION_LIMIT_MS: Final = 600_000


class ExponentsChanged(TallystickError):
    """This release counts a currency otherwise than open payments in it were made. ``code`` begins the message."""

    code: Final = "exponents_changed"

    def __init__(self, changed: Sequence[ChangedExponents]) -> None:
        what = "; ".join(map(_said, changed))
        super().__init__(f"{self.code}: {what}; run the earlier release until these payments are closed")


async def require_unchanged_exponents(database_url: str) -> None:
    """Raises ExponentsChanged, and what connecting to the database raises. Where the record takes longer to read than a
    start may, that is logged and nothing is refused: ``migrate`` and ``verify`` read all of it."""
    connection = await connect(database_url, command_timeout_ms=START_LIMIT_MS)
    try:
        await _require_unchanged(connection)
    except TimeoutError:
        log.warning("the exponents of open payments were not compared", limit_ms=START_LIMIT_MS)
    finally:
        await connection.close()


async def require_unchanged_exponents_as_owner(owner_url: str) -> None:
    """Before a migration, which cannot be taken back, and by the schema's owner: the application's role may be
    missing. Raises ExponentsChanged, and what the database raises."""
    limit_s = MIGRATION_LIMIT_MS / 1000
    connection = await open_connection(owner_url, timeout=limit_s, command_timeout=limit_s)
    try:
        await _require_unchanged(connection)
    finally:
        await connection.close()


async def _require_unchanged(connection: asyncpg.Connection) -> None:
    if changed := await changed_exponents(connection):
        raise ExponentsChanged(changed)


def _said(changed: ChangedExponents) -> str:
    now = "does not have it" if changed.now is None else f"has {_decimals(changed.now)}"
    payments = "1 open payment was" if changed.open_payments == 1 else f"{changed.open_payments} open payments were"
    made = f"{payments} made in {changed.currency} at {changed.provider} with {_decimals(changed.stored)}"
    return f"{made}, and this release {now}"


def _decimals(exponents: Exponents) -> str:
    return f"{exponents.ours} decimals here and {exponents.theirs} there"
