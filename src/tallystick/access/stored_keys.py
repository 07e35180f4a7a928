"""What authentication reads of a stored API key."""

from __future__ import annotations

import asyncpg
from msgspec import Struct

from tallystick.record.postgres.reads import READS
from tallystick.record.postgres.structs import struct_of


class StoredKey(Struct, frozen=True, kw_only=True):
    """An API key that is not revoked. ``default_provider``: its merchant's, if configured. ``allowed_providers``: those
    that its merchant may use; None for all. ``operator``: it belongs to an operator of the platform, and to no
    merchant. ``api_version``: the version that it is pinned to, as stored."""

    secret_hash: bytes
    operator: bool
    default_provider: str | None
    allowed_providers: frozenset[str] | None = None
    api_version: str | None = None


class _KeyRow(Struct, frozen=True):
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
        )
