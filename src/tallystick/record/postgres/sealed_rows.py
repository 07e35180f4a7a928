"""The acts on sealing keys, and the rows that hold sealed values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.arrival_keys import unwrapped
from tallystick.record.sealing import delivery_row, payment_row, secret_row

_STATEMENTS: Final = sql.load("sealing.sql")

#: Rows of each kind that are opened before a key is registered: a wrong key opens none of them.
SAMPLE_ROWS: Final = 20

Connection = asyncpg.Connection | PoolConnectionProxy

#: What can become of a key. A retired one opens values as before where it is still given; it seals no new ones.
Act = Literal["registered", "retired"]


class NewKeyAct(Struct, frozen=True, kw_only=True):
    """What becomes of a key. ``fingerprint`` is None for a key that was never registered."""

    act: Act
    key_id: bytes
    fingerprint: bytes | None
    actor: str
    reason: str | None = None


class KeyAct(NewKeyAct, frozen=True, kw_only=True):
    """One act, as stored. ``number`` counts from 1."""

    number: int
    at: datetime


class SealedValue(NamedTuple):
    """A sealed value as stored, and the row that it is bound to."""

    about: bytes
    sealed: bytes


class SealedBy(Struct, frozen=True, kw_only=True):
    """How many values one key sealed."""

    endpoint_secrets: int
    kept_events: int
    kept_answers: int
    next_actions: int
    provider_names: int

    def total(self) -> int:
        """All of them."""
        return sum(msgspec.structs.astuple(self))


class _NumberTaken(Exception):
    """Rolls the transaction back."""


async def key_acts(connection: Connection) -> list[KeyAct]:
    """All of them, oldest first. Raises what asyncpg raises; UndefinedTableError before the migration."""
    return [KeyAct(**dict(record)) for record in await connection.fetch(_STATEMENTS["acts"])]


async def record_acts(
    connection: Connection,
    first_number: int,
    acts: Sequence[NewKeyAct],
    shift_ms: int,
    by: OperatorAct | None = None,
) -> bool:
    """Write acts, all or nothing, from a number on, and with them the act of the operator who asked for them (``by``).
    False where another process took one of the numbers. Raises what asyncpg raises: UniqueViolationError where the
    operator's key is taken."""
    try:
        async with connection.transaction():
            for number, each in enumerate(acts, first_number):
                values = (number, each.act, each.key_id, each.fingerprint, each.actor, each.reason, shift_ms)
                if await connection.fetchval(_STATEMENTS["record_act"], *values) is None:
                    raise _NumberTaken
            if by is not None:
                await insert_act(connection, by)
    except _NumberTaken:
        return False
    return True


async def sample_of_bytes(connection: Connection) -> list[SealedValue]:
    """Some secrets of endpoints and some kept events: none only where there are none. Raises what asyncpg raises."""
    secrets = await connection.fetch(_STATEMENTS["sealed_secrets"], SAMPLE_ROWS)
    found = [SealedValue(secret_row(*record[:3]), record[3]) for record in secrets]
    for name in ("first_deliveries", "last_deliveries"):
        deliveries = await connection.fetch(_STATEMENTS[name], SAMPLE_ROWS)
        found += [
            SealedValue(delivery_row(*record[:4]), unwrapped(record[5], record[4], tuple(record[:4])))
            for record in deliveries
        ]
    return found


async def sample_of_actions(connection: Connection) -> list[SealedValue]:
    """Some payers' next actions: none only where there are none. It may read every payment. Raises what asyncpg
    raises."""
    actions = await connection.fetch(_STATEMENTS["sealed_actions"], SAMPLE_ROWS)
    return [SealedValue(payment_row(*record[:2]), _bytes(record[2])) for record in actions]


async def sealed_by(connection: Connection, key_id: bytes) -> SealedBy:
    """Reads every sealed value. Raises what asyncpg raises."""
    counts = {name: await connection.fetchval(_STATEMENTS[name], key_id) for name in SealedBy.__struct_fields__}
    return SealedBy(**counts)


def _bytes(text: str) -> bytes:
    """A sealed value of a JSON field; empty where it is not one."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
