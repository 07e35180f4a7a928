"""Who is calling: a bearer key, looked up, compared in constant time, and remembered for a moment."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from tallystick.access import api_key
from tallystick.access.stored_keys import StoredKeys
from tallystick.domain.api_keys import UNDECLARED, KeyDeclaration
from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.kit.clock import monotonic_ms

#: RFC 6750 section 2.1 (b64token); the scheme's name is case-insensitive (RFC 9110 section 11.1).
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]{1,512}=*) *")

#: Compared with for an unknown key id, so that guessing ids takes as long as guessing secrets.
_NO_HASH: Final = bytes(32)

#: Keys remembered in one process, at about 500 bytes each; beyond it expired ones are dropped.
_MAX_REMEMBERED: Final = 10_000


class Caller(Struct, frozen=True):
    """The owner of an API key. ``default_provider``: the merchant's, if configured. ``operator``: the key belongs to
    the platform's own staff, and to no merchant. ``allowed_providers``: those that the merchant may use; None for
    all. ``version``: the one that the key is pinned to; None where this release does not serve it. ``declared``: what
    the key is, and what it is for."""

    merchant_id: str
    key_id: str
    default_provider: str | None
    operator: bool = False
    allowed_providers: frozenset[str] | None = None
    version: ApiVersion | None = None
    declared: KeyDeclaration = UNDECLARED


class _Known(Struct, frozen=True):
    caller: Caller
    secret_hash: bytes
    until_ms: int


class Authenticator:
    """Finds callers. A key that was found is remembered for ``cache_ms``: for that long a revoked one still works."""

    def __init__(self, stored: StoredKeys, cache_ms: int, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self._stored = stored
        self._cache_ms = cache_ms
        self._now_ms = now_ms
        self._known: dict[tuple[str, str], _Known] = {}
        self._loading: dict[tuple[str, str], asyncio.Task[_Known | None]] = {}

    async def caller(self, authorizations: Sequence[str]) -> Caller | None:
        """The caller of a request with these Authorization headers; None without exactly one valid key.

        Raises what the database raises.
        """
        bearer = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        key = api_key.parse_key(bearer.group(1)) if bearer else None
        if key is None:
            return None
        slot = (key.merchant_id, key.key_id)
        known = self._known.get(slot)
        if known is None or known.until_ms <= self._now_ms():
            known = await self._load(slot)
        if not api_key.matches(key.secret, known.secret_hash if known else _NO_HASH):
            return None
        return known.caller if known else None

    async def _load(self, slot: tuple[str, str]) -> _Known | None:
        """One query at a time for each key: an expiry under load must not become a stampede."""
        task = self._loading.get(slot)
        if task is None:
            task = asyncio.create_task(self._read(slot))
            self._loading[slot] = task
            task.add_done_callback(lambda done: self._loaded(slot, done))
        return await asyncio.shield(task)

    def _loaded(self, slot: tuple[str, str], task: asyncio.Task[Any]) -> None:
        self._loading.pop(slot, None)
        if not task.cancelled():
            task.exception()  # retrieved: a request that waited has it, or has gone

    async def _read(self, slot: tuple[str, str]) -> _Known | None:
        until_ms = self._now_ms() + self._cache_ms
        stored = await self._stored.find(*slot)
        if stored is None:
            self._known.pop(slot, None)
            return None
        known = _Known(
            caller=Caller(
                *slot,
                stored.default_provider,
                stored.operator,
                stored.allowed_providers,
                VERSIONS.of_stored(stored.api_version),
                stored.declared,
            ),
            secret_hash=stored.secret_hash,
            until_ms=until_ms,
        )
        if len(self._known) >= _MAX_REMEMBERED:
            self._forget_expired()
        self._known[slot] = known
        return known

    def _forget_expired(self) -> None:
        now_ms = self._now_ms()
        self._known = {slot: known for slot, known in self._known.items() if known.until_ms > now_ms}
