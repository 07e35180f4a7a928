"""The outbound worker: dispatches what the outbox holds, and sends what is due, each payment's messages in order.

A worker holds a queue (one payment's messages to one endpoint) by lease while it sends the first of them. When it dies,
the lease expires and another worker sends that message again: at least once. Messages never overtake each other within
a queue; queues, endpoints and merchants do not wait for each other: merchants share the senders (``kit.fair_shares``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from tallystick.decisions.messages import shown_by
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.measures import MESSAGE_LAG, MESSAGE_TRIES
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import DeliveryResult, EndpointClient
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE, address_policy
from tallystick.flows.webhooks.outbound.results import ResultWriter
from tallystick.flows.webhooks.outbound.retries import wait_ms
from tallystick.flows.webhooks.outbound.signing import VERSION_HEADER, signed_headers
from tallystick.flows.webhooks.outbound.signing_secrets import UNSIGNED, SigningSecrets
from tallystick.flows.webhooks.outbound.try_line import TRIED, UNNAMED, MessageNames, end_try, names_of, names_wanted
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.fair_shares import FairShares
from tallystick.kit.ids import new_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.steps import begin, span_header
from tallystick.kit.trace_context import own_header
from tallystick.record.postgres.outbox import (
    SECRET_UNREADABLE,
    EndpointName,
    FinishedTry,
    LeasedMessage,
    QueueName,
)
from tallystick.record.postgres.webhook_endpoints import DeliveryState

log = get_logger("tallystick.flows.webhooks.outbound")

ACTOR: Final = "delivery"

_MS: Final = timedelta(milliseconds=1)


class _Dated(Struct):
    timestamp: datetime


#: When the step of a message was, by its body.
_WRITTEN: Final = Decoder(_Dated).decode

#: One line of a merchant and a result in this long: enough to see that an endpoint fails, whatever its backlog. No
#: client makes a merchant or a result.
FAILURE_EVERY_S: Final = 60.0

Secrets = Mapping[EndpointName, list[tuple[str, bytes]]]


class OutboxWorker:
    """One worker of the outbox. Make it inside a running event loop, and close it."""

    def __init__(self, runtime: Runtime, *, policy: AddressPolicy | None = None) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self.book = runtime.stores.outbound_book
        self._endpoints = runtime.stores.endpoint_book
        self._dispatch = Dispatch(self.book, settings.outbound_batch)
        self._results = ResultWriter(self.book, runtime.outage)
        self._client = EndpointClient(
            policy or address_policy(settings),
            timeout_ms=settings.outbound_timeout_ms,
            connections=settings.outbound_concurrency,
        )
        self._secrets = SigningSecrets(runtime.sealer)
        self._failures = SampledLines(FAILURE_EVERY_S)
        self._senders = FairShares(settings.outbound_concurrency)
        self._running: Counter[str] = Counter()
        self._failing: set[str] = set()  # endpoints in _running that failed before
        self._tasks: set[asyncio.Task[None]] = set()
        #: Set when there may be more to send: a message was dispatched, or a slot became free.
        self.wake = asyncio.Event()

    async def dispatch(self) -> int:
        """Dispatch one batch from the outbox. Returns how many messages that were."""
        found = await self._dispatch.round()
        if found:
            self.wake.set()
        return found

    async def finish(self) -> None:
        """Wait for the tries in progress."""
        await asyncio.gather(*self._tasks)

    async def round(self) -> int:
        """Dispatch and send everything that is due, once, to its end. Returns how much there was."""
        found = await self.dispatch()
        found += await self.begin()
        await self.finish()
        return found

    async def close(self) -> None:
        """Close every connection to endpoints."""
        self._secrets.flush()
        self._failures.flush()
        await self._client.close()

    async def begin(self) -> int:
        """Start a task for every message that is due and has room. Returns how many."""
        free, of_each = self._senders.free, self._runtime.settings.outbound_endpoint_concurrency
        if free <= 0:
            return 0
        # A failing endpoint gets one message at a time until it succeeds again.
        busy = [name for name, running in self._running.items() if name in self._failing or running >= of_each]
        chosen, planned = [], Counter(self._running)
        for queue in await self.book.due(free, busy, of_each, self._senders.full()):
            if planned[queue.endpoint_id] < of_each and self._senders.take(queue.merchant_id):
                planned[queue.endpoint_id] += 1
                chosen.append(queue)
        return await self._send_first_of(chosen) if chosen else 0

    async def _send_first_of(self, chosen: Sequence[QueueName]) -> int:
        """Lease the queues, each of which has a sender, and start to send. Returns how many were free."""
        settings = self._runtime.settings
        unused = Counter(queue.merchant_id for queue in chosen)
        try:
            leased_ms = monotonic_ms()
            leased = await self.book.lease(chosen, new_id("lse"), settings.outbound_lease_ms)
            secrets = await self.book.signing_secrets(one.held.queue[:2] for one in leased)
            names = await self._names_of(leased)
            # A response may take its whole time-out, and its result a moment to be written.
            write_by_ms = leased_ms + settings.outbound_lease_ms - 2 * settings.outbound_timeout_ms
            for one in leased:
                self._start(one, secrets, write_by_ms, names.get(one.message_id, UNNAMED))
                unused[one.held.queue.merchant_id] -= 1
            return len(leased)
        finally:
            for merchant_id in unused.elements():
                self._senders.give_back(merchant_id)

    async def _names_of(self, leased: Sequence[LeasedMessage]) -> Mapping[str, MessageNames]:
        """For lines and spans. What cannot be read is not named, and the messages are sent all the same."""
        if not leased or not names_wanted():
            return {}
        try:
            return await names_of(leased, self._runtime.reads)
        except Exception as error:
            if not self._runtime.outage.failed("delivery", error):
                log.warning("payments of messages not read", error=type(error).__name__)
            return {}

    def _start(self, message: LeasedMessage, secrets: Secrets, write_by_ms: int, names: MessageNames) -> None:
        merchant_id, endpoint_id = message.held.queue[:2]
        task = asyncio.create_task(self._deliver(message, secrets, write_by_ms, names))
        self._tasks.add(task)
        self._running[endpoint_id] += 1
        if message.failing_for_ms is not None:
            self._failing.add(endpoint_id)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._senders.give_back(merchant_id)
            self._running[endpoint_id] -= 1
            self._failing.discard(endpoint_id)
            if not self._running[endpoint_id]:
                del self._running[endpoint_id]
            self.wake.set()

        task.add_done_callback(done)

    async def _deliver(self, message: LeasedMessage, secrets: Secrets, write_by_ms: int, names: MessageNames) -> None:
        """One try: sign, send, record, and disable the endpoint if the response calls for it. ``names``: for
        its line."""
        queue = message.held.queue
        step = begin(TRIED, "producer", message.traceparent, linked=(message.traceparent,))
        try:
            started_at = self._runtime.clock.now()
            signing = self._secrets.opened(queue[:2], secrets.get((queue.merchant_id, queue.endpoint_id), []))
            if signing:
                body, dated = _in_its_version(message)
                headers = {**signed_headers(message.message_id, started_at, body, signing), VERSION_HEADER: dated}
                if message.traceparent is not None:
                    headers["traceparent"] = own_header(message.traceparent, span_header(step))
                answer = await self._client.send(message.url, headers, body, write_by_ms=write_by_ms, now=started_at)
            else:
                answer = UNSIGNED
            if answer.result == "too_late":
                await self.book.release(message.held)
                return
            MESSAGE_TRIES[answer.result,] += 1
            if answer.result == DELIVERED:
                MESSAGE_LAG.observe((), max(0, (self._runtime.clock.now() - _WRITTEN(message.body).timestamp) // _MS))
            wait = wait_ms(message.tries + 1, answer.retry_after_ms, self._runtime.jitter)
            state: DeliveryState = DELIVERED if answer.result == DELIVERED else "exhausted" if wait is None else "open"
            await self._results.record(
                FinishedTry(
                    leased=message,
                    try_id=new_id("try"),
                    started_at=started_at,
                    duration_ms=answer.duration_ms,
                    result=answer.result,
                    status=answer.status,
                    detail=answer.detail,
                    state=state,
                    next_try_in_ms=wait or 0,
                )
            )
            self._report(message, answer, state)
            if step is not None:
                end_try(step, message, names, answer, state)
            await self._judge(message, answer)
        except Exception as error:  # the lease expires, and the message is sent again
            if not self._runtime.outage.failed("delivery", error):
                log.error("delivery failed", endpoint_id=queue.endpoint_id, error=repr(error))

    def _report(self, message: LeasedMessage, answer: DeliveryResult, state: str) -> None:
        """A line of the log about a try that failed, at a bounded rate; an unreadable secret has its own."""
        if answer.result not in (DELIVERED, SECRET_UNREADABLE):
            slot = (message.held.queue.merchant_id, answer.result)
            self._failures.line(slot, partial(_say_failed, message, answer, state))

    async def _judge(self, message: LeasedMessage, answer: DeliveryResult) -> None:
        if answer.result in (DELIVERED, SECRET_UNREADABLE):  # the endpoint has no part in the second
            return
        failing_for_ms = message.failing_for_ms or 0
        reason = GONE if answer.result == "gone" else FAILING
        if reason == GONE or failing_for_ms > self._runtime.settings.outbound_failing_limit_ms:
            queue = message.held.queue
            if await self._endpoints.disable(queue.merchant_id, queue.endpoint_id, reason, actor=ACTOR):
                log.warning("webhook endpoint disabled", endpoint_id=queue.endpoint_id, reason=reason)


def _in_its_version(message: LeasedMessage) -> tuple[bytes, str]:
    """The body in the version that its endpoint is pinned to, and that version's date. Raises LookupError where this
    release does not serve one of the two versions: another worker may."""
    version, form = VERSIONS.of_stored(message.api_version), VERSIONS.of_stored(message.written_in)
    if version is None or form is None:
        lacking = message.api_version if version is None else message.written_in
        raise LookupError(f"this release does not serve version {lacking} of the API")
    body, is_in = VERSIONS.message(message.body, shown_by(message.type), version, form)
    return body, is_in.date


def _say_failed(message: LeasedMessage, answer: DeliveryResult, state: str, since_last_line: int) -> None:
    log.warning(
        "webhook delivery failed",
        merchant_id=message.held.queue.merchant_id,
        endpoint_id=message.held.queue.endpoint_id,
        message_id=message.message_id,
        key_kind=message.key_kind,
        payment_id=message.held.queue.stream_id,
        result=answer.result,
        status=answer.status,
        reason=answer.hidden or answer.detail,
        tries=message.tries + 1,
        state=state,
        since_last_line=since_last_line,
    )
