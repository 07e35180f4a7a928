"""Clients that send slowly, or stop: each has its time, is told so, leaves nothing behind and keeps nobody waiting."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import psycopg
import pytest

from tallystick.access.key_store import create_key
from tallystick.kit.ids import new_id
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, SERVE, Merchant, Stack, wait_for
from tests.support.database import Database
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.ports import free_port
from tests.support.provider_webhooks import PATH as WEBHOOK
from tests.support.provider_webhooks import event, signature

#: Short for the tests; what waits for them waits much longer.
HEAD_MS, BODY_MS = 3_000, 1_500

#: A busy machine's patience for an answer. Without a time-out of the server's there would be none ever.
PATIENCE_S = 60


class Edge(NamedTuple):
    """An API in a process of its own, with short time-outs."""

    port: int
    process: psutil.Process

    def sockets(self) -> int:
        """Connections of clients that its workers hold."""
        workers = [child for child in self.process.children() if child.num_threads() > 1]
        assert len(workers) == Settings(data_dir="unused").api_processes
        held = [each for worker in workers for each in worker.net_connections("tcp")]
        mine = [each for each in held if each.laddr.port == self.port and each.raddr]
        return len([each for each in mine if each.status != psutil.CONN_TIME_WAIT])


class Heard(NamedTuple):
    """What a server said until it closed the connection."""

    status: int | None
    headers: dict[str, str]
    body: dict[str, Any]


@pytest.fixture(scope="module")
def edge(database: Database, data_dir: Path) -> Iterator[Edge]:
    """The API alone, once for all tests here."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")},
        "TALLYSTICK_DATABASE_URL": database.app_url,
        "TALLYSTICK_PORT": str(port),
        "TALLYSTICK_SEALING_KEYS": SEALING_KEY,
        "TALLYSTICK_REQUEST_HEAD_TIMEOUT_MS": str(HEAD_MS),
        "TALLYSTICK_REQUEST_BODY_TIMEOUT_MS": str(BODY_MS),
    }
    with (data_dir / "edge.log").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stdout=output, stderr=output)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield Edge(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=40)


@pytest.fixture
def api_key(database: Database, fresh_merchant: str) -> str:
    """Of this test's merchant."""
    return asyncio.run(create_key(database.app_url, fresh_merchant))


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """A request up to its body."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: tallystick.test", *lines, "", "")).encode()


def instruction(api_key: str, *lines: str, path: str = "/v1/payments", key: str | None = None) -> bytes:
    """The head of an instruction in JSON."""
    known = (f"authorization: Bearer {api_key}", f"idempotency-key: {key or new_id('req')}")
    return head(path, *known, "content-type: application/json", *lines)


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for as long as the other side listens."""
    with suppress(OSError):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(BODY_MS / 10_000)  # the client is slow


async def say(port: int, sent: bytes, *, dripping: bool = False, end: bool = False) -> Heard:
    """Send it, and then nothing more (or a byte now and then, or an end); what the server says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    if end:
        writer.write_eof()
    dripper = asyncio.create_task(drip(writer)) if dripping else None
    try:
        async with asyncio.timeout(PATIENCE_S):
            said = await reader.read()
    finally:
        if dripper is not None:
            dripper.cancel()
        writer.close()
    if not said:
        return Heard(None, {}, {})
    top, _, body = said.partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Heard(int(first.split()[1]), {name.lower(): value for name, value in pairs}, json.loads(body))


def assert_refused(heard: Heard, status: int, code: str) -> None:
    """A problem document, after which the connection is closed."""
    assert (heard.status, heard.body.get("code")) == (status, code), heard
    assert heard.headers["content-type"] == "application/problem+json"
    assert heard.headers["connection"] == "close"
    assert (heard.body["outcome"], heard.body["retryable"]) == ("not_executed", True)
    assert heard.body["request_id"] == heard.headers["request-id"]


def count(database: Database, table: str, where: str = "true", *values: str) -> int:
    """Rows of a table."""
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}", values).fetchone()
    assert row is not None
    return int(row[0])


PAY = b'{"amount": 1000, "currency": "EUR", "payment_method": "sim_ok"}'
CHUNK = b"%x\r\n%s\r\n" % (len(PAY), PAY)

#: What comes after the head, and whether a byte now and then follows. The bytes of a whole instruction among them.
STALLED: dict[str, tuple[str, bytes, bool]] = {
    "no body": ("content-length: 100", b"", False),
    "a part": ("content-length: 100", PAY[:20], False),
    "shorter than it says": (f"content-length: {len(PAY) + 1}", PAY, False),
    "a byte now and then": ("content-length: 1000", PAY, True),
    "chunks without an end": ("transfer-encoding: chunked", CHUNK, False),
    "half a chunk": ("transfer-encoding: chunked", b"ff\r\n" + PAY, False),
}


HALF_HEAD = b"POST /v1/payments HTTP/1.1\r\nhost: tallystick.test\r\nx-slow: "

#: What is sent of a head, and whether a byte now and then follows.
HEADS: dict[str, tuple[bytes, bool]] = {
    "nothing": (b"", False),
    "a letter": (b"P", False),
    "half a head": (HALF_HEAD, False),
    "a byte now and then": (HALF_HEAD, True),
}


class Timed(NamedTuple):
    """What became of clients that send slowly or stop, all at once: each takes as long as the time that it has."""

    merchant_id: str
    bodies: dict[str, tuple[Heard, Heard]]  # at the API, and at the door for webhooks
    heads: dict[str, Heard]
    deliveries: int


@pytest.fixture(scope="module")
def timed(edge: Edge, database: Database) -> Timed:
    """Nobody else sends anything meanwhile."""
    merchant_id = "m" + new_letters()
    key = asyncio.run(create_key(database.app_url, merchant_id))
    before = count(database, "delivery")

    async def stall(case: str) -> tuple[Heard, Heard]:
        line, sent, dripping = STALLED[case]
        return await asyncio.gather(
            say(edge.port, instruction(key, line) + sent, dripping=dripping),
            say(edge.port, head(WEBHOOK, line) + sent, dripping=dripping),
        )

    async def all_at_once() -> tuple[list[tuple[Heard, Heard]], list[Heard]]:
        bodies = asyncio.gather(*(stall(case) for case in STALLED))
        heads = asyncio.gather(*(say(edge.port, sent, dripping=dripping) for sent, dripping in HEADS.values()))
        return await bodies, await heads

    bodies, heads = asyncio.run(all_at_once())
    return Timed(
        merchant_id,
        dict(zip(STALLED, bodies, strict=True)),
        dict(zip(HEADS, heads, strict=True)),
        count(database, "delivery") - before,
    )


@pytest.mark.parametrize("case", STALLED)
def test_a_body_has_its_time(timed: Timed, database: Database, case: str) -> None:
    at_the_api, at_the_door = timed.bodies[case]
    assert_refused(at_the_api, 408, "request_timeout")
    assert str(BODY_MS) in at_the_api.body["detail"]
    assert_refused(at_the_door, 408, "request_timeout")
    assert timed.deliveries == 0
    assert count(database, "instruction", "merchant_id = %s", timed.merchant_id) == 0


@pytest.mark.parametrize("case", STALLED)
async def test_a_body_that_is_cut_off_is_never_taken_for_the_whole(
    edge: Edge, database: Database, api_key: str, fresh_merchant: str, case: str
) -> None:
    line, sent, _ = STALLED[case]
    assert_refused(await say(edge.port, instruction(api_key, line) + sent, end=True), 400, "body_incomplete")
    assert_refused(await say(edge.port, head(WEBHOOK, line) + sent, end=True), 400, "body_incomplete")
    assert count(database, "instruction", "merchant_id = %s", fresh_merchant) == 0


async def test_a_refund_that_is_cut_off_refunds_nothing(stack: Stack, merchant: Merchant) -> None:
    """Without its body it would have been a refund of everything; the key is still free for what was meant."""
    payment = (await asyncio.to_thread(merchant.pay)).json()
    path, key, meant = f"/v1/payments/{payment['id']}/refunds", new_id("req"), {"amount": 100}
    port = httpx.URL(stack.url).port
    assert port is not None
    cut = instruction(merchant.api_key, "content-length: 15", path=path, key=key)
    assert_refused(await say(port, cut, end=True), 400, "body_incomplete")
    now = (await asyncio.to_thread(merchant.get, f"/v1/payments/{payment['id']}")).json()
    assert (now["amount_refunded"], now["amount_refund_pending"]) == (0, 0)
    refund = await asyncio.to_thread(merchant.post, path, meant, key)
    assert (refund.status_code, refund.json()["amount"]) == (201, 100), refund.text


async def test_what_is_whole_is_answered_at_once(edge: Edge, api_key: str) -> None:
    for line, sent in (("content-length: 2", b"{}"), ("transfer-encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n")):
        heard = await say(edge.port, instruction(api_key, line, "connection: close") + sent)
        assert (heard.status, heard.body["code"]) == (422, "validation_failed"), heard


@pytest.mark.parametrize("case", HEADS)
def test_a_head_has_its_time(timed: Timed, case: str) -> None:
    """There is no request to answer: the connection is closed."""
    assert timed.heads[case].status is None


async def test_who_is_refused_before_the_body_is_not_waited_for(edge: Edge) -> None:
    for path, status in (("/v1/payments", 401), ("/v1/webhooks/nobody/main", 404), ("/nowhere", 404)):
        assert (await say(edge.port, head(path, "content-length: 100"))).status == status


@asynccontextmanager
async def stalled(edge: Edge, api_key: str, number: int) -> AsyncIterator[list[asyncio.Task[Heard]]]:
    """So many slow bodies at once, at both doors."""
    lines = list(STALLED.values())
    tasks = []
    for each in range(number):
        line, sent, dripping = lines[each // 2 % len(lines)]
        top = instruction(api_key, line) if each % 2 else head(WEBHOOK, line)
        tasks.append(asyncio.create_task(say(edge.port, top + sent, dripping=dripping)))
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_slow_keep_nobody_waiting_and_leave_nothing_behind(
    edge: Edge, database: Database, api_key: str
) -> None:
    await eventually_async(edge.sockets, until=lambda number: number == 0, within_s=PATIENCE_S)
    bearer = {"authorization": f"Bearer {api_key}"}
    async with (
        stalled(edge, api_key, 200) as slow,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{edge.port}", timeout=PATIENCE_S) as client,
    ):
        served = 0
        while not all(task.done() for task in slow):
            body = event()
            taken = await client.post(WEBHOOK, content=body, headers={"acquirer-signature": signature(body)})
            read = await client.get("/v1/payments", headers=bearer)
            assert (taken.status_code, read.status_code) == (200, 200)
            served += 1
        heard = [task.result() for task in slow]
    assert served > 0
    assert [(each.status, each.body["code"]) for each in heard] == [(408, "request_timeout")] * 200
    await eventually_async(edge.sockets, until=lambda number: number == 0, within_s=PATIENCE_S)
    assert count(database, "delivery", "result = 'first'") >= served
