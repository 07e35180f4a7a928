"""The acquirer as a program: bad input, its ends, and what its books hold after a SIGKILL."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import charge, new_key
from tests.support.polling import eventually
from tests.support.ports import free_port

#: An end in order takes about half a second; the rest is for a busy machine, and far below the 60 s of a held call.
END_S = 20


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sim/charges", {"amount": 1}, 400),
        ("POST", "/sim/charges", charge("sim_nonsense"), 400),
        ("POST", "/sim/charges", charge(amount=0), 400),
        ("POST", "/sim/charges", charge() | {"amount": "1"}, 400),
        ("POST", "/sim/charges/ch_none/capture", {"attempt_id": "a", "amount": 1}, 404),
        ("POST", "/sim/charges/ch_none/complete", {}, 404),
        ("GET", "/sim/charges?limit=0", None, 400),
        ("GET", "/sim/charges?cursor=x", None, 400),
    ],
)
def test_bad_input(running: AcquirerProcess, method: str, path: str, body: dict[str, Any] | None, status: int) -> None:
    assert running.call(method, path, body, new_key())[0] == status


GOOD = json.dumps(charge()).encode()

BROKEN: dict[str, tuple[bytes, dict[str, str]]] = {
    "no key": (GOOD, {"Idempotency-Key": ""}),
    "a key in no encoding": (GOOD, {"Idempotency-Key": "k\xff"}),
    "an endless key": (GOOD, {"Idempotency-Key": "k" * 256}),
    "no JSON": (b"{", {}),
    "not UTF-8": (b'{"amount": "\xff"}', {}),
    "half a surrogate": (GOOD.replace(b'"EUR"', b'"\\ud800"'), {}),
    "too deep": (b"[" * 100_000, {}),
    "too large": (b'"' + b"x" * 2**21 + b'"', {}),
    "not gzip": (GOOD, {"Content-Encoding": "gzip"}),
    "half of gzip": (gzip.compress(GOOD)[:-20], {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_requests_are_refused(running: AcquirerProcess, what: str) -> None:
    body, headers = BROKEN[what]
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", "/sim/charges", body, {"Idempotency-Key": new_key()} | headers)
    answer = connection.getresponse()
    assert (answer.status, list(json.loads(answer.read()))) == (400, ["error"])
    connection.close()


class Program:
    """The command itself, with what it prints."""

    def __init__(self, books: Path, *options: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tallystick.lab.acquirer", "--port", str(self.port), "--books", str(books)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.ready_line = self.process.stderr.readline()

    def send(self, body: dict[str, Any]) -> http.client.HTTPConnection:
        """A charge on its way; the caller reads the answer, if there is one, and closes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=END_S)
        connection.request("POST", "/sim/charges", json.dumps(body), {"Idempotency-Key": new_key()})
        return connection

    def terminated(self, how: signal.Signals) -> tuple[int, str, str]:
        """Exit code, and all else that it printed."""
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=END_S)
        return self.process.returncode, out, err


@contextmanager
def program(books: Path, *options: str) -> Iterator[Program]:
    """A running program, gone at the end whatever happens."""
    started = Program(books, *options)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_one_line_and_ends_at_once_though_calls_are_held(tmp_path: Path, how: signal.Signals) -> None:
    with program(tmp_path / "books.sqlite") as running:
        assert running.ready_line == f"simulator ready on http://127.0.0.1:{running.port}\n"
        held = [running.send(charge(method)) for method in ("sim_timeout_charged", "sim_slow") for _ in range(5)]
        reset = running.send(charge("sim_reset_charged"))
        with pytest.raises(ConnectionResetError):
            reset.getresponse()
        assert running.terminated(how) == (0, "", "")
        for connection in (*held, reset):
            connection.close()


def test_a_held_call_ends_without_an_answer(tmp_path: Path) -> None:
    with program(tmp_path / "books.sqlite", "--hold-ms", "50") as running:
        for method in ("sim_timeout_charged", "sim_timeout_not_charged"):
            connection = running.send(charge(method))
            with pytest.raises(ConnectionResetError):
                connection.getresponse()
            connection.close()


def test_what_was_acknowledged_survives_a_kill_under_load_with_its_event(tmp_path: Path) -> None:
    running = AcquirerProcess(tmp_path / "books.sqlite")
    acknowledged: list[str] = []

    def pay() -> None:
        while True:
            body = charge()
            try:
                status, _ = running.call("POST", "/sim/charges", body, new_key())
            except (OSError, http.client.HTTPException):
                return
            assert status == 200
            acknowledged.append(body["payment_id"])

    payers = [threading.Thread(target=pay) for _ in range(4)]
    for payer in payers:
        payer.start()
    try:
        eventually(lambda: len(acknowledged), until=lambda number: number >= 50)
    finally:
        running.kill()
        for payer in payers:
            payer.join()
    with acquirer(tmp_path / "books.sqlite") as again:
        booked: list[str] = []
        cursor: str | None = "0"
        while cursor is not None:
            page = again.call("GET", f"/sim/charges?limit=1000&cursor={cursor}")[1]
            booked += [row["payment_id"] for row in page["data"]]
            cursor = page["next_cursor"]
        told = [event["data"]["payment_id"] for event in again.events()]
    assert sorted(told) == sorted(booked)
    assert set(acknowledged) <= set(booked)
    assert len(booked) - len(acknowledged) <= len(payers)  # booked, and killed before the answer
    assert len(set(booked)) == len(booked)
