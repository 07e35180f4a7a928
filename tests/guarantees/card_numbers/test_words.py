"""Whatever a provider writes card numbers into: none is in the database, in an answer, in a message or in a log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, cast

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.flows.provider_words import MASKED
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.app import create_app
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, SHORT
from tests.support.card_bank import DIALECTS, PLANS, Dialect, Talk, bank_of
from tests.support.card_numbers import WRITTEN, completed, readings
from tests.support.database import DEEP, Database
from tests.support.inbox import drain
from tests.support.runtime import recover

#: Of each provider another one, so that a finding says whose it is.
NUMBERS: Final = {name: completed(f"40000000000{place}{place}90") for place, name in enumerate(DIALECTS, 1)}

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

#: The number of the ways to write a number that begins the round of them.
FIRST: Final = range(len(WRITTEN)) if DEEP else (0,)


class App:
    """The application, and its clients."""

    def __init__(self, runtime: Runtime, client: httpx.AsyncClient, operator: dict[str, str]) -> None:
        self.runtime = runtime
        self.client = client
        self.operator = operator
        self.heard: list[str] = []

    async def pay(self, dialect: Dialect, plan: int) -> str:
        body = {"amount": 1000 + plan, "currency": "EUR", "payment_method": dialect.method, "provider": dialect.name}
        answer = await self.client.post("/v1/payments", json=body, headers={"Idempotency-Key": f"{dialect.name}{plan}"})
        self.heard.append(answer.text)
        assert answer.status_code in (201, 202), answer.text
        return str(answer.json()["id"])

    async def deliver(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        request = self.client.build_request("POST", path, content=body, headers=headers)
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
                query = {"payment_id": ids[0]} if path.endswith(("transfers", "disputes")) else {}
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


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", DIALECTS)
async def test_nothing_keeps_a_card_number(database: Database, fresh_merchant: str, name: str, first: int) -> None:
    dialect, talk = DIALECTS[name], Talk(NUMBERS[name], first)
    merchant = f"{fresh_merchant}{name[:3]}"
    with capture_logs() as logged:
        async with bank_of(dialect, talk) as bank:
            settings = dialect.settings(SETTINGS, bank.url)
            async with app_of(database, merchant, settings, name) as app:
                payments = [await app.pay(dialect, plan) for plan in range(PLANS)]
                await recover(app.runtime, rounds=20)
                [ours] = [each for each, plan in bank.known.values() if plan == 1]
                assert ours.payment_id == payments[1]
                for event in dialect.events(ours, talk):
                    await app.deliver(event.path, event.body, dict(event.headers))
                await drain(app.runtime)
                events = await app.runtime.pool.fetch("SELECT event_id FROM inbox WHERE provider = $1", name)
                assert await app.ask_everything([*payments, *(row[0] for row in events)]) > PLANS + len(events)
    kept = await rows(database)
    assert talk.said > 100 and len(kept) > 50
    assert found_in([talk("the test can see it")], NUMBERS[name])
    assert not found_in(kept, NUMBERS[name])
    assert not found_in(app.heard, NUMBERS[name])
    assert not found_in([str(line) for line in logged], NUMBERS[name])
    alerts = [line for line in logged if line["event"] == "card data in what a provider said"]
    said = Counter((line["provider"], line["account"], line["what"]) for line in alerts)
    assert said[name, "main", MASKED] == 2, "one at once, and one for all others when the process ends"
    assert max(said.values()) == 2
