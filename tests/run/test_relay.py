"""The relay of ``tallystick listen``: each message once, signed, to this machine, and the platform opens nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tallystick.access.key_store import create_key
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import CONNECTION_REFUSED, EndpointClient
from tallystick.flows.webhooks.outbound.signing import new_secret
from tallystick.kit.clock import utc_now
from tallystick.run import relay as relaying
from tallystick.run.relay import COMMITTED_WITHIN, ApiAway, ApiRefused, Forwarded, MessageList, Relay
from tests.support.api import Inside, inside
from tests.support.commands import clean_environment
from tests.support.database import Database, NewDatabase
from tests.support.outbox import drain, worker
from tests.support.polling import eventually_async
from tests.support.ports import free_port
from tests.support.receivers import Got, Receiver, Script, first, ok, receiving
from tests.support.runtime import BookedProvider
from tests.support.served import Served, served

SECRET = new_secret()
DAY = timedelta(days=1)


class Stand:
    """A merchant's API over HTTP, which allows no private address; and its developer's server."""

    def __init__(self, api: Inside, here: Served, receiver: Receiver, key: str) -> None:
        self.api, self.here, self.receiver, self.key = api, here, receiver, key
        self.said: list[Forwarded] = []
        self.notes: list[str] = []
        self.dispatched: list[str] = []

    async def pay(self) -> str:
        """A message that is written, and not dispatched yet: its id."""
        payment_id: str = (await self.api.pay()).json()["id"]
        message_id: str = await self.api.app.state.runtime.pool.fetchval(
            "SELECT message_id FROM outbox WHERE stream_id = $1", payment_id
        )
        return message_id

    async def dispatch(self) -> None:
        async with worker(self.api.app.state.runtime) as delivery:
            await drain(delivery)

    async def hold_back(self, message_id: str, older: timedelta = timedelta(0)) -> None:
        """As if nobody had dispatched it yet, and it had been written earlier."""
        await self.api.app.state.runtime.pool.execute(
            "UPDATE outbox SET dispatched_at = NULL, at = at - $2::interval WHERE message_id = $1", message_id, older
        )

    async def age(self, message_id: str, older: timedelta) -> None:
        """As if it had been written earlier."""
        await self.api.app.state.runtime.pool.execute(
            "UPDATE outbox SET at = at - $2::interval WHERE message_id = $1", message_id, older
        )

    @property
    def got(self) -> list[str]:
        return [got.message_id for got in self.receiver.got]


def away_after(count: int, stand: Stand) -> Script:
    """The API is, once so many messages were forwarded."""

    async def answer(got: Got) -> web.StreamResponse:
        if len(stand.got) == count:
            stand.here.refusals.append(503)
        return await ok(got)

    return answer


@asynccontextmanager
async def standing(database: Database, merchant_id: str) -> AsyncIterator[Stand]:
    key = await create_key(database.app_url, merchant_id)
    async with (
        receiving() as receiver,
        inside(database, merchant_id, BookedProvider()) as api,
        served(api) as here,
    ):
        yield Stand(api, here, receiver, key)


@asynccontextmanager
async def relay_of(
    stand: Stand, *, since: datetime | None = None, key: str | None = None, **more: Any
) -> AsyncIterator[Relay]:
    messages = MessageList(more.pop("address", stand.here.url), key or stand.key)
    client = EndpointClient(AddressPolicy(allow_private=True), timeout_ms=20_000, connections=1)
    given: dict[str, Any] = {"forward_to": stand.receiver.url, "poll_s": 0.01} | more
    try:
        yield Relay(
            messages, client, secret=SECRET, since=since, say=stand.said.append, note=stand.notes.append, **given
        )
    finally:
        await client.close()
        await messages.close()


async def test_what_is_not_the_api_is_named_as_that() -> None:
    async with receiving() as receiver:
        address = f"http://127.0.0.1:{receiver.port}"
        messages = MessageList(address, "key")
        with pytest.raises(ApiRefused, match=f"what answers at {address} is not the API of Tallystick: 40[45]"):
            await messages.page(utc_now())
        await messages.close()


@pytest.mark.parametrize("ahead_s", [-200, 200])
async def test_what_comes_from_now_on_is_forwarded_once_signed_and_byte_for_byte(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    """Where the developer's clock is off."""
    monkeypatch.setattr(relaying, "utc_now", lambda: utc_now() + timedelta(seconds=ahead_s))
    assert timedelta(seconds=abs(ahead_s)) > COMMITTED_WITHIN
    async with standing(database, fresh_merchant) as stand:
        await stand.pay()
        await stand.dispatch()
        async with relay_of(stand) as relay:
            await relay.begin()
            assert await relay.round() == 0, "it was there before"
            new = [await stand.pay() for _ in range(3)]
            assert await relay.round() == 0, "it is not dispatched yet"
            await stand.dispatch()
            assert [await relay.round() for _ in range(3)] == [3, 0, 0]
        assert stand.got == new == [each.message.id for each in stand.said]
        listed = {each["id"]: each for each in (await stand.api.client.get("/v1/messages")).json()["data"]}
        for got in stand.receiver.got:
            assert got.verified(SECRET)["id"] == got.message_id
            assert got.body.decode() == listed[got.message_id]["body"]
            assert got.headers["tallystick-version"] == "2026-11-26"
        assert {each.result.result for each in stand.said} == {"delivered"}


async def test_a_message_is_not_missed_however_late_it_is_dispatched(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It appears behind what was read already, also where that was read page by page, and the API was away between."""
    monkeypatch.setattr(relaying, "_PAGE", 2)
    async with standing(new_database(), "m1") as stand, relay_of(stand, since=utc_now() - 400 * DAY) as relay:
        late, months_later = [await stand.pay() for _ in range(2)]
        prompt = [await stand.pay() for _ in range(5)]
        await stand.dispatch()
        await stand.hold_back(late)
        await stand.hold_back(months_later, older=90 * DAY)
        await relay.begin()
        stand.receiver.script = away_after(3, stand)
        with pytest.raises(ApiAway):
            await relay.round()
        stand.receiver.script = ok
        assert [await relay.round() for _ in range(2)] == [1, 0]
        assert stand.got == prompt
        await stand.dispatch()
        assert [await relay.round() for _ in range(3)] == [2, 0, 0]
        assert stand.got == [*prompt, months_later, late]


@pytest.mark.parametrize("since", [None, timedelta(minutes=1)])
async def test_a_message_that_is_committed_late_is_not_missed(
    new_database: NewDatabase, since: timedelta | None
) -> None:
    """Nobody knew of it when the list was said to be whole."""
    async with (
        standing(new_database(), "m1") as stand,
        relay_of(stand, since=None if since is None else utc_now() - since) as relay,
    ):
        await relay.begin()
        assert await relay.round() == 0
        new = await stand.pay()
        await stand.hold_back(new, older=timedelta(seconds=50))
        await stand.dispatch()
        assert [await relay.round() for _ in range(2)] == [1, 0]
        assert stand.got == [new]


async def test_what_is_remembered_is_bounded(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is whole nothing is. Behind a message that waits, as much is forwarded as there is room to remember."""
    monkeypatch.setattr(relaying, "KNOWN_LIMIT", 4)
    monkeypatch.setattr(relaying, "_PAGE", 3)
    async with standing(new_database(), "m1") as stand, relay_of(stand, since=utc_now() - 400 * DAY) as relay:
        await relay.begin()
        old = [await stand.pay() for _ in range(6)]
        await stand.dispatch()
        for place, message_id in enumerate(old):
            await stand.age(message_id, DAY * (20 - place))
        waiting = await stand.pay()
        await stand.age(waiting, DAY)
        assert [await relay.round() for _ in range(2)] == [6, 0]
        new = [await stand.pay() for _ in range(6)]
        await stand.dispatch()
        await stand.hold_back(waiting)
        assert [await relay.round() for _ in range(3)] == [4, 0, 0]
        assert len(stand.notes) == 1 and "is not dispatched yet" in stand.notes[0]
        await stand.dispatch()
        for message_id in new:
            await stand.age(message_id, 2 * COMMITTED_WITHIN)
        assert [await relay.round() for _ in range(2)] == [3, 0]
        assert stand.got == [*old, *new[:4], waiting, *new[4:]]


async def test_what_was_written_since_a_time_is_forwarded_page_by_page(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "_PAGE", 2)
    async with standing(database, fresh_merchant) as stand:
        before = await stand.pay()
        since = utc_now()
        new = [await stand.pay() for _ in range(5)]
        await stand.dispatch()
        async with relay_of(stand, since=since) as relay:
            await relay.begin()
            assert [await relay.round() for _ in range(2)] == [5, 0]
        assert stand.got == new and before not in new


async def test_a_failure_is_shown_and_the_next_message_goes(database: Database, fresh_merchant: str) -> None:
    async with standing(database, fresh_merchant) as stand:
        stand.receiver.script = first(1)
        nobody = f"http://127.0.0.1:{free_port()}/"
        async with relay_of(stand) as relay, relay_of(stand, forward_to=nobody) as other:
            await relay.begin()
            await other.begin()
            new = [await stand.pay() for _ in range(2)]
            await stand.dispatch()
            assert [await relay.round() for _ in range(2)] == [2, 0]
            shown = [(each.result.result, each.result.detail) for each in stand.said]
            assert shown == [("refused", "answered with 500")] * 2
            assert stand.got == new
            assert await other.round() == 2
            assert {each.result.detail for each in stand.said[2:]} == {CONNECTION_REFUSED}


async def test_an_api_that_is_away_is_said_once_and_asked_again(database: Database, fresh_merchant: str) -> None:
    async with standing(database, fresh_merchant) as stand, relay_of(stand) as relay:
        await relay.begin()
        stand.here.refusals += [503, 500, 429]
        new = await stand.pay()
        await stand.dispatch()
        running = asyncio.create_task(relay.run())
        try:
            await eventually_async(lambda: stand.got == [new] and len(stand.notes) == 2)
        finally:
            running.cancel()
        assert [note.startswith(f"{stand.here.url} answered 503") for note in stand.notes] == [True, False]
        assert stand.notes[1] == "The API answers again."


async def test_a_key_that_is_refused_ends_it_and_so_does_an_address_without_an_api(
    database: Database, fresh_merchant: str
) -> None:
    async with standing(database, fresh_merchant) as stand:
        async with relay_of(stand, key="tsk_nobody") as relay:
            with pytest.raises(ApiRefused, match="401 unauthenticated: Send a valid API key"):
                await relay.begin()
            with pytest.raises(ApiRefused):
                await relay.run()
        nowhere = f"http://127.0.0.1:{free_port()}"
        async with relay_of(stand, address=nowhere) as relay:
            with pytest.raises(ApiAway, match=f"cannot reach the API at {nowhere}"):
                await relay.begin()
        async with relay_of(stand, address=stand.receiver.url) as relay:
            with pytest.raises(ApiRefused):
                await relay.begin()
        stand.here.refusals.append(302)
        async with relay_of(stand) as relay:
            with pytest.raises(ApiRefused, match="is not the API of Tallystick: 302"):
                await relay.begin()


async def test_the_command_forwards_until_it_is_interrupted(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with standing(database, fresh_merchant) as stand:
        (tmp_path / "api-key").write_text(f"{stand.key}\n")
        stand.receiver.script = ok
        arguments = ("listen", "--forward-to", stand.receiver.url.removeprefix("http://"), "--api", stand.here.url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tallystick", *arguments, "--data-dir", str(tmp_path), "--secret", SECRET,
            env=clean_environment({}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stderr is not None and process.stdout is not None
            assert (await process.stderr.readline()).decode().startswith(f"Forwarding messages of {stand.here.url}")
            new = await stand.pay()
            await stand.dispatch()
            line = (await process.stdout.readline()).decode()
            assert line.split()[1:] == ["200", "payment.captured", new]
            process.send_signal(signal.SIGINT)
            assert (await process.stderr.read()).decode() == "1 delivered, 0 failed.\n", "nor the secret"
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert stand.receiver.got[0].verified(SECRET)["id"] == new
