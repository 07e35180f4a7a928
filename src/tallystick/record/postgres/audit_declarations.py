"""Rows about the audit that people declare: restores of the record, and changes of the signing key."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("audit_declarations.sql")


class Restore(Struct, frozen=True, kw_only=True):
    """A declared restore, as stored."""

    number: int
    document: str
    signature: bytes
    declared_at: datetime


class Rotation(Struct, frozen=True, kw_only=True):
    """A change of the signing key, as stored."""

    number: int
    document: str
    old_signature: bytes
    new_signature: bytes
    rotated_at: datetime


async def read_restores(connection: Any) -> list[Restore]:
    """In their order. Raises what asyncpg raises, as all of these do."""
    return structs_of(await connection.fetch(STATEMENTS["restores"]), Restore)


async def insert_restore(connection: Any, document: str, signature: bytes, at: datetime) -> None:
    """Declare a restore. Raises asyncpg.UniqueViolationError where another one was declared just now."""
    await connection.execute(STATEMENTS["insert_restore"], document, signature, at)


async def read_rotations(connection: Any) -> list[Rotation]:
    """In their order."""
    return structs_of(await connection.fetch(STATEMENTS["rotations"]), Rotation)


async def insert_rotation(
    connection: asyncpg.Connection, document: str, old_signature: bytes, new_signature: bytes, at: datetime
) -> None:
    """Change the signing key. Raises asyncpg.UniqueViolationError where it was changed just now."""
    await connection.execute(STATEMENTS["insert_rotation"], document, old_signature, new_signature, at)
