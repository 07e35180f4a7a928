"""The embedded PostgreSQL hangs, and then its first process is killed, while payments are under way: whoever asks is
answered within a second, it comes back by itself, no payment is lost, and the log stays readable."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest

from tests.support.clusters import Clusters
from tests.support.commands import Up, is_gone, run_process
from tests.support.database import DEEP
from tests.support.log_lines import log_lines
from tests.support.polling import eventually
from tests.support.ports import free_port

CLIENTS = 4

#: Between a client's payments: they are there while the database is not, and take little from the tests beside them.
PAUSE_S = 0 if DEEP else 0.1

#: Payments before the first fault, and after each.
ANSWERS = 12

#: A busy machine may be late with some of the answers about a hung database, not with so many.
QUESTIONS = 5

#: Whoever asks gives up after this.
WITHIN_S = 1.0

#: Lines of `up`, the API and the worker about two outages of seconds. Each part of each had ten a second.
LINES = 50


class Load:
    """Clients that pay until they are stopped, each payment once: one that was answered with 201 must stay."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._api_key = up.key
        self.acknowledged: dict[str, str] = {}
        self.statuses: Counter[int] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._pay, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Until there are some more payments."""
        wanted = len(self.acknowledged) + ANSWERS
        eventually(lambda: len(self.acknowledged), until=lambda number: number >= wanted)

    def _pay(self, client: int) -> None:
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
        with httpx.Client(timeout=60, headers={"Authorization": f"Bearer {self._api_key}"}) as session:
            number = 0
            while not self._stop.is_set():
                number += 1
                key = f"{client}-{number}"
                answer = session.post(f"{self._up.address}/v1/payments", json=body, headers={"Idempotency-Key": key})
                self.statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    self.acknowledged[key] = answer.json()["id"]
                elif answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                self._stop.wait(PAUSE_S)


@pytest.mark.timeout(300)
def test_a_server_that_hangs_and_one_that_is_killed(own_dir: Path, clusters: Clusters) -> None:
    clusters.put_into(own_dir / "d")
    health = free_port()
    with Up(own_dir / "d", journal_commit_timeout_ms="2000", worker_health_port=str(health)) as up:
        doors = [f"{up.address}/readyz", f"http://127.0.0.1:{health}/readyz"]
        _ready_again(doors)
        roles = up.children()
        with Load(up) as load:
            load.go_on()
            said = len(up.said())
            with _hung(up):
                for door in doors:
                    _answers_in_time(door)
            _ready_again(doors)
            load.go_on()
            _kill(up)
            _ready_again(doors)
            load.go_on()
        assert set(load.statuses) <= {201, 202, 503}, load.statuses
        _the_server_of_the_api_speaks_json_too(up, said)
        assert up.children() == roles, "no other child needed a restart"
        _the_log_is_readable(up, said)
        _every_payment_is_there(up, load.acknowledged)
        if DEEP:
            assert run_process("verify", "--data-dir", str(up.data_dir)).code == 0
        up.process.send_signal(signal.SIGTERM)
        up.process.wait(60)
        assert up.server_pid() is None, "what was started again is stopped as well"


def _server(up: Up) -> list[psutil.Process]:
    """The first process of the server, and the others."""
    first = psutil.Process(up.server_pid())
    return [first, *first.children(recursive=True)]


@contextlib.contextmanager
def _hung(up: Up) -> Iterator[None]:
    server = _server(up)
    for process in server:
        process.suspend()
    try:
        yield
    finally:
        for process in server:
            process.resume()


def _asked(door: str) -> int | None:
    """None while nothing listens there yet."""
    try:
        return httpx.get(door, timeout=60).status_code
    except httpx.ConnectError:
        return None


def _ready_again(doors: list[str]) -> None:
    eventually(lambda: {_asked(door) for door in doors}, until=lambda answers: answers == {200})


def _answers_in_time(door: str) -> None:
    took_s: list[float] = []
    while len(took_s) < QUESTIONS and (not took_s or took_s[-1] >= WITHIN_S):
        began = time.monotonic()
        assert _asked(door) == 503
        took_s.append(time.monotonic() - began)
    assert took_s[-1] < WITHIN_S, took_s


def _kill(up: Up) -> None:
    """Without a word; one of its processes is stopped, so that it does not end by itself and keeps a new server from
    starting."""
    server = _server(up)
    stopped = next(process for process in server if "tallystick_app" in " ".join(process.cmdline()))
    stopped.suspend()
    server[0].kill()
    eventually(lambda: _asked(f"{up.address}/readyz"), until=lambda answer: answer == 503)
    eventually(up.server_pid, until=lambda pid: pid not in (None, server[0].pid))
    assert all(is_gone(process) for process in server)


def _the_server_of_the_api_speaks_json_too(up: Up, said: int) -> None:
    """It starts its worker again, and says so in its own words."""
    up.children()["serve"].children()[-1].kill()
    eventually(lambda: '"component":"_granian"' in up.said()[said:])
    _ready_again([f"{up.address}/readyz"])


def _the_log_is_readable(up: Up, said: int) -> None:
    def lines() -> list[dict[str, Any]]:
        return log_lines(up.said()[said:].rpartition("\n")[0])

    eventually(lines, until=lambda found: any(line["event"] == "database works again" for line in found))
    events = Counter(line["event"] for line in lines())
    assert events["database exited; restarting in 500 ms"] == 1
    del events["instruction"]  # one for each request, whatever the database does
    assert events.total() < LINES, events


def _every_payment_is_there(up: Up, acknowledged: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {up.key}"}
    with httpx.Client(base_url=up.address, headers=headers, timeout=60) as client:
        for payment_id in acknowledged.values():
            found = client.get(f"/v1/payments/{payment_id}")
            assert (found.status_code, found.json()["state"]) == (200, "captured")
