"""The line between "nothing was sent" and "something may have happened", over real sockets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Declined, NotFound, NotSent, Unknown, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.http import ProviderHttp
from tallystick.providers.port import ProviderCall
from tallystick.providers.simulator.calls import SimulatorProvider
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.polling import eventually_async
from tests.support.ports import free_port

TRAITS = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=0,
    max_delivery_delay_ms=0,
    request_timeout_ms=400,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path_factory.mktemp("acquirer") / "books.sqlite") as process:
        yield process


@asynccontextmanager
async def connector(url: str, connections: int = 10, patience_ms: int = 20_000) -> AsyncIterator[SimulatorProvider]:
    http = ProviderHttp(url, request_timeout_ms=patience_ms, connect_timeout_ms=patience_ms, connections=connections)
    provider = SimulatorProvider(http, TRAITS)
    try:
        yield provider
    finally:
        await provider.close()


def call(method: str = "sim_ok", *, window_ms: int = 60_000, **fields: Any) -> ProviderCall:
    name = uuid.uuid4().hex
    values: dict[str, Any] = {
        "merchant_id": "m",
        "payment_id": f"pay_{name}",
        "attempt_id": f"att_{name}",
        "operation": "authorize",
        "amount": 1_000,
        "currency": "EUR",
        "payment_method": method,
        "capture": True,
        "key": name,
        "parent_reference": None,
        "reference": None,
        "send_by_ms": monotonic_ms() + window_ms,
    }
    return ProviderCall(**(values | fields))


VERDICTS: dict[str, type[Verdict]] = {
    "sim_ok": Approved,
    "sim_declined": Declined,
    "sim_timeout_charged": Unknown,
    "sim_timeout_not_charged": Unknown,
    "sim_error_charged": Unknown,
    "sim_error_not_charged": Unknown,
    "sim_reset_charged": Unknown,
}


@pytest.mark.parametrize("method", VERDICTS)
async def test_each_answer_has_its_verdict(running: AcquirerProcess, method: str) -> None:
    async with connector(running.url, patience_ms=1_000 if "timeout" in method else 20_000) as provider:
        attempt = call(method)
        verdict = await provider.authorize(attempt)
        assert type(verdict) is VERDICTS[method]
        found = await provider.fetch(attempt)
    assert isinstance(found, NotFound) == method.endswith("not_charged")
    assert verdict.raw is not None or isinstance(verdict, Unknown)


async def test_a_refused_connection_sent_nothing() -> None:
    async with connector(f"http://127.0.0.1:{free_port()}") as provider:
        assert isinstance(await provider.authorize(call()), NotSent)
        assert isinstance(await provider.fetch(call()), Unknown), "a lookup that failed says nothing"


async def test_a_sender_past_its_time_does_not_send(running: AcquirerProcess) -> None:
    async with connector(running.url) as provider:
        await provider.authorize(call())
        for reused in (True, False):
            late = call(window_ms=-1)
            assert isinstance(await provider.authorize(late), NotSent), f"on a reused connection: {reused}"
            assert running.charges(late.payment_id) == []


async def test_waiting_for_a_connection_counts(running: AcquirerProcess) -> None:
    """The clock is read with the connection in hand, not when the call was made."""
    async with connector(running.url, connections=1, patience_ms=400) as provider:
        first = call("sim_timeout_charged")
        hanging = asyncio.create_task(provider.authorize(first))
        await eventually_async(lambda: asyncio.to_thread(running.charges, first.payment_id))
        late = call(window_ms=100)
        verdict = await provider.authorize(late)
        await hanging
    assert isinstance(verdict, NotSent | Unknown)
    assert running.charges(late.payment_id) == []


async def test_answers_that_make_no_sense_are_unknown() -> None:
    answers = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nnonsens",
        b"HTTP/1.1 302 Found\r\nLocation: /sim/charges\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"no HTTP at all\r\n\r\n",
        b"never asked for",
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connector(f"http://127.0.0.1:{port}") as provider:
        while len(answers) > 1:
            assert isinstance(await provider.authorize(call()), Unknown), answers[0]
            answers.pop(0)


async def test_a_shut_door_is_not_a_decline() -> None:
    for status in (401, 403, 429):

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int = status) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, connector(f"http://127.0.0.1:{port}") as provider:
            assert isinstance(await provider.authorize(call()), NotSent)


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_question_refused_at_the_door_proves_nothing(status: int) -> None:
    """What was not sent is the question: the attempt may well have been."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no"}, status=status)

    app = web.Application()
    app.router.add_get("/sim/operations/{id}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with connector(f"http://127.0.0.1:{port}") as provider:
            assert isinstance(await provider.fetch(call()), Unknown)
    finally:
        await runner.cleanup()
