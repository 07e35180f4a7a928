"""A worker answers a supervisor on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import httpx
import pytest

from tallystick.run.doctor.machine import ports
from tallystick.run.work import work
from tests.support.database import NewDatabase
from tests.support.polling import eventually_async
from tests.support.ports import free_port
from tests.support.runtime import SETTINGS


@asynccontextmanager
async def worker(database_url: str, port: int | None) -> AsyncIterator[httpx.AsyncClient]:
    """A worker that runs in this process, and a client of its port."""
    stop = asyncio.Event()
    running = asyncio.create_task(work(replace(SETTINGS, worker_health_port=port), database_url, stop))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            yield client
    finally:
        stop.set()
        await running


async def status(client: httpx.AsyncClient, path: str) -> int | None:
    """None while nothing listens."""
    try:
        return (await client.get(path)).status_code
    except httpx.TransportError:
        return None


async def test_a_worker_is_ready_while_its_database_serves(new_database: NewDatabase) -> None:
    database = new_database()
    port = free_port()
    async with worker(database.app_url, port) as client:
        await eventually_async(lambda: status(client, "/healthz"), until=lambda found: found == 200)
        assert (await client.get("/healthz")).json() == {"status": "ok", "clocks": []}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["worker_runs"] is True, "its sessions are named as a worker's"
        assert [reading["clock"] for reading in ready.json()["clocks"]] == ["database"]
        assert await status(client, "/v1/payments") == 404
    assert await status(client=httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}"), path="/healthz") is None


async def test_a_worker_on_another_schema_is_not_ready(new_database: NewDatabase) -> None:
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("ALTER TABLE webhook_refusal RENAME TO elsewhere")
    await owner.close()
    async with worker(database.app_url, free_port()) as client:
        await eventually_async(lambda: status(client, "/healthz"), until=lambda found: found == 200)
        expected = {"status": 503, "code": "not_ready", "detail": "The database has another schema; migrate it."}

        async def says_so() -> bool:  # on a busy machine "does not answer" comes first
            answer = await client.get("/readyz")
            return bool((answer.status_code, answer.json()) == (503, expected))

        await eventually_async(says_so)


async def test_doctor_knows_our_own_ports(new_database: NewDatabase) -> None:
    """Beside a live system a port is well used by it; a start is refused all the same."""
    port = free_port()
    settings = replace(SETTINGS, port=free_port(), worker_health_port=port)
    async with worker(new_database().app_url, port) as client:
        await eventually_async(lambda: status(client, "/healthz"), until=lambda found: found == 200)
        assert await ports(settings, None) == []
        [taken] = await ports(settings, "work")
        assert f"port {port}" in taken


async def test_a_port_that_is_taken_ends_the_worker(new_database: NewDatabase) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            await work(replace(SETTINGS, worker_health_port=port), new_database().app_url, asyncio.Event())


async def test_a_worker_tells_of_its_circuits_while_it_runs(new_database: NewDatabase) -> None:
    database = new_database()
    connection = await asyncpg.connect(database.app_url)

    async def told() -> int:
        return int(await connection.fetchval("SELECT count(*) FROM provider_circuit"))

    async with worker(database.app_url, free_port()):
        await eventually_async(told)
    assert await told() == 0, "one that ends has none"
    await connection.close()
