"""Operators in the record: what each may do, version by version, and what they sign in with.

A version is never changed. What an operator may do now is what the newest version says; a review reads all of them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import asyncpg
from msgspec import Struct

from tallystick.access.roles import Right, Role, rights_of
from tallystick.domain.errors import TallystickError
from tallystick.kit.card_data import looks_like_card_number
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import struct_of, structs_of

STATEMENTS: Final = sql.load("accounts.sql")

#: As short as a name on a list, and never taken for a key, an address or markup.
_OPERATOR_ID: Final = re.compile(r"[a-z][a-z0-9._-]{0,30}[a-z0-9]", re.ASCII)

#: A first sign-in is for the same day: who was not there asks again.
INVITED_FOR: Final = timedelta(hours=24)

#: 192 bits, as text that can be pasted.
_INVITATION_BYTES: Final = 24

#: The two operators that need no second person, because there is none.
BOOTSTRAP_PLACES: Final = 2


class AccountRefused(TallystickError):
    """There is no such operator, there is one already, or this cannot be said of one; nothing was written."""


class Granted(Struct, frozen=True, kw_only=True):
    """What an operator is given. ``merchants``: those that they are limited to; None for all."""

    roles: Sequence[Role]
    merchants: Sequence[str] | None = None
    raw_evidence: bool = False

    def rights(self) -> frozenset[Right]:
        """What it comes to."""
        return rights_of(self.roles, raw_evidence=self.raw_evidence)


class OperatorVersion(Granted, frozen=True, kw_only=True):
    """What an operator may do from ``at`` on, until the next version. ``actor``: who said so; ``request_id``: what a
    second person approved."""

    operator_id: str
    version: int
    state: Literal["active", "disabled"]
    actor: str
    request_id: str | None
    at: datetime

    def may(self, right: Right) -> bool:
        """Whether the operator is active and has the right."""
        return self.state == "active" and right in self.rights()


class Credential(Struct, frozen=True, kw_only=True):
    """What an operator signs in with. ``totp_secret`` is sealed."""

    operator_id: str
    version: int
    password_hash: str | None
    totp_secret: bytes | None
    totp_step: int
    invitation_hash: bytes | None
    invited_until: datetime | None

    def __repr__(self) -> str:
        return f"Credential({self.operator_id!r})"


class Accounts:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    async def find(self, operator_id: str) -> OperatorVersion | None:
        """What the operator may do now."""
        return _version(await self.pool.fetchrow(STATEMENTS["operator"], operator_id))

    async def at(self, operator_id: str, moment: datetime) -> OperatorVersion | None:
        """What the operator might do then; None before there was such an operator."""
        return _version(await self.pool.fetchrow(STATEMENTS["operator_at"], operator_id, moment))

    async def versions(self) -> Sequence[OperatorVersion]:
        """Every version of every operator, by operator and version."""
        return structs_of(await self.pool.fetch(STATEMENTS["operator_versions"]), OperatorVersion)

    async def newest(self) -> Sequence[OperatorVersion]:
        """Every operator as they are now."""
        return list({each.operator_id: each for each in await self.versions()}.values())

    async def credential(self, operator_id: str) -> Credential | None:
        """What the operator signs in with."""
        row = await self.pool.fetchrow(STATEMENTS["credential"], operator_id)
        return None if row is None else struct_of(row, Credential)

    async def last_sign_in(self, operator_id: str) -> datetime | None:
        """When the operator last signed in."""
        at: datetime | None = await self.pool.fetchval(STATEMENTS["last_sign_in"], operator_id)
        return at

    async def bootstrapped(self) -> Sequence[str]:
        """The operators who needed no second person: at most two."""
        return [row["operator_id"] for row in await self.pool.fetch(STATEMENTS["bootstrap"])]


async def insert_version(connection: Any, version: OperatorVersion) -> None:
    """Raises asyncpg.UniqueViolationError where somebody else took the version: then nothing must be committed."""
    await connection.execute(
        STATEMENTS["insert_operator_version"],
        version.operator_id,
        version.version,
        version.state,
        sorted(version.roles),
        None if version.merchants is None else sorted(version.merchants),
        version.raw_evidence,
        version.actor,
        version.request_id,
        version.at,
    )


async def take_bootstrap(connection: Any, place: int, operator_id: str, actor: str, at: datetime) -> None:
    """Raises asyncpg.UniqueViolationError where the place is taken."""
    await connection.execute(STATEMENTS["take_bootstrap"], place, operator_id, actor, at)


async def insert_invitation(connection: Any, operator_id: str, secret_hash: bytes, now: datetime) -> None:
    """Of a new operator. Raises asyncpg.UniqueViolationError where there is one of this name."""
    await connection.execute(STATEMENTS["insert_credential"], operator_id, secret_hash, now + INVITED_FOR, now)


async def reset_credential(
    connection: Any, operator_id: str, secret_hash: bytes, now: datetime, *, version: int | None = None
) -> bool:
    """Password and second factor are forgotten, an invitation takes their place, and every session is over. Returns
    whether the credential was of ``version``, where one is given; otherwise nothing was done."""
    statement = STATEMENTS["reset_credential"]
    done = await connection.fetchval(statement, operator_id, secret_hash, now + INVITED_FOR, now, version)
    if done is None:
        return False
    await end_sessions(connection, operator_id, now)
    return True


async def end_sessions(connection: Any, operator_id: str, now: datetime) -> None:
    """Every session of the operator is over."""
    await connection.execute(STATEMENTS["end_sessions"], operator_id, now)


def new_invitation() -> str:
    """The secret of one first sign-in. It is shown once, and only its hash is kept."""
    return secrets.token_urlsafe(_INVITATION_BYTES)


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a secret that nobody chose: it cannot be searched at any speed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def is_operator_id(text: str) -> bool:
    """Whether ``text`` can name an operator: 2-32 of a-z, 0-9 and inner . _ -, beginning with a letter."""
    return _OPERATOR_ID.fullmatch(text) is not None and not looks_like_card_number(text)


def _version(row: asyncpg.Record | None) -> OperatorVersion | None:
    return None if row is None else struct_of(row, OperatorVersion)
