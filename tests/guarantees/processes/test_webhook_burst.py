"""Very many webhooks in a burst, while the worker is stopped: duplicates, out of order, forged. All are acknowledged
or refused as they must be; then the worker drains them, each effect happens once, and both books agree."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.support.acquirer import AcquirerProcess
from tests.support.commands import Up, run_here
from tests.support.database import DEEP, Database
from tests.support.polling import eventually

SETTINGS = {
    # Whatever the machine is busy with: this is about what is lost, not about how quick it is.
    "provider_request_timeout_ms": "60000",
    "provider_connect_timeout_ms": "20000",
    "provider_wait_ms": "20000",
    "send_window_ms": "60000",
    "journal_commit_timeout_ms": "60000",
    "webhook_commit_timeout_ms": "9000",  # the acquirer waits for 10 s
    "settling_time_ms": "200",
    "pending_poll_ms": "600000",  # recovery would ask; here the webhooks have to tell
    "log_level": "error",
}

#: Events that tell an outcome that nobody knows yet, and payments of which two events tell what a call of ours has
#: learnt already: with depth 7,640 events, and with 30 % duplicates and 1 % forged ones 10,008 deliveries; a
#: twentieth of them without. Connections and batches are full either way.
WAITING = 3_000 if DEEP else 150
KNOWN = 2_320 if DEEP else 116
DELIVERIES = 10_000 if DEEP else 500

CLIENTS = 48


class Burst(AcquirerProcess):
    """The acquirer that ``up`` has started."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def has_written(self, events: int) -> bool:
        """Whether what was pending has matured, and its events are in the book."""
        self.call("GET", "/sim/charges?limit=1", timeout_s=20)
        return bool(self.call("GET", f"/sim/events?cursor={events - 1}&limit=1")[1]["data"])


async def pay(up: Up) -> dict[str, int]:
    """The payments that the events are about; how many were answered with which status."""
    answers: dict[str, int] = {}
    orders = [("sim_webhook_only", "automatic")] * WAITING + [("sim_ok", "manual")] * KNOWN
    queue = list(enumerate(orders))
    headers = {"Authorization": f"Bearer {up.key}"}
    async with aiohttp.ClientSession(up.address, headers=headers) as session:

        async def post(path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
            async with session.post(path, json=body, headers={"Idempotency-Key": key}) as answer:
                kind = f"{path.rpartition('/')[2]} {answer.status}"
                answers[kind] = answers.get(kind, 0) + 1
                read: dict[str, Any] = await answer.json(content_type=None)
                return read

        async def client() -> None:
            while queue:
                number, (method, capture) = queue.pop()
                body = {"amount": 100 + number, "currency": "EUR", "payment_method": method, "capture_method": capture}
                payment = await post("/v1/payments", f"burst-{number}", body)
                if capture == "manual":
                    await post(f"/v1/payments/{payment['id']}/capture", f"burst-{number}-capture", {})

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answers


def rows(url: str, query: str) -> dict[Any, int]:
    """What a query counts, by its first column."""
    with psycopg.connect(url) as connection:
        return {row[0]: row[1] for row in connection.execute(query).fetchall()}


@pytest.mark.timeout(900)  # some seconds where nothing else runs
def test_webhooks_in_a_burst(
    own_dir: Path, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = database.owner_url
    urls = {"database_url": database.app_url, "migration_database_url": url}
    with Up(own_dir / "data", **SETTINGS, **urls) as up:
        bank = Burst(up.simulator_port)
        worker = up.children()["work"]
        worker.suspend()
        try:
            assert bank.call("POST", "/sim/webhooks/pause", {})[0] == 200
            assert asyncio.run(pay(up)) == {"payments 202": WAITING, "payments 201": KNOWN, "capture 200": KNOWN}
            eventually(lambda: bank.has_written(WAITING + 2 * KNOWN), within_s=120)
            report = bank.burst(timeout_s=240, duplicates=0.3, shuffle=0.2, forged=0.01, connections=64, seed=1_728)
            events = report["events"]
            kinds = report["kinds"]
            assert events == WAITING + 2 * KNOWN
            assert report["sent"] == report["planned"] >= DELIVERIES
            assert kinds["original"] == {"sent": events, "answers": {"200": events}}
            assert kinds["duplicate"]["answers"] == {"200": round(0.3 * events)}
            assert kinds["forged"]["answers"] == {"401": round(0.01 * events)}
            taken = rows(url, "SELECT result, count(*) FROM delivery GROUP BY 1")
            assert taken == {"first": events, "redelivery": round(0.3 * events)}
            assert rows(url, "SELECT state, count(*) FROM inbox GROUP BY 1") == {"received": events}
        finally:
            worker.resume()
        eventually(
            lambda: rows(url, "SELECT 1, count(*) FROM inbox WHERE next_try_at IS NOT NULL").get(1),
            until=lambda left: not left,
            within_s=240,
            interval_s=0.05,
        )
        ends = rows(url, "SELECT state, count(*) FROM inbox GROUP BY 1")
        # What our own calls had learnt already changes nothing.
        assert ends == {"applied": WAITING, "duplicate_effect": 2 * KNOWN}
        effects = rows(
            url, "SELECT event, count(*) FROM history WHERE subject = 'payment' AND event = 'captured' GROUP BY 1"
        )
        assert effects == {"captured": WAITING + KNOWN}
        report_of_books = run_here(
            monkeypatch, capsys, "verify", "--provider", "simulator", simulator_url=bank.url, **urls
        )
        assert report_of_books.code == 0, report_of_books.out + report_of_books.err
