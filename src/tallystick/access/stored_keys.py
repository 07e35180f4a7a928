"""What authentication reads of a stored API key."""

from __future__ import annotations

import asyncpg
from msgspec import Struct

from tallystick.domain.api_keys import UNDECLARED, KeyDeclaration, KeyKind
from tallystick.record.postgres.reads import READS
from tallystick.record.postgres.structs import struct_of


class StoredKey(Struct, frozen=True, kw_only=True):
    """An API key that is not revoked. ``default_provider``: its merchant's, if configured. ``allowed_providers``: those
    that its merchant may use; None for all. ``operator``: it belongs to an operator of the platform, and to no
    merchant. ``api_version``: the version that it is pinned to, as stored. ``declared``: what it is, and what it is
    for."""

    secret_hash: bytes
    operator: bool
    default_provider: str | None
    allowed_providers: frozenset[str] | None = None
    api_version: str | None = None
    declared: KeyDeclaration = UNDECLARED


class DeclaredColumns(Struct, frozen=True):
    """What a key declares, as its row has it; null is what a key has that declares nothing. The two columns of limits
    go together: a currency, and its amount or null."""

    kind: KeyKind | None
    scopes: list[str] | None
    limit_currencies: list[str] | None
    limit_amounts: list[int | None] | None

    @classmethod
    def of(cls, declared: KeyDeclaration) -> DeclaredColumns:
        """The columns of a declaration."""
        limits = declared.limits
        return cls(
            kind=None if declared.kind == UNDECLARED.kind else declared.kind,
            scopes=None if declared.scopes is None else sorted(declared.scopes),
            limit_currencies=None if limits is None else list(limits),
            limit_amounts=None if limits is None else list(limits.values()),
        )

    def declared(self) -> KeyDeclaration:
        """The declaration. Raises ValueError where the columns of limits do not go together."""
        limits = None
        if self.limit_currencies is not None or self.limit_amounts is not None:
            limits = dict(zip(self.limit_currencies or (), self.limit_amounts or (), strict=True))
        return KeyDeclaration(
            kind=UNDECLARED.kind if self.kind is None else self.kind,
            scopes=None if self.scopes is None else frozenset(self.scopes),
            limits=limits,
        )


class _KeyRow(DeclaredColumns, frozen=True):
    secret_hash: bytes
    operator: bool
    api_version: str | None


class StoredKeys:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find(self, merchant_id: str, key_id: str) -> StoredKey | None:
        """The key; None if it does not exist or is revoked."""
        record = await self._pool.fetchrow(READS["api_key"], merchant_id, key_id)
        if record is None or record["revoked_at"] is not None:
            return None
        key = struct_of(record, _KeyRow)
        merchant = await self._pool.fetchrow(READS["merchant"], merchant_id)
        default_provider: str | None = merchant["default_provider"] if merchant is not None else None
        allowed = merchant["allowed_providers"] if merchant is not None else None
        return StoredKey(
            secret_hash=key.secret_hash,
            operator=key.operator,
            default_provider=default_provider,
            allowed_providers=None if allowed is None else frozenset(allowed),
            api_version=key.api_version,
            declared=key.declared(),
        )
