"""``/metrics``, as Prometheus reads it: of a worker with what the record says, and of an API with several processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tallystick import __version__
from tallystick.domain.measures import INSTRUCTIONS, LABELS, PROVIDER_CALLS
from tallystick.kit.ids import new_id
from tallystick.kit.rounds import ROUND_TIME
from tallystick.oversight.numbers import NUMBERS
from tallystick.run.work import work
from tallystick.settings.load import Settings
from tests.support.acquirer import acquirer
from tests.support.api import SEALING_KEY, SERVE, SHORT, Merchant, Stack, wait_for
from tests.support.database import NewDatabase
from tests.support.polling import eventually, eventually_async
from tests.support.ports import free_port
from tests.support.runtime import SETTINGS, BookedProvider, Client, runtime_of, timed_out

QUICK: dict[str, Any] = {"numbers_interval_ms": 100, "numbers_ledger_interval_ms": 100, "audit_interval_ms": 100}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def values_in(text: str) -> Values:
    """Every sample by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(values: Values, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    return values.get((name, frozenset(labels.items())), 0.0)


@asynccontextmanager
async def worker(database_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A worker that runs in this process, and a client of its metrics."""
    stop = asyncio.Event()
    running = asyncio.create_task(work(settings, database_url, stop))
    address = f"http://127.0.0.1:{settings.worker_metrics_port}"
    try:
        async with httpx.AsyncClient(base_url=address, timeout=10, trust_env=False) as client:
            yield client
    finally:
        stop.set()
        await running


async def scraped(client: httpx.AsyncClient) -> Values:
    """Empty while nothing listens."""
    try:
        return values_in((await client.get("/metrics")).text)
    except httpx.TransportError:
        return {}


async def test_a_worker_shows_what_the_record_says(new_database: NewDatabase, fresh_merchant: str) -> None:
    database, provider = new_database(), BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        await client.create("paid", 1_200)
        await client.create("paid", 1_200)
        provider.after = timed_out
        await client.create("doubtful", 700)
    settings = replace(SETTINGS, worker_metrics_port=free_port(), audit_delay_ms=0, **QUICK)
    async with worker(database.app_url, settings) as http:
        # The worker has no settings of the provider: what is unknown stays so.
        seen = await eventually_async(
            lambda: scraped(http), until=lambda found: value(found, "tallystick_final_payments", window="1h") == 1
        )
        assert (await http.get("/")).status_code == 404
        assert (await http.get("/metrics")).headers["content-type"].startswith("text/plain")
    assert value(seen, "tallystick_unknown_outcomes", currency="EUR", state="asking") == 1
    assert value(seen, "tallystick_unknown_money_minor_units", currency="EUR", state="asking") == 700
    assert value(seen, "tallystick_unknown_seconds", currency="EUR", state="asking") > 0
    assert value(seen, "tallystick_clearing_minor_units", account="provider:simulator", currency="EUR") == 1_200
    assert value(seen, "tallystick_complete_payments", window="1h") == 1
    assert value(seen, "tallystick_waiting", what="attempts_to_settle") == 1
    assert value(seen, "tallystick_numbers_read_timestamp_seconds") > 0
    assert value(seen, "tallystick_processes", role="work", version=__version__) == 1
    labels = {label for _, pairs in seen for label, _ in pairs}
    assert labels <= LABELS | {"le"}
    assert not [pairs for _, pairs in seen if fresh_merchant in dict(pairs).values()], "a merchant is never a label"


async def test_one_worker_alone_shows_what_the_record_says(new_database: NewDatabase) -> None:
    """Two would be added up. The second one takes over when the first one ends."""
    database = new_database()
    first = replace(SETTINGS, worker_metrics_port=free_port(), **QUICK)
    second = replace(SETTINGS, worker_metrics_port=free_port(), **QUICK)
    name = "tallystick_numbers_read_timestamp_seconds"
    async with worker(database.app_url, second) as standby:
        async with worker(database.app_url, first) as other:
            clients = (standby, other)
            for each in clients:
                await eventually_async(partial(scraped, each))
            rounds = await read_rounds()
            await eventually_async(read_rounds, until=lambda number: number > rounds + 6)  # of both workers
            assert len(await shown_by(clients, name)) == 1
        await eventually_async(lambda: shown_by([standby], name))


async def read_rounds() -> int:
    """How often workers of this process have been to read the record, with the watch or without it."""
    return sum(ROUND_TIME["numbers",][:-1])


async def shown_by(clients: Any, name: str) -> list[int]:
    """Which of the clients' workers have the number."""
    return [at for at, each in enumerate(clients) if value(await scraped(each), name)]


async def test_a_port_that_is_taken_ends_the_worker(new_database: NewDatabase) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="ddress already in use"):
            await work(replace(SETTINGS, worker_metrics_port=port), new_database().app_url, asyncio.Event())


async def test_what_is_counted_of_an_instruction(new_database: NewDatabase, fresh_merchant: str) -> None:
    provider = BookedProvider()
    before, calls = dict(INSTRUCTIONS), sum(map(sum, PROVIDER_CALLS.values()))
    async with runtime_of(new_database().app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        await client.create("one", 1_200)
        await client.create("one", 1_200)
        await client.create("one", 1_300)
    new = {labels: number - before.get(labels, 0) for labels, number in INSTRUCTIONS.items()}
    operation = "POST /v1/payments"
    assert {labels: number for labels, number in new.items() if number} == {
        (operation, "first"): 1,
        (operation, "replayed"): 1,
        (operation, "mismatch"): 1,
    }
    assert sum(map(sum, PROVIDER_CALLS.values())) > calls
    assert [labels for labels in PROVIDER_CALLS if labels[1:] == ("authorize", "approved")]


class Api(NamedTuple):
    """An API of several processes."""

    url: str
    metrics: str
    process: subprocess.Popen[bytes]

    def workers(self) -> list[psutil.Process]:
        """Its processes that answer requests."""
        return [each for each in psutil.Process(self.process.pid).children() if each.is_running()]

    def scraped(self) -> Values:
        """What its listener says."""
        return values_in(httpx.get(self.metrics, trust_env=False, timeout=10).text)


@contextmanager
def api_of(place: Stack, processes: int) -> Iterator[Api]:
    metrics_port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")},
        **{f"TALLYSTICK_{name.upper()}": str(value) for name, value in SHORT.items()},
        "TALLYSTICK_DATABASE_URL": place.database.app_url,
        "TALLYSTICK_PORT": str(httpx.URL(place.url).port),
        "TALLYSTICK_METRICS_PORT": str(metrics_port),
        "TALLYSTICK_API_PROCESSES": str(processes),
        "TALLYSTICK_SIMULATOR_URL": place.simulator_url,
        "TALLYSTICK_SEALING_KEYS": SEALING_KEY,
    }
    with place.log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stdout=output, stderr=output)
    try:
        wait_for(f"{place.url}/readyz", process)
        yield Api(place.url, f"http://127.0.0.1:{metrics_port}/metrics", process)
    finally:
        process.terminate()
        process.wait(timeout=40)


@pytest.fixture
def place(new_database: NewDatabase, tmp_path: Path) -> Iterator[Stack]:
    """Where an API of this test alone will be, with an acquirer and no worker."""
    with acquirer(tmp_path / "books.sqlite") as bank:
        yield Stack(f"http://127.0.0.1:{free_port()}", bank.url, new_database(), tmp_path / "api.log")


def test_processes_of_an_api_add_up_also_one_that_was_killed(place: Stack, fresh_merchant: str) -> None:
    with api_of(place, 2) as api:
        merchant = Merchant(place, fresh_merchant)

        def counted() -> float:
            name = "tallystick_instructions_total"
            return value(api.scraped(), name, operation="POST /v1/payments", answer="first")

        def pay(number: int) -> None:
            """Each on a connection of its own: the system gives it to one of the processes."""
            body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
            for _ in range(number):
                headers = {"Authorization": f"Bearer {merchant.api_key}", "Idempotency-Key": new_id("req")}
                answer = httpx.post(f"{api.url}/v1/payments", json=body, headers=headers, timeout=60, verify=False)
                assert answer.status_code == 201, answer.text

        pay(12)
        eventually(counted, until=lambda number: number == 12)
        name = "tallystick_processes"
        eventually(lambda: value(api.scraped(), name, role="serve", version=__version__), until=lambda n: n == 2)
        victim = api.workers()[0]
        victim.send_signal(signal.SIGKILL)
        eventually(lambda: victim.pid not in [each.pid for each in api.workers()])
        assert counted() == 12, "what it had counted stays"
        wait_for(f"{api.url}/readyz", api.process)
        pay(3)
        eventually(counted, until=lambda number: number == 15)
        # Granian waits at its end for a process that is still beginning.
        eventually(lambda: value(api.scraped(), name, role="serve", version=__version__), until=lambda n: n == 2)


def test_every_number_of_the_record_has_a_sentence() -> None:
    assert all(each.family.says.endswith(".") for each in NUMBERS)
    assert {label for each in NUMBERS for label in each.family.labels} <= LABELS
