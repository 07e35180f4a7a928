"""Everything on one machine: first start, a payment, a drain under load, a kill without warning, and the next start."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tallystick.run.supervisor import EXIT_AWAY
from tests.support.clusters import Clusters
from tests.support.commands import Up, is_gone, run_process
from tests.support.database import DEEP
from tests.support.pages import Browser
from tests.support.polling import PATIENCE_S, eventually, eventually_async

#: Clients that pay as fast as they are answered while the drain begins.
CLIENTS = 12

#: How long the last start waits for a provider that does not answer: far longer than a hurried end takes.
HELD_MS = 60_000

#: Beyond the slow answers of the acquirer, however busy the machine: what is cut off in the drain has no answer.
PATIENT = {
    "provider_request_timeout_ms": "60000",
    "provider_connect_timeout_ms": "20000",
    "provider_wait_ms": "20000",
    "drain_timeout_ms": "60000",
}

#: An end that waits for requests, on a busy machine.
DRAIN_S = 90

#: Answers before the drain begins.
ANSWERS = 21


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name: a Unix socket's name is at most 107 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _pay(up: Up, key: str, method: str = "sim_ok") -> httpx.Response:
    return httpx.post(f"{up.address}/v1/payments", json=_body(method), headers=_headers(up.key, key), timeout=60)


def _body(method: str) -> dict[str, object]:
    return {"amount": 1_999, "currency": "EUR", "payment_method": method}


def _headers(api_key: str, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}", "Idempotency-Key": key}


@pytest.mark.timeout(600)  # two starts and ends, with depth three
def test_from_the_first_start_to_the_next(home: Path) -> None:
    """One platform's life; its parts in one test because each start costs seconds."""
    data_dir = home / "d"
    with Up(data_dir, **PATIENT) as up:
        _first_run_key_is_private(up)
        _a_payment_and_its_replay(up)
        _a_second_one_is_refused(up, home)
        if DEEP:  # without depth other suites do these, in processes that they start anyway
            _a_customer_and_a_dispute_come_by_webhook(up)
            _a_dead_worker_is_started_again(up)
            _a_role_that_starts_too_early_is_started_again(up)
        answered = _drain_under_load(up)
    _nothing_is_open(data_dir, answered)

    sealing_key = data_dir / "sealing.key"
    sealing_key.rename(home / "kept")
    up = Up(data_dir)
    _is_not_ready_for_want_of_its_sealing_key(up)
    (home / "kept").rename(sealing_key)  # the key is put back, and the platform goes on by itself
    with up:
        replay = _pay(up, "first")
        assert replay.headers["Idempotent-Replayed"] == "true", "the record outlives the process"
        _a_kill_leaves_nothing(up)

    if not DEEP:
        return
    with Up(data_dir, provider_request_timeout_ms=str(HELD_MS)) as up:
        assert _pay(up, "after-the-kill").status_code == 201
        assert run_process("verify", "--data-dir", str(data_dir)).code == 0
        _a_second_signal_does_not_wait(up)


def _is_not_ready_for_want_of_its_sealing_key(up: Up) -> None:
    def says() -> str:
        try:
            return str(httpx.get(f"{up.address}/readyz", timeout=2).json().get("detail"))
        except httpx.TransportError:
            return ""

    said = eventually(says, until=lambda detail: "sealing.key is missing from the data directory" in detail)
    assert f"not ready: {said}" in up.said(), "the same words on the terminal"
    assert not (up.data_dir / "sealing.key").exists(), "and no new key"


def _first_run_key_is_private(up: Up) -> None:
    file = up.data_dir / "api-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert up.key.startswith("tsk_demo_")
    eventually(lambda: up.address in up.said() and str(file) in up.said())
    assert up.key not in up.said()


def _a_payment_and_its_replay(up: Up) -> None:
    first, second = _pay(up, "first"), _pay(up, "first")
    assert (first.status_code, first.json()["state"]) == (201, "captured")
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Idempotent-Replayed"] == "true"


def _a_customer_and_a_dispute_come_by_webhook(up: Up) -> None:
    """The next look-up would be a minute later; a dispute is looked up by nobody."""
    payment = _pay(up, "acts", "sim_action_required").json()
    browser = Browser(f"http://127.0.0.1:{up.simulator_port}")
    browser.press(browser.open(payment["next_action"]["url"]), "Complete the payment")
    browser.close()

    def got(path: str) -> dict[str, Any]:
        found: dict[str, Any] = up.http.get(f"{up.address}{path}", headers=_headers(up.key, "none")).json()
        return found

    eventually(lambda: got(f"/v1/payments/{payment['id']}")["state"], until=lambda state: state == "captured")
    done = run_process("trigger", "dispute", payment["id"], "--data-dir", str(up.data_dir))
    assert done.code == 0 and "arrives  dispute.opened at once" in done.out, done
    disputed = f"/v1/disputes?payment={payment['id']}"
    eventually(lambda: [each["state"] for each in got(disputed)["data"]], until=lambda states: states == ["opened"])


def _a_second_one_is_refused(up: Up, home: Path) -> None:
    same_directory = run_process("up", "--data-dir", str(up.data_dir))
    assert same_directory.code == 2 and "Traceback" not in same_directory.err
    assert "already running on" in same_directory.err
    if DEEP:
        same_port = run_process("up", "--data-dir", str(home / "e"), "--port", str(up.port))
        assert same_port.code == 2 and f"port {up.port}" in same_port.err and "Traceback" not in same_port.err
    assert up.server_pid() is not None


def _a_dead_worker_is_started_again(up: Up) -> None:
    before = up.children()
    assert set(before) == {"serve", "work", "simulate"}
    before["work"].kill()
    eventually(lambda: up.children().get("work", before["work"]).pid != before["work"].pid)
    assert "work exited with -9; restarting" in up.said()


def _a_role_that_starts_too_early_is_started_again(up: Up) -> None:
    """A database that recovers, or has no connection left, says nothing about the configuration."""
    with EmbeddedPostgres(up.data_dir) as postgres:
        asyncio.run(_start_without_a_connection(up, postgres.urls().owner_url))
    eventually(lambda: _is_up(up))


async def _start_without_a_connection(up: Up, owner_url: str) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        up.children()["serve"].kill()
        await eventually_async(lambda: f"serve exited with {EXIT_AWAY}; restarting" in up.said())
        await connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
    finally:
        await connection.close()


def _is_up(up: Up) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{up.address}/readyz", timeout=5).status_code == 200
    return False


def _drain_under_load(up: Up) -> list[str]:
    """SIGTERM while payments are under way: every answer that began arrives. Returns the keys that were answered."""
    family = up.family()
    ends, answered = asyncio.run(_load(up))
    assert up.process.wait(DRAIN_S) == 0
    assert all(is_gone(process) for process in family)
    assert up.server_pid() is None
    assert ends["slow 201"] == 4, "requests that were in flight when the signal came have their answers"
    assert ends["201"] >= ANSWERS
    # A server that stops closes idle connections, and a request may be on its way to one just then: the client
    # cannot know, and asks again with its key. Anything but that, or a closed door, would be a lost request.
    assert set(ends) <= {"201", "slow 201", "ConnectError", "RemoteProtocolError", "ReadError"}, ends
    assert ends["RemoteProtocolError"] + ends["ReadError"] <= CLIENTS
    return answered


async def _load(up: Up) -> tuple[Counter[str], list[str]]:
    ends: Counter[str] = Counter()
    answered: list[str] = []
    api_key = up.key

    async def one(client: httpx.AsyncClient, key: str, method: str, name: str) -> bool:
        try:
            url = f"{up.address}/v1/payments"
            response = await client.post(url, json=_body(method), headers=_headers(api_key, key))
        except httpx.TransportError as error:
            ends[type(error).__name__] += 1
            return False
        ends[f"{name}{response.status_code}"] += 1
        answered.append(key)
        return True

    async def busy(client: httpx.AsyncClient, name: int) -> None:
        number = 0
        while await one(client, f"load-{name}-{number}", "sim_ok", ""):
            number += 1

    async with httpx.AsyncClient(timeout=60) as client:
        before = up.charges()
        slow = [asyncio.create_task(one(client, f"slow-{n}", "sim_slow", "slow ")) for n in range(4)]
        # Until they are with the acquirer.
        await eventually_async(lambda: asyncio.to_thread(up.charges), until=lambda number: number >= before + 4)
        load = [asyncio.create_task(busy(client, n)) for n in range(CLIENTS)]
        await eventually_async(lambda: ends["201"], until=lambda number: number >= ANSWERS)
        up.process.terminate()
        await asyncio.gather(*slow, *load)
    return ends, answered


def _nothing_is_open(data_dir: Path, answered: list[str]) -> None:
    """After the drain no attempt waits for recovery, and every answer that a client got is in the record."""
    open_attempts, recorded = asyncio.run(_record(data_dir))
    assert open_attempts == 0
    assert set(answered) <= recorded


async def _record(data_dir: Path) -> tuple[int, set[str]]:
    async with _database(data_dir) as connection:
        waiting = await connection.fetchval("SELECT count(*) FROM attempt WHERE next_check_at IS NOT NULL")
        return waiting, {row[0] for row in await connection.fetch("SELECT idempotency_key FROM response")}


@contextlib.asynccontextmanager
async def _database(data_dir: Path) -> AsyncIterator[asyncpg.Connection]:
    with EmbeddedPostgres(data_dir) as postgres:
        connection = await asyncpg.connect(postgres.urls().owner_url)
        try:
            yield connection
        finally:
            await connection.close()


def _a_kill_leaves_nothing(up: Up) -> None:
    """SIGKILL gives no time for anything: the children notice, and the last of them stops the database."""
    family, server = up.family(), up.server_pid()
    assert len(family) >= 4 and server is not None
    up.process.kill()
    up.process.wait()
    eventually(lambda: [process for process in family if not is_gone(process)], until=lambda left: not left)
    eventually(lambda: not psutil.pid_exists(server) or is_gone(psutil.Process(server)))


def _a_second_signal_does_not_wait(up: Up) -> None:
    """Ctrl-C twice, while a request waits for an answer that the drain would wait for too."""
    family, before, said = up.family(), up.charges(), len(up.said())
    answers: list[httpx.Response] = []

    def pay() -> None:
        with contextlib.suppress(httpx.TransportError):
            answers.append(_pay(up, "held", "sim_timeout_charged"))

    thread = threading.Thread(target=pay)
    started = time.monotonic()
    thread.start()
    eventually(up.charges, until=lambda number: number > before)  # the request is with the acquirer
    up.process.send_signal(signal.SIGINT)
    eventually(lambda: "draining" in up.said()[said:])
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - started < HELD_MS / 1000
    thread.join()
    assert answers == []
    assert all(is_gone(process) for process in family)
    assert "stopping at once" in up.said()


@pytest.mark.timeout(300)
def test_the_test_acquirer_is_not_started_where_it_is_off(home: Path, clusters: Clusters) -> None:
    clusters.put_into(home / "d")
    with Up(home / "d", simulator="off", worker_niceness="3") as up:
        assert up.children().keys() == {"serve", "work"}
        children = up.children()
        assert eventually(lambda: children["work"].nice() - children["serve"].nice()) == 3, "it gives way as it is told"
        refused = _pay(up, "first")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown_provider")
        assert "the test acquirer is off; 0 payments are open there" in up.said()


def test_it_does_not_start_with_a_default_provider_that_is_off(home: Path) -> None:
    ran = run_process("up", "--data-dir", str(home / "d"), simulator="off", default_provider="simulator")
    assert ran.code == 2 and "TALLYSTICK_DEFAULT_PROVIDER: it is off" in ran.err
    assert not (home / "d").exists(), "refused before anything is made"
