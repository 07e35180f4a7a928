"""Clients of one merchant by two versions of the API, each with a key that is pinned to its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from tallystick.access.key_store import create_key
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.endpoints import SETTINGS
from tests.support.runtime import BookedProvider
from tests.support.second_version import published

PAYMENTS: Final = "/v1/payments"

#: What both versions take for a payment of 10 euros.
CHARGE: Final = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}


class Shop:
    """A merchant's client of one version, which its key is pinned to."""

    def __init__(self, inner: Inside, key: str) -> None:
        self._http = inner.client
        self.key = key

    async def post(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
        """Under a new key unless given."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key or new_id("req")} | named
        return await self._http.post(path, json=body, headers=sent)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """A payment, or a list."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http.get(path, headers={"Authorization": f"Bearer {self.key}"} | named)


class Shops:
    """Two clients of one merchant."""

    def __init__(self, inner: Inside, old: str, new: str) -> None:
        self.inner, self.old, self.new = inner, Shop(inner, old), Shop(inner, new)
        self.runtime: Runtime = inner.app.state.runtime


@asynccontextmanager
async def shops(database: Database, merchant_id: str, provider: BookedProvider | None = None) -> AsyncIterator[Shops]:
    """Both versions served, and a key pinned to each. The first was made before there was a second version."""
    old = await create_key(database.app_url, merchant_id)
    with published():
        new = await create_key(database.app_url, merchant_id)
        async with inside(database, merchant_id, provider or BookedProvider(), **SETTINGS) as inner:
            yield Shops(inner, old, new)
