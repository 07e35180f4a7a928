"""The outbound worker: dispatches what the outbox holds, and sends what is due, each payment's messages in order.

A worker holds a lane (one payment's messages to one endpoint) by lease while it sends the first of them. When it dies,
the lease ends and another sends that message again: at least once. Nothing overtakes within a lane; lanes, endpoints
and merchants do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.address_policy import Guard
from tallystick.flows.webhooks.outbound.client import Answer, Sending
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE, guard_of, secret_seal
from tallystick.flows.webhooks.outbound.results import Recording
from tallystick.flows.webhooks.outbound.retries import wait_ms
from tallystick.flows.webhooks.outbound.signing import signed_headers
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.outbox import Claimed, EndpointName, OutboundBook, Tried
from tallystick.record.postgres.webhook_endpoints import EndpointBook
from tallystick.record.sealing import SealBroken, Sealer

log = get_logger("tallystick.flows.webhooks.outbound")

ACTOR: Final = "delivery"

#: At most so many secrets sign, at 48 bytes each: a rotation that is asked for again and again shall not make a header
#: too long for the receiver (8 kB in all is common). The newest and the oldest: in between are those that nobody saw.
_SIGNING_SECRETS: Final = 10

Secrets = Mapping[EndpointName, list[tuple[str, bytes]]]


class Delivery:
    """One worker's outbound half. Make it inside a running event loop, and close it."""

    def __init__(self, runtime: Runtime, sealer: Sealer, *, guard: Guard | None = None) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._sealer = sealer
        self.book = OutboundBook(runtime.pool, clock_shift_ms=settings.clock_shift_ms)
        self._endpoints = EndpointBook(runtime.pool, clock_shift_ms=settings.clock_shift_ms)
        self._dispatch = Dispatch(self.book, settings.outbound_batch)
        self._recording = Recording(self.book)
        self._sending = Sending(
            guard or guard_of(settings),
            timeout_ms=settings.outbound_timeout_ms,
            connections=settings.outbound_concurrency,
        )
        self._running: Counter[str] = Counter()
        self._failing: set[str] = set()  # those of them that failed before
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; then what is under way ends first. A round that fails is logged and tried again."""
        stopping = asyncio.create_task(self._wake_at(stop))
        try:
            await asyncio.gather(self._keep_dispatching(stop), self._keep_sending(stop))
            await asyncio.gather(*self._tasks)
        finally:
            stopping.cancel()
            await self.close()

    async def round(self) -> int:
        """Dispatch and send everything that is due, once. Returns how much there was."""
        found = await self._dispatch.round()
        found += await self._begin()
        await asyncio.gather(*self._tasks)
        return found

    async def close(self) -> None:
        """Close every connection to endpoints."""
        await self._sending.close()

    async def _keep_dispatching(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            found = 0
            try:
                found = await self._dispatch.round()
            except Exception as error:
                log.error("dispatch round failed", error=repr(error))
            if found:
                self._wake.set()
            else:
                await self._pause(stop)

    async def _keep_sending(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            found = 0
            try:
                found = await self._begin()
            except Exception as error:
                log.error("delivery round failed", error=repr(error))
            if found == 0:
                await self._pause(self._wake)

    async def _pause(self, until: asyncio.Event) -> None:
        try:
            await asyncio.wait_for(until.wait(), self._runtime.settings.outbound_interval_ms / 1000)
        except TimeoutError:
            return

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _begin(self) -> int:
        """Start a task for every message that is due and has room. Returns how many."""
        settings = self._runtime.settings
        free, of_each = settings.outbound_concurrency - len(self._tasks), settings.outbound_endpoint_concurrency
        if free <= 0:
            return 0
        # An endpoint that failed is asked by one message at a time until it answers well again.
        busy = [name for name, running in self._running.items() if name in self._failing or running >= of_each]
        chosen, planned = [], Counter(self._running)
        for lane in await self.book.due(free, busy, of_each):
            if planned[lane.endpoint_id] < of_each:
                planned[lane.endpoint_id] += 1
                chosen.append(lane)
        if not chosen:
            return 0
        leased_ms = monotonic_ms()
        claimed = await self.book.claim(chosen, new_id("lse"), settings.outbound_lease_ms)
        secrets = await self.book.signing_secrets(one.held.lane[:2] for one in claimed)
        # An answer may take its whole time-out, and its result a moment to be written.
        write_by_ms = leased_ms + settings.outbound_lease_ms - 2 * settings.outbound_timeout_ms
        for one in claimed:
            self._start(one, secrets, write_by_ms)
        return len(claimed)

    def _start(self, claimed: Claimed, secrets: Secrets, write_by_ms: int) -> None:
        endpoint_id = claimed.held.lane.endpoint_id
        task = asyncio.create_task(self._deliver(claimed, secrets, write_by_ms))
        self._tasks.add(task)
        self._running[endpoint_id] += 1
        if claimed.failing_for_ms is not None:
            self._failing.add(endpoint_id)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._running[endpoint_id] -= 1
            self._failing.discard(endpoint_id)
            if not self._running[endpoint_id]:
                del self._running[endpoint_id]
            self._wake.set()

        task.add_done_callback(done)

    async def _deliver(self, claimed: Claimed, secrets: Secrets, write_by_ms: int) -> None:
        """One try: sign, send, record, and disable the endpoint where that is what the answer means."""
        lane = claimed.held.lane
        try:
            started_at = self._runtime.clock.now()
            signing = self._opened(lane[:2], secrets.get((lane.merchant_id, lane.endpoint_id), []))
            headers = signed_headers(claimed.message_id, started_at, claimed.body, signing)
            answer = await self._sending.send(
                claimed.url, headers, claimed.body, write_by_ms=write_by_ms, now=started_at
            )
            if answer.result == "too_late":
                await self.book.release(claimed.held)
                return
            wait = wait_ms(claimed.tries + 1, answer.retry_after_ms, self._runtime.chance)
            await self._recording.record(
                Tried(
                    claimed=claimed,
                    try_id=new_id("try"),
                    started_at=started_at,
                    duration_ms=answer.duration_ms,
                    result=answer.result,
                    status=answer.status,
                    detail=answer.detail,
                    state="delivered" if answer.result == "delivered" else "exhausted" if wait is None else "open",
                    next_try_in_ms=wait or 0,
                )
            )
            await self._judge(claimed, answer)
        except SealBroken:
            log.error("webhook secret cannot be opened", alert=True, endpoint_id=lane.endpoint_id)
        except Exception as error:  # the lease runs out, and the message is sent again
            log.error("delivery failed", endpoint_id=lane.endpoint_id, error=repr(error))

    async def _judge(self, claimed: Claimed, answer: Answer) -> None:
        if answer.result == "delivered":
            return
        failing_for_ms = claimed.failing_for_ms or 0
        reason = GONE if answer.result == "gone" else FAILING
        if reason == GONE or failing_for_ms > self._runtime.settings.outbound_failing_limit_ms:
            lane = claimed.held.lane
            if await self._endpoints.disable(lane.merchant_id, lane.endpoint_id, reason, actor=ACTOR):
                log.warning("webhook endpoint disabled", endpoint_id=lane.endpoint_id, reason=reason)

    def _opened(self, name: EndpointName, sealed: Sequence[tuple[str, bytes]]) -> list[str]:
        """Raises SealBroken."""
        chosen = sealed if len(sealed) <= _SIGNING_SECRETS else [sealed[0], *sealed[1 - _SIGNING_SECRETS :]]
        return [self._sealer.open(value, secret_seal(*name, secret_id)).decode() for secret_id, value in chosen]
