"""The API as processes of its own, and inside this process; a merchant who is its client."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import httpx
from litestar import Litestar

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.api_keys import declaration
from tallystick.interfaces.api.app import create_app
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually, until_ready
from tests.support.ports import free_port

#: Short where tests wait for it. Of what is not answered there is little, and what is answered must be heard in time.
SHORT: dict[str, Any] = {
    "provider_request_timeout_ms": 3_000,
    "provider_connect_timeout_ms": 3_000,
    "send_window_ms": 5_000,
    "settling_time_ms": 100,
    "max_delivery_delay_ms": 100,
    "recovery_interval_ms": 50,
    "recovery_backoff_base_ms": 100,
    "recovery_backoff_cap_ms": 500,
    "pending_poll_ms": 100,
    "api_key_cache_ms": 200,
}


#: Where the application is in the process of the test: a journal's second connection takes part once a hundred changes
#: wait, and to open it takes as long as many a test.
INSIDE: dict[str, Any] = SHORT | {"journal_connections": 1}


#: 32 bytes that protect nothing.
SEALING_KEY = base64.b64encode(b"not a secret: for the tests only").decode()


#: The API in a process of its own, by the environment. A refused address is answered soon: how long a merchant has to
#: wait for it is tested where the addresses are, and here it would be most of what schemathesis takes.
SERVE = (
    "import os; from tallystick.cli.context import settings_from; from tallystick.run.serve import serve;"
    " from tallystick.flows.webhooks.outbound import address_policy; address_policy.REFUSED_STEP_MS = 10;"
    " serve(settings_from())"
)


_WORK = (
    "import asyncio, os; from tallystick.cli.context import settings_from;"
    " from tallystick.kit.logs import configure_logging; configure_logging('info', ());"
    " from tallystick.run.work import work_until_signalled;"
    " asyncio.run(work_until_signalled(settings_from(), os.environ['TALLYSTICK_DATABASE_URL']))"
)


class Stack(NamedTuple):
    """Where everything is."""

    url: str
    simulator_url: str
    database: Database
    log: Path


class Merchant:
    """A merchant with a key, and its HTTP client."""

    def __init__(self, stack: Stack, merchant_id: str) -> None:
        self.merchant_id = merchant_id
        self.api_key = asyncio.run(create_key(stack.database.app_url, merchant_id))
        headers = {"Authorization": f"Bearer {self.api_key}"}
        # Nothing is verified over plain HTTP, and to load certificates takes 34 ms for each merchant.
        self.client = httpx.Client(base_url=stack.url, headers=headers, timeout=60, verify=False)

    def post(self, path: str, body: Any = None, key: str | None = None, **more: Any) -> httpx.Response:
        """POST JSON under a key; a new one unless given."""
        headers = {"Idempotency-Key": key or new_id("req"), **more.pop("headers", {})}
        if body is not None:
            more["json"] = body
        return self.client.post(path, headers=headers, **more)

    def pay(self, method: str = "sim_ok", key: str | None = None, **fields: Any) -> httpx.Response:
        """POST /v1/payments of 10 euros."""
        body = {"amount": 1_000, "currency": "EUR", "payment_method": method} | fields
        return self.post("/v1/payments", body, key)

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        """GET with query parameters."""
        return self.client.get(path, params=parameters)

    def settled(self, path: str, timeout_s: float = 60) -> dict[str, Any]:
        """The thing at ``path`` once it is final; fails when it does not become so."""

        def look() -> dict[str, Any]:
            body: dict[str, Any] = self.get(path).json()
            return body

        return eventually(look, until=lambda body: body["final"], within_s=timeout_s, interval_s=0.1)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers 200; fails when the process ends or takes too long."""
    with httpx.Client(trust_env=False) as http:  # to make one takes longer than a question
        until_ready(process, lambda: http.get(url).raise_for_status())


@contextmanager
def running_stack(new_database: NewDatabase, data_dir: Path) -> Iterator[Stack]:
    """Everything up. Its database is its own: its worker would process what other tests put into theirs. That worker
    looks for work some forty times a second, so that nobody keeps it who does not use it."""
    database = new_database()
    own_dir = Path(tempfile.mkdtemp(prefix="stack-", dir=data_dir))
    port, simulator_port = free_port(), free_port()
    url, simulator_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")},
        **{f"TALLYSTICK_{name.upper()}": str(value) for name, value in SHORT.items()},
        "TALLYSTICK_DATABASE_URL": database.app_url,
        "TALLYSTICK_PORT": str(port),
        "TALLYSTICK_SIMULATOR_URL": simulator_url,
        "TALLYSTICK_SEALING_KEYS": SEALING_KEY,
    }
    books = str(own_dir / "books.sqlite")
    log = own_dir / "stack.log"
    commands = [
        [sys.executable, "-m", "tallystick.lab.acquirer", "--port", str(simulator_port), "--books", books],
        [sys.executable, "-c", SERVE],
        [sys.executable, "-c", _WORK],
    ]
    with log.open("wb") as output:
        processes = [subprocess.Popen(c, env=environment, stdout=output, stderr=output) for c in commands]
    try:
        wait_for(f"{simulator_url}/sim/charges", processes[0])
        wait_for(f"{url}/readyz", processes[1])
        yield Stack(url, simulator_url, database, log)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=40)


class Inside(NamedTuple):
    """The application in this process: faults can be put into its core."""

    app: Litestar
    client: httpx.AsyncClient

    async def pay(self, key: str | None = None, **fields: Any) -> httpx.Response:
        """POST /v1/payments of 10 euros."""
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"} | fields
        return await self.client.post("/v1/payments", json=body, headers={"Idempotency-Key": key or new_id("req")})


@asynccontextmanager
async def inside(database: Database, merchant_id: str, provider: Provider, **settings: Any) -> AsyncIterator[Inside]:
    """The application under httpx's ASGI transport, with one provider of ours."""
    chosen = replace(Settings(data_dir="unused", sealing_keys=SEALING_KEY, **INSIDE), **settings)
    app = create_app(chosen, database.app_url, providers={"simulator": provider})
    key = await create_key(database.app_url, merchant_id)
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)),  # two spellings of the ASGI types
            base_url="http://tallystick.test",
            headers={"Authorization": f"Bearer {key}"},
        ) as client,
    ):
        yield Inside(app, client)


class Desk:
    """An operator at the API."""

    def __init__(self, app: Inside, key: str) -> None:
        self._client = app.client
        self._headers = {"authorization": f"Bearer {key}"}

    async def get(self, path: str) -> httpx.Response:
        """A page, or a list."""
        return await self._client.get(path, headers=self._headers)

    async def post(self, path: str, body: Any, key: str | None = "") -> httpx.Response:
        """Under a new key unless given; None: without one."""
        named = {} if key is None else {"idempotency-key": key or new_id("req")}
        return await self._client.post(path, json=body, headers=self._headers | named)


async def desk_of(app: Inside, database: Database, *scopes: str) -> Desk:
    """An operator with a new key; with these scopes alone, where some are given."""
    declared = declaration("human", scopes)
    return Desk(app, await create_key(database.app_url, OPERATORS, operator=True, declared=declared))


GOOD = b'{"amount": 1000, "currency": "EUR", "payment_method": "sim_ok"}'


def send(merchant: Merchant, path: str = "/v1/payments", **parts: Any) -> httpx.Response:
    """A POST made of parts, each of which may be wrong."""
    headers = {"Content-Type": parts.get("content_type", "application/json")}
    headers["Authorization"] = parts.get("authorization", f"Bearer {merchant.api_key}")
    if (key := parts.get("key", new_id("req"))) is not None:
        headers["Idempotency-Key"] = key
    url = merchant.client.base_url.join(path)
    return httpx.post(url, content=parts.get("content", GOOD), headers=headers, timeout=20, verify=False)


#: What a read of a payment names that its answer does not, as long as there is none.
NO_MEMBERS: Final[dict[str, list[str]]] = {"refunds": [], "disputes": []}


def as_listed(payment: dict[str, Any]) -> dict[str, Any]:
    """A payment that was read by itself, as lists show it: without how far it is reconciled."""
    return {name: value for name, value in payment.items() if name != "reconciliation"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A whole problem document with this code."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["request_id"] == answer.headers["request-id"]
    assert body["type"] == f"urn:tallystick:error:{code}"
    assert {"title", "detail", "retryable", "outcome"} <= body.keys()
    return body
