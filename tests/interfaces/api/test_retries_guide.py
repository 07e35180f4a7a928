"""The Python client of the page on retries, as a reader has it, against a real API: each purchase is charged once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import httpx
import psutil

from tallystick.access.key_store import create_key
from tallystick.kit.ids import new_id
from tests.support import retries_guide
from tests.support.api import SEALING_KEY, SERVE, SHORT, Merchant, Stack, wait_for
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.polling import eventually_async
from tests.support.ports import free_port


class Shop:
    """A merchant's server with the page's client, which reaches the API through a proxy."""

    def __init__(self, merchant: Merchant, stack: Stack, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        self.statuses: list[int] = []
        self._merchant = merchant
        self._books = f"{stack.simulator_url}/sim/charges"
        self._names = retries_guide.client(proxy.url, merchant.api_key)
        self._names["api"].event_hooks = {"response": [lambda answer: self.statuses.append(answer.status_code)]}

    def close(self) -> None:
        self._names["api"].close()

    async def create(self, key: str, method: str) -> tuple[str, str]:
        """One purchase of 10 euros, until the client has done with it: the outcome, and what the shopper sees."""
        body = json.dumps({"amount": 1_000, "currency": "EUR", "payment_method": method}).encode()
        outcome, said = await asyncio.to_thread(self._names["instruct"], "/v1/payments", key, body, False)
        return outcome, self._names["shown"](outcome, said)

    async def charges(self, key: str) -> list[dict[str, Any]]:
        """What the acquirer's own books have of a purchase."""
        found = await asyncio.to_thread(self._merchant.get, "/v1/payments", idempotency_key=key)
        charges: list[dict[str, Any]] = []
        for payment in found.json()["data"]:
            held = await asyncio.to_thread(httpx.get, self._books, params={"payment_id": payment["id"]})
            charges += held.json()["data"]
        return charges


@asynccontextmanager
async def shop(merchant: Merchant, stack: Stack) -> AsyncIterator[Shop]:
    async with faulty_proxy(httpx.URL(stack.url).port or 80) as proxy:
        one = Shop(merchant, stack, proxy)
        try:
            yield one
        finally:
            one.close()


async def test_a_lost_answer(merchant: Merchant, stack: Stack) -> None:
    async with shop(merchant, stack) as one:
        key = new_id("req")
        one.proxy.by_key[key] = [Fault.RESET_CHARGED]
        assert await one.create(key, "sim_ok") == ("final", "paid")
        assert [passage.fault for passage in one.proxy.seen] == [Fault.RESET_CHARGED, Fault.NONE]
        assert len(await one.charges(key)) == 1


async def test_409_while_the_first_request_is_carried_out(merchant: Merchant, stack: Stack) -> None:
    async with shop(merchant, stack) as one:

        async def meets_the_first_request() -> bool:
            key = new_id("req")
            first = asyncio.create_task(asyncio.to_thread(merchant.pay, "sim_slow", key))
            await eventually_async(lambda: one.charges(key))
            assert await one.create(key, "sim_slow") == ("final", "paid")
            await first
            assert len(await one.charges(key)) == 1
            return 409 in one.statuses

        await eventually_async(meets_the_first_request)  # at once, but on a machine that stands still for seconds


async def test_503_until_an_operator_has_acted(merchant: Merchant, stack: Stack) -> None:
    database = stack.database.app_url
    await create_key(database, merchant.merchant_id, default_provider="stripe")  # which is not configured here
    async with shop(merchant, stack) as one:
        key = new_id("req")
        purchase = asyncio.create_task(one.create(key, "sim_ok"))
        await eventually_async(lambda: one.statuses)
        await create_key(database, merchant.merchant_id, default_provider="simulator")
        assert await purchase == ("final", "paid")
        assert (one.statuses[0], one.statuses[-1]) == (503, 201)
        assert len(await one.charges(key)) == 1


#: Of the API that is killed: recovery may look its payment up two seconds later.
KILLED: Final = SHORT | {"send_window_ms": 500, "provider_request_timeout_ms": 1_500, "api_processes": 1}


@contextmanager
def another_api(stack: Stack) -> Iterator[tuple[int, Callable[[], None]]]:
    """One more API process on the same record: its port, and what kills it."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")},
        **{f"TALLYSTICK_{name.upper()}": str(value) for name, value in KILLED.items()},
        "TALLYSTICK_DATABASE_URL": stack.database.app_url,
        "TALLYSTICK_PORT": str(port),
        "TALLYSTICK_SIMULATOR_URL": stack.simulator_url,
        "TALLYSTICK_SEALING_KEYS": SEALING_KEY,
    }
    with stack.log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stdout=output, stderr=output)

    def kill() -> None:
        family = psutil.Process(process.pid)
        for member in (*family.children(recursive=True), family):
            member.kill()
        process.wait(timeout=60)

    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield port, kill
    finally:
        if process.poll() is None:
            kill()


async def test_a_killed_api(merchant: Merchant, stack: Stack) -> None:
    with another_api(stack) as (port, kill):
        async with shop(merchant, stack) as one:
            rest, one.proxy.upstream_port = one.proxy.upstream_port, port
            key = new_id("req")
            purchase = asyncio.create_task(one.create(key, "sim_timeout_charged"))
            await eventually_async(lambda: one.charges(key))
            kill()
            one.proxy.upstream_port = rest
            assert await purchase == ("final", "paid")
            assert len(await one.charges(key)) == 1
