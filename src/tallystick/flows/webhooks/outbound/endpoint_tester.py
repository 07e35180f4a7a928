"""Test messages: one try at once, by the same rules as every message, and nothing of it but who asked is kept."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.decisions.messages import TEST_TYPE, body_of_test, shown_by
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.errors import Overloaded
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy, wait_coarsely
from tallystick.flows.webhooks.outbound.client import (
    ADDRESS_REFUSED,
    NEVER_TOO_LATE,
    DeliveryResult,
    EndpointClient,
)
from tallystick.flows.webhooks.outbound.signing import VERSION_HEADER, signed_headers
from tallystick.flows.webhooks.outbound.signing_secrets import UNSIGNED, SigningSecrets
from tallystick.flows.webhooks.outbound.tls import client_context
from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.outbox import Outbox
from tallystick.record.postgres.webhook_endpoints import EndpointRow, EndpointStore
from tallystick.record.sealing import Sealer
from tallystick.settings.load import Settings

log = get_logger("tallystick.flows.webhooks.outbound.endpoint_tester")

#: Test messages in transit from one process at once. Each may wait for a whole time-out; more would be no tests.
IN_TRANSIT_LIMIT: Final = 32


class EndpointTest(Struct, frozen=True):
    """One test message, and what came of it."""

    message_id: str
    at: datetime
    result: DeliveryResult


class EndpointTester:
    """Sends test messages, whatever the state of an endpoint, and changes nothing of it."""

    def __init__(
        self,
        book: EndpointStore,
        outbox: Outbox,
        sealer: Sealer,
        policy: AddressPolicy,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._book = book
        self._outbox = outbox
        self._secrets = SigningSecrets(sealer)
        self._policy = policy
        self._timeout_ms = settings.outbound_timeout_ms
        self._clock = clock
        self._in_transit = 0

    async def test(self, merchant_id: str, endpoint: EndpointRow, *, actor: str) -> EndpointTest:
        """Send one. Raises Overloaded, LookupError where this release does not serve the endpoint's version, and what
        asyncpg raises."""
        if self._in_transit >= IN_TRANSIT_LIMIT:
            raise Overloaded("too many test messages are in transit")
        self._in_transit += 1
        try:
            return await self._send(merchant_id, endpoint, actor)
        finally:
            self._in_transit -= 1

    async def _send(self, merchant_id: str, endpoint: EndpointRow, actor: str) -> EndpointTest:
        name = (merchant_id, endpoint.endpoint_id)
        version = VERSIONS.of_stored(endpoint.api_version)
        if version is None:
            raise LookupError(f"this release does not serve version {endpoint.api_version} of the API")
        sealed = (await self._outbox.signing_secrets([name])).get(name, [])
        message_id, at = new_id("tst"), self._clock.now()
        await self._book.note_test(*name, message_id, actor=actor)
        result = UNSIGNED
        if signing := self._secrets.opened(name, sealed):
            newest = body_of_test(message_id, at, endpoint.endpoint_id)
            body, is_in = VERSIONS.message(newest, shown_by(TEST_TYPE), version, VERSIONS.newest)
            headers = {**signed_headers(message_id, at, body, signing), VERSION_HEADER: is_in.date}
            # A client of its own: a new lookup, a new connection and a new handshake are what is tested.
            tls = await asyncio.to_thread(client_context)
            client = EndpointClient(self._policy, timeout_ms=self._timeout_ms, connections=1, tls=tls)
            started_ms = monotonic_ms()
            try:
                result = await client.send(endpoint.url, headers, body, write_by_ms=NEVER_TOO_LATE, now=at)
                if result.result == ADDRESS_REFUSED:
                    await wait_coarsely(started_ms)
            finally:
                await client.close()
        log.info(
            "webhook endpoint tested",
            merchant_id=merchant_id,
            endpoint_id=endpoint.endpoint_id,
            message_id=message_id,
            result=result.result,
            status=result.status,
            reason=result.hidden or result.detail,
        )
        return EndpointTest(message_id, at, result)
