"""A message that did not arrive says why: a stable code and words, in its row of the API, and in the log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from tallystick.flows.webhooks.outbound import worker as delivering
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import (
    CONNECTION_REFUSED,
    DISCONNECTED,
    MALFORMED,
    NO_PUBLIC_ADDRESS,
    NOT_PUBLIC,
    NOT_RESOLVED,
)
from tallystick.flows.webhooks.outbound.tls import NO_TLS
from tallystick.flows.webhooks.outbound.try_results import TRY_RESULTS
from tests.support.api import inside
from tests.support.database import Database, NewDatabase
from tests.support.endpoints import PATH
from tests.support.names import LenientAboutLooks, Names
from tests.support.outbox import drain, pay, register, runtime_for, tries, worker
from tests.support.ports import free_port
from tests.support.receivers import ok, receiving, status
from tests.support.runtime import BookedProvider

NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """One of its own: what fails here is due for whatever worker comes next."""
    return new_database()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """The worker's log, warnings too."""
    made = CapturingLogger()
    monkeypatch.setattr(delivering, "log", made)
    return made


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that says this to whatever it is asked, and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def test_every_way_to_fail_has_its_code_and_its_words_in_the_row(
    database: Database, fresh_merchant: str, log: CapturingLogger
) -> None:
    gone: set[str] = set()  # names that do not resolve any more

    def lookup(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        return Names(NO_SUCH_NAME if host in gone else ["127.0.0.1"])(host, port)

    policy = AddressPolicy(allow_private=True, lookup=lookup)
    async with AsyncExitStack() as open_now:
        api = await open_now.enter_async_context(
            inside(database, fresh_merchant, BookedProvider(), webhook_allow_private_addresses=True)
        )
        receivers = [await open_now.enter_async_context(receiving()) for _ in range(4)]
        receivers[0].script, receivers[1].script = status(503), status(308, Location="/elsewhere")
        receivers[2].script = status(410)
        plain = f"https://127.0.0.1:{receivers[3].port}/"
        expected = {
            receivers[0].url: ("refused", "answered with 503", 503),
            receivers[1].url: ("redirected", "redirects are not followed", 308),
            receivers[2].url: ("gone", "the endpoint wants no more messages", 410),
            plain: ("tls_failed", NO_TLS, None),
            await open_now.enter_async_context(saying(b"this is no HTTP\r\n\r\n")): ("broken", MALFORMED, None),
            await open_now.enter_async_context(saying(b"")): ("disconnected", DISCONNECTED, None),
            f"http://127.0.0.1:{free_port()}/": ("unreachable", CONNECTION_REFUSED, None),
            "http://nowhere.example/": ("name_unresolved", NOT_RESOLVED, None),
        }
        runtime = api.app.state.runtime
        made = {url: await register(runtime, fresh_merchant, url, policy=policy) for url in expected}
        gone.add("nowhere.example")
        assert (await api.pay()).status_code == 201
        async with worker(runtime, policy=policy) as delivery:
            await drain(delivery)
        said = {}
        for url, registered in made.items():
            (row,) = (await api.client.get(f"{PATH}/{registered.endpoint_id}/deliveries")).json()["data"]
            (attempt,), failure = row["attempts"], row["failure"]
            assert (attempt["result"], attempt["error"], attempt["at"]) == (
                failure["code"], failure["message"], failure["at"],
            )  # fmt: skip
            said[url] = (failure["code"], failure["message"], failure["status"])
        assert said == expected
        assert {code for code, _, _ in expected.values()} < set(TRY_RESULTS)
        logged = {(line["result"], line["reason"], line["status"]) for line in _failures(log, fresh_merchant)}
        assert logged == set(expected.values())

        receivers[0].script = ok
        endpoint_id = made[receivers[0].url].endpoint_id
        (row,) = (await api.client.get(f"{PATH}/{endpoint_id}/deliveries")).json()["data"]
        again = await api.client.post(f"{PATH}/{endpoint_id}/deliveries/{row['message_id']}/resend")
        assert again.json()["failure"] == row["failure"], "it has not arrived yet"
        async with worker(runtime) as delivery:
            await drain(delivery)
        (row,) = (await api.client.get(f"{PATH}/{endpoint_id}/deliveries")).json()["data"]
        assert (row["state"], row["failure"]) == ("delivered", None)


async def test_the_log_has_one_line_for_a_merchants_failures_of_one_kind(
    database: Database, fresh_merchant: str, log: CapturingLogger
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        for number in range(4):
            await pay(runtime, fresh_merchant, f"k{number}")
        async with worker(runtime) as delivery:
            await drain(delivery)
            (line,) = _failures(log, fresh_merchant)
        assert (line["merchant_id"], line["endpoint_id"]) == (fresh_merchant, made.endpoint_id)
        assert (line["result"], line["status"], line["state"], line["tries"]) == ("refused", 500, "open", 1)
        assert len(receiver.got) >= 4
        assert sum(each["since_last_line"] for each in _failures(log, fresh_merchant)) == len(receiver.got)


async def test_the_log_says_what_the_merchant_is_not_told(
    database: Database, fresh_merchant: str, log: CapturingLogger
) -> None:
    """Whether a name exists inside is for the platform alone."""
    async with runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, f"http://localhost:{free_port()}/")
        for answer, why in ((NO_SUCH_NAME, NOT_RESOLVED), (["10.0.0.7"], NOT_PUBLIC)):
            await pay(runtime, fresh_merchant, why)
            log.calls.clear()
            async with worker(runtime, policy=LenientAboutLooks(lookup=Names(answer))) as delivery:
                await drain(delivery)
            lines = _failures(log, fresh_merchant)
            assert {(line["reason"], line["key_kind"]) for line in lines} == {(why, "service")}
        assert {one["detail"] for one in await tries(runtime, fresh_merchant)} == {NO_PUBLIC_ADDRESS}


def _failures(log: CapturingLogger, merchant_id: str) -> list[dict[str, Any]]:
    lines = [call.kwargs for call in log.calls if call.args == ("webhook delivery failed",)]
    return [line for line in lines if line["merchant_id"] == merchant_id]
