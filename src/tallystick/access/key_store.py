"""API keys in the record: created, listed, rotated and revoked, as the application role.

The text of a key exists only when it is created. The stored hash cannot be turned back into it. Each act about a key is
recorded with who did it: ``actor``, or the account of this machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
from msgspec import Struct
from msgspec.structs import astuple

from tallystick.access.api_key import MintedKey, is_merchant_id, matches, mint_key, parse_key
from tallystick.access.operator import operator_of_shell
from tallystick.access.stored_keys import DeclaredColumns
from tallystick.domain.api_keys import UNDECLARED, KeyDeclaration, KeyKind, Limits
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.errors import TallystickError
from tallystick.kit import atomic_file
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.reads import READS
from tallystick.record.postgres.structs import struct_of

STATEMENTS: Final = sql.load("keys.sql")

#: A command that waits longer for one row waits for a database in trouble.
_COMMAND_TIMEOUT_MS: Final = 10_000

#: The merchant id that operators' keys are stored under; they act for no merchant.
OPERATORS: Final = "operators"


class KeyRefused(TallystickError):
    """The key does not exist or is revoked, or the merchant id or the version of the API is not valid."""


class KeyRow(Struct, frozen=True, kw_only=True):
    """A stored key: everything but its secret. ``api_version``: the version of the API that it is pinned to. The rest
    is what it declares: ``scopes`` None is all, ``limits`` None is no limit in any currency."""

    merchant_id: str
    key_id: str
    created_at: datetime
    revoked_at: datetime | None
    operator: bool
    api_version: str
    kind: KeyKind
    scopes: Sequence[str] | None
    limits: Limits | None


class MerchantProviders(Struct, frozen=True, kw_only=True):
    """A merchant's own choice of providers. None keeps what is stored; ``allow_all`` lifts a stored list."""

    default: str | None = None
    allowed: Sequence[str] | None = None
    allow_all: bool = False


#: Keeps what is stored.
_AS_STORED: Final = MerchantProviders()


async def create_key(
    database_url: str,
    merchant_id: str,
    default_provider: str | None = None,
    *,
    operator: bool = False,
    allowed_providers: Sequence[str] | None = None,
    allow_all_providers: bool = False,
    api_version: str | None = None,
    declared: KeyDeclaration = UNDECLARED,
    actor: str | None = None,
) -> str:
    """A new key of a merchant, who is created if needed. An operator's key opens the operators' endpoints and no
    merchant's. It is pinned to the newest version of the API, or to the given one. Raises KeyRefused, also if the
    merchant's default provider is not one of its allowed providers, or if an operator's key has limits."""
    minted, stored_version = _minted(merchant_id), _stored_version(api_version)
    if operator and declared.limits is not None:
        raise KeyRefused("an operator's key moves no money, and has no limits")
    own = MerchantProviders(default=default_provider, allowed=allowed_providers, allow_all=allow_all_providers)
    async with _transaction(database_url) as connection:
        await _store(
            connection,
            merchant_id,
            minted,
            own,
            operator=operator,
            api_version=stored_version,
            declared=declared,
            actor=_somebody(actor),
        )
    return minted.text


async def rotate_key(database_url: str, merchant_id: str, key_id: str, *, actor: str | None = None) -> str:
    """Replace a key by a new one that declares the same, in one transaction. For an overlap, create first and revoke
    later.

    Raises KeyRefused.
    """
    minted = _minted(merchant_id)
    async with _transaction(database_url) as connection:
        revoked = await _revoke(connection, merchant_id, key_id, _somebody(actor))
        await _store(
            connection,
            merchant_id,
            minted,
            _AS_STORED,
            operator=bool(revoked["operator"]),
            api_version=revoked["api_version"],
            declared=struct_of(revoked, DeclaredColumns).declared(),
            actor=_somebody(actor),
        )
    return minted.text


async def pin_key(
    database_url: str, merchant_id: str, key_id: str, api_version: str, *, actor: str | None = None
) -> None:
    """Pin a key to another version of the API; a process may answer in the old one for ``api_key_cache_ms``. Raises
    KeyRefused."""
    stored_version = _stored_version(api_version)
    async with _transaction(database_url) as connection:
        if await connection.fetchrow(STATEMENTS["pin_key"], merchant_id, key_id, stored_version) is None:
            raise KeyRefused(f"merchant {merchant_id} has no key {key_id} that could be pinned")
        await connection.execute(STATEMENTS["insert_key_act"], merchant_id, key_id, "pinned", _somebody(actor))


async def revoke_key(database_url: str, merchant_id: str, key_id: str, *, actor: str | None = None) -> None:
    """Revoke a key permanently; a process may still accept it for ``api_key_cache_ms``. Raises KeyRefused."""
    async with _transaction(database_url) as connection:
        await _revoke(connection, merchant_id, key_id, _somebody(actor))


async def list_keys(database_url: str, merchant_id: str | None) -> Sequence[KeyRow]:
    """All keys or those of one merchant, including revoked ones."""
    async with _transaction(database_url) as connection:
        rows = await connection.fetch(STATEMENTS["keys"], merchant_id)
    return [_key_row(row) for row in rows]


async def ensure_first_key(database_url: str, file: Path, merchant_id: str) -> str:
    """The key in ``file`` if it is valid here; else a new key, written there and readable by the file's owner only.

    A crash in between leaves an unused key, which is harmless. Raises OSError.
    """
    text = file.read_text(encoding="ascii", errors="replace").strip() if file.exists() else ""
    if not await _opens(database_url, text):
        text = await create_key(database_url, merchant_id)
        atomic_file.replace(file, text)
    return text


def _key_row(row: asyncpg.Record) -> KeyRow:
    declared = struct_of(row, DeclaredColumns).declared()
    return KeyRow(
        merchant_id=row["merchant_id"],
        key_id=row["key_id"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        operator=row["operator"],
        api_version=VERSIONS.date_of(row["api_version"]),
        kind=declared.kind,
        scopes=None if declared.scopes is None else sorted(declared.scopes),
        limits=declared.limits,
    )


def merchant_of(text: str) -> str:
    """The merchant that a key contains. Raises KeyRefused if ``text`` is not a key."""
    key = parse_key(text)
    if key is None:
        raise KeyRefused("that is not an API key")
    return key.merchant_id


async def _opens(database_url: str, text: str) -> bool:
    key = parse_key(text)
    if key is None:
        return False
    async with _transaction(database_url) as connection:
        row = await connection.fetchrow(READS["api_key"], key.merchant_id, key.key_id)
    return row is not None and row["revoked_at"] is None and matches(key.secret, row["secret_hash"])


def _minted(merchant_id: str) -> MintedKey:
    if not is_merchant_id(merchant_id):
        raise KeyRefused("a merchant id is 1-32 of a-z, 0-9 and inner hyphens, and not like a card number")
    return mint_key(merchant_id)


async def _store(
    connection: asyncpg.Connection,
    merchant_id: str,
    minted: MintedKey,
    providers: MerchantProviders,
    *,
    operator: bool,
    api_version: str | None,
    declared: KeyDeclaration,
    actor: str,
) -> None:
    allowed = None if providers.allowed is None else list(providers.allowed)
    stored = await connection.fetchrow(
        STATEMENTS["upsert_merchant"], merchant_id, providers.default, allowed, providers.allow_all
    )
    assert stored is not None, "an upsert returns its row"
    default, allowed = stored["default_provider"], stored["allowed_providers"]
    if default is not None and allowed is not None and default not in allowed:
        raise KeyRefused(f"the default provider of {merchant_id} is not among the providers that it may use")
    await connection.execute(
        STATEMENTS["insert_key"],
        merchant_id,
        minted.key_id,
        minted.secret_hash,
        operator,
        api_version,
        *astuple(DeclaredColumns.of(declared)),
        actor,
    )


def _stored_version(api_version: str | None) -> str | None:
    """The version as it is stored, by default the newest one. Raises KeyRefused."""
    version = VERSIONS.newest if api_version is None else VERSIONS.find(api_version)
    if version is None:
        served = ", ".join(row.date for row in VERSIONS.rows)
        raise KeyRefused(f"the API has no version {api_version}; it has {served}")
    return VERSIONS.stored(version)


async def _revoke(connection: asyncpg.Connection, merchant_id: str, key_id: str, actor: str) -> asyncpg.Record:
    """Revoke, and return whether it was an operator's key, its version as stored, and what it declared."""
    revoked = await connection.fetchrow(STATEMENTS["revoke_key"], merchant_id, key_id)
    if revoked is None:
        raise KeyRefused(f"merchant {merchant_id} has no key {key_id} that could be revoked")
    await connection.execute(STATEMENTS["insert_key_act"], merchant_id, key_id, "revoked", actor)
    return revoked


def _somebody(actor: str | None) -> str:
    return operator_of_shell().name if actor is None else actor


@asynccontextmanager
async def _transaction(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url, command_timeout_ms=_COMMAND_TIMEOUT_MS)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()
