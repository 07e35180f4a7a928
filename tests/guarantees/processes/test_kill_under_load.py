"""SIGKILL of real processes under load: API, worker, database, and all at once. Then everything comes back, every
instruction ends, and the two books agree."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.clusters import Clusters
from tests.support.commands import Up, kill, run_process
from tests.support.database import DEEP
from tests.support.polling import eventually

SETTINGS = {
    "provider_request_timeout_ms": "1000",
    "send_window_ms": "1000",
    "settling_time_ms": "200",
    "recovery_interval_ms": "100",
    "recovery_backoff_base_ms": "100",
    "recovery_backoff_cap_ms": "1000",
    "recovery_lease_ms": "2000",
    "pending_poll_ms": "200",
    "log_level": "error",
}

#: Payments until the last kill, and how many clients send them.
CLIENTS = 8
LOAD_S = 60 if DEEP else 3

#: Between a client's payments, where tests beside this one need the machine too: most of the time some are under way.
PAUSE_S = 0 if DEEP else 0.1

#: What is killed under load, one after the other; in the end it is everything at once.
VICTIMS = ("serve", "work", "database", *(["serve"] if DEEP else []))

#: Final answers between two kills, however long they take: there must be something to kill.
PROGRESS = 20

#: A busy machine takes half a minute to start a killed role, and misses most send windows meanwhile. What hangs takes
#: longer.
PROGRESS_WITHIN_S = 180

#: Every instruction must have its final answer this soon after the last kill.
CONVERGENCE_S = 60

METHODS = ("sim_ok",) * 8 + ("sim_declined", "sim_error_charged", "sim_timeout_charged", "sim_reset_charged")


class Clients:
    """Clients that never give up: the same request with the same key until the answer is final. They share one HTTP
    client: to make one takes longer than a request."""

    def __init__(self, http: httpx.Client) -> None:
        self.address = ""
        self.key = ""
        self.final: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []
        self.last: dict[int, str] = {}
        self._http = http
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def go_on(self, seconds: float) -> None:
        """For so long, and until there are some more final answers."""
        before = len(self.final)
        time.sleep(seconds)  # the load itself
        try:
            eventually(
                lambda: len(self.final), until=lambda number: number >= before + PROGRESS, within_s=PROGRESS_WITHIN_S
            )
        except AssertionError as never:
            never.add_note("the last answers: " + "; ".join(self.last.values()))
            raise

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        count = 0
        while not self._stop.is_set():
            count += 1
            body = {"amount": chance.randrange(1, 10_000), "currency": "EUR", "payment_method": chance.choice(METHODS)}
            key = f"order-{number}-{count}"
            self.asked[key] = body
            self.ask(key, within_s=1)
            self._stop.wait(PAUSE_S)

    def ask(self, key: str, within_s: float) -> None:
        """Send one instruction until it is final, or time is over: then it is asked again at the end."""
        give_up_at = time.monotonic() + within_s
        while time.monotonic() < give_up_at:
            try:
                answer = self._http.post(
                    f"{self.address}/v1/payments",
                    json=self.asked[key],
                    headers={"Authorization": f"Bearer {self.key}", "Idempotency-Key": key},
                )
            except httpx.TransportError as fault:
                self.last[threading.get_ident()] = repr(fault)
                time.sleep(0.05)  # as a client does before it tries again
                continue
            self.last[threading.get_ident()] = f"{answer.status_code} {answer.text[:300]}"
            if answer.status_code == 201:
                self.final[key] = answer.json()
                return
            if answer.status_code not in (202, 409, 503):
                self.wrong.append(f"{key}: {answer.status_code} {answer.text}")
                return
            time.sleep(0.05)  # as a client does before it asks again


def kill_database(up: Up) -> None:
    """One backend, which makes the server drop every connection and replay its log."""
    server = psutil.Process(up.server_pid())

    def backends() -> list[psutil.Process]:
        return [child for child in server.children() if " tallystick [local]" in " ".join(child.cmdline())]

    eventually(backends)[0].send_signal(signal.SIGKILL)


@pytest.fixture
def clients() -> Iterator[Clients]:
    with httpx.Client(timeout=3, trust_env=False) as http:
        yield Clients(http)


@pytest.mark.timeout(600)  # many waits, each for as long as a busy machine needs
def test_kill_under_load(own_dir: Path, clusters: Clusters, clients: Clients) -> None:
    data_dir = own_dir / "data"
    clusters.put_into(data_dir)
    with Up(data_dir, **SETTINGS) as up:
        clients.address, clients.key = up.address, up.key
        clients.start()
        try:
            for victim in VICTIMS:
                clients.go_on(LOAD_S / 6)
                if victim == "database":
                    kill_database(up)
                else:
                    kill(up.children()[victim])
            clients.go_on(LOAD_S / 6)
            kill(psutil.Process(up.process.pid))
        except BaseException as fault:
            clients.stop()
            fault.add_note(up.said()[-6_000:])
            raise
    try:
        with Up(data_dir, **SETTINGS) as up:
            clients.address = up.address
            clients.go_on(LOAD_S / 6)
            clients.stop()
            for key in sorted(set(clients.asked) - set(clients.final)):
                clients.ask(key, CONVERGENCE_S)
            replayed = dict(clients.final)
            for key in random.Random(0).sample(sorted(replayed), min(50, len(replayed))):
                clients.ask(key, 5)
                assert clients.final[key] == replayed[key]
            report = run_process(
                *("verify", "--data-dir", str(data_dir), "--provider", "simulator"),
                simulator_url=f"http://127.0.0.1:{up.simulator_port}",
            )
    finally:
        clients.stop()
    assert clients.wrong == []
    assert set(clients.final) == set(clients.asked)
    assert len(clients.final) >= PROGRESS * (len(VICTIMS) + 2)
    states = {"sim_declined": "declined"}
    for key, payment in clients.final.items():
        method = clients.asked[key]["payment_method"]
        assert payment["state"] in (states.get(method, "captured"), "failed"), f"{key} {method} {payment}"
    assert report.code == 0, report.out + report.err
