"""The merchant's own server: it receives messages about every payment, verifies each signature, and is down at first,
so that the refused messages have to come again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tallystick.lab.demo.result import Check

#: This many messages are refused once. Their next try comes 5 to 6 s later, while the payments are still under way.
REFUSED_AT_FIRST: Final = 25

#: Retries of the last messages come within 6 s; a busy laptop needs a multiple.
RECEIVED_WITHIN_S: Final = 30
POLL_S: Final = 0.1

#: Each takes milliseconds.
REQUEST_TIMEOUT_S: Final = 15


class ReceivedMessage(msgspec.Struct, frozen=True):
    """The checked parts of a message's body."""

    id: str
    type: str
    version: int
    data: dict[str, Any]
    payment_id: str | None = None  # none where it is about no payment's own state


_MESSAGE: Final = msgspec.json.Decoder(ReceivedMessage)


class Merchant:
    """The received messages. ``secret`` is known once the endpoint is registered."""

    def __init__(self) -> None:
        self.secret = ""
        self.received: dict[str, ReceivedMessage] = {}  # in the order in which they were first accepted
        self.refused: set[str] = set()
        self.repeated = 0
        self.forged = 0

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """One message: 401 where the signature is not ours, 503 while the server is down, else 204."""
        body = await request.read()
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.forged += 1
            return web.Response(status=401)
        message = _MESSAGE.decode(body)
        if message.id not in self.refused and len(self.refused) < REFUSED_AT_FIRST:
            self.refused.add(message.id)
            return web.Response(status=503)
        if message.id in self.received:
            self.repeated += 1
        self.received.setdefault(message.id, message)
        return web.Response(status=204)

    async def wait_for(self, message_ids: Iterable[str], progress: Callable[[int, int], None]) -> None:
        """Wait until all of these were received, or none came for too long."""
        wanted, give_up = set(message_ids), time.monotonic() + RECEIVED_WITHIN_S
        fewest = len(wanted)
        while True:
            missing = len(wanted - self.received.keys())
            progress(len(wanted) - missing, len(wanted))
            if missing < fewest:
                fewest, give_up = missing, time.monotonic() + RECEIVED_WITHIN_S
            if not missing or time.monotonic() > give_up:
                return
            await asyncio.sleep(POLL_S)

    def check(self, message_ids: Iterable[str], payments: Iterable[Mapping[str, Any]]) -> Check:
        """Check the received messages: ``message_ids`` are those of the run in the record, ``payments`` their current
        state in the API."""
        differences = [f"{message_id}: never came" for message_id in message_ids if message_id not in self.received]
        differences += [f"{message_id}: was refused, and never came again" for message_id in self._lost()]
        differences += [f"{message.id}: {message.type} came after a later version" for message in self._overtaken()]
        last_state = {t.payment_id: t.data["state"] for t in self.received.values() if t.type.startswith("payment.")}
        for payment in payments:
            if last_state.get(payment["id"], payment["state"]) != payment["state"]:
                differences.append(
                    f"{payment['id']}: last message says {last_state[payment['id']]}, is {payment['state']}"
                )
        if self.forged:
            differences.append(f"{self.forged} messages whose signature is not valid")
        if not self.refused:
            differences.append("no message was refused, so redelivery was not tested")
        seen = f"{len(self.received):,} messages, {len(self.refused)} of them refused at first"
        return Check("the merchant received every message, signed, in order by payment", seen, differences)

    def _lost(self) -> list[str]:
        return sorted(self.refused - self.received.keys())

    def _overtaken(self) -> list[ReceivedMessage]:
        highest: dict[str, int] = {}
        late = []
        for message in self.received.values():
            if message.payment_id is None:
                continue
            if message.version < highest.get(message.payment_id, 0):
                late.append(message)
            highest[message.payment_id] = max(message.version, highest.get(message.payment_id, 0))
        return late


@asynccontextmanager
async def merchant_listening(address: str, api_key: str) -> AsyncIterator[Merchant]:
    """A merchant's server on a free port, registered as an endpoint for as long as this lasts."""
    merchant = Merchant()
    app = web.Application()
    app.router.add_post("/webhooks", merchant.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    try:
        await web.SockSite(runner, listening).start()
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        ) as session:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/webhooks"
            endpoints = f"{address}/v1/webhook-endpoints"
            async with session.post(endpoints, json={"url": url}, raise_for_status=True) as answer:
                registered = msgspec.json.decode(await answer.read())
            merchant.secret = registered["secret"]
            try:
                yield merchant
            finally:
                async with session.delete(f"{endpoints}/{registered['endpoint']['id']}"):
                    pass  # the API may be gone already
    finally:
        await runner.cleanup()
