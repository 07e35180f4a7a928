"""The application beside a provider that writes card numbers, and everything that can be read of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, cast

import asyncpg
import httpx

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.app import create_app
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, SHORT
from tests.support.card_bank import Event
from tests.support.card_numbers import readings
from tests.support.database import Database

SETTINGS: Final = replace(
    Settings(data_dir="unused", sealing_keys=SEALING_KEY, **SHORT),
    webhook_tries_limit=3,
    webhook_backoff_base_ms=5,
    webhook_backoff_cap_ms=10,
    recovery_checks_limit=2,
    recovery_backoff_base_ms=10,
    recovery_backoff_cap_ms=20,
    resubmit_limit=1,
    pending_poll_ms=10,
)


class App:
    """The application, and its clients."""

    def __init__(self, runtime: Runtime, client: httpx.AsyncClient, operator: dict[str, str]) -> None:
        self.runtime = runtime
        self.client = client
        self.operator = operator
        self.heard: list[str] = []

    async def post(self, path: str, body: dict[str, Any], *, expect: Sequence[int] = (200, 201, 202)) -> dict[str, Any]:
        answer = await self.client.post(path, json=body, headers={"Idempotency-Key": new_id("req")})
        self.heard.append(answer.text)
        assert answer.status_code in expect, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def pay(self, provider: str, method: str, amount: int = 1000, **fields: Any) -> dict[str, Any]:
        about = {"amount": amount, "currency": "EUR", "payment_method": method, "provider": provider}
        return await self.post("/v1/payments", about | fields, expect=(201, 202))

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = await self.client.get(path, params=query)
        self.heard.append(answer.text)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    async def deliver(self, event: Event) -> None:
        """A provider's delivery, which is taken."""
        request = self.client.build_request("POST", event.path, content=event.body, headers=dict(event.headers))
        request.headers.pop("authorization")
        answer = await self.client.send(request)
        self.heard.append(answer.text)
        assert answer.status_code == 200, answer.text

    async def ask_everything(self, ids: list[str]) -> int:
        """Every endpoint that reads, of everything there is. Returns how many answered."""
        found = 0
        for endpoint in ENDPOINTS:
            if endpoint.method != "GET":
                continue
            headers = self.operator if endpoint.callers == "operator" else {}
            paths = (
                [re.sub(r"\{.*?\}", each, endpoint.path) for each in ids] if "{" in endpoint.path else [endpoint.path]
            )
            for path in paths:
                query = {"payment": ids[0]} if path.endswith(("transfers", "disputes")) else {}
                answer = await self.client.get(path, headers=headers, params=query)
                self.heard.append(f"{dict(answer.headers)} {answer.text}")
                found += answer.status_code == 200
        return found


@asynccontextmanager
async def app_of(database: Database, merchant_id: str, settings: Settings, name: str) -> AsyncIterator[App]:
    connector = PROVIDERS[name].connect(settings)
    assert connector is not None
    app = create_app(settings, database.app_url, providers={name: connector})
    key = await create_key(database.app_url, merchant_id)
    operator = await create_key(database.app_url, OPERATORS, operator=True)
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)),
            base_url="http://tallystick.test",
            headers={"Authorization": f"Bearer {key}"},
        ) as client,
    ):
        yield App(app.state.runtime, client, {"Authorization": f"Bearer {operator}"})


async def rows(database: Database) -> list[str]:
    """Every row of every table, with its bytes read as text."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        tables = await connection.fetch("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                                        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")  # fmt: skip
        found = [row[0] for table in tables for row in await connection.fetch(f"SELECT t::text FROM {table[0]} t")]
    finally:
        await connection.close()
    return [f"{row} {' '.join(_as_text(row))}" for row in found]


def _as_text(row: str) -> Iterator[str]:
    for octets in re.findall(r"\\x((?:[0-9a-f]{2})+)", row):
        yield bytes.fromhex(octets).decode("utf-8", "replace")


def found_in(texts: list[str], number: str) -> list[str]:
    """The texts in which the number can be read."""
    return [text for text in texts if any(number in reading for reading in readings(text))]
