"""``POST /v1/webhooks/{provider}/{account}``: verify, put into the envelope, make durable, respond. No business logic.

No API key and no idempotency key: the signature proves the sender, and the event's id tells redeliveries apart.
A rejected delivery is counted and sampled in the log; it is never processed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from litestar.types import Scope
from msgspec.structs import replace

from tallystick.domain.errors import Overloaded, problem
from tallystick.flows.contract_drift import ContractDrift
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH, Envelope, envelope_of, sealed_part
from tallystick.flows.webhooks.inbound.event_lines import KEPT, end_kept
from tallystick.flows.webhooks.inbound.intake import Arrival, Intake, IntakeUnavailable
from tallystick.flows.webhooks.inbound.rejected import UNKNOWN, RejectedDeliveries
from tallystick.interfaces.api.http import JSON, ApiRequest, Header, HttpResponse
from tallystick.interfaces.api.problems import ProblemError, busy
from tallystick.kit.clock import Clock
from tallystick.kit.spans import within
from tallystick.kit.steps import begin
from tallystick.kit.trace_context import parsed
from tallystick.providers.contract_drift import Drift
from tallystick.providers.receiver import BadSignature, Receiver, StaleTimestamp, Unparseable
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.sealing import Sealer, delivery_row

PATH: Final = "/v1/webhooks/{provider}/{account}"

#: Providers send a few kB, Adyen a few hundred for a full body of items; the contract's figure.
MAX_WEBHOOK_BYTES: Final = 1_048_576

#: The code and detail of each refusal, in the order of the checks.
_REFUSALS: Final[Mapping[type[Exception], tuple[str, str]]] = {
    BadSignature: ("webhook_signature_invalid", "The signature is missing, malformed, or does not match the body."),
    StaleTimestamp: (
        "webhook_timestamp_stale",
        "The signature is valid, but its timestamp is too far from the current time.",
    ),
    Unparseable: (
        "webhook_unparseable",
        "The body has no items of this provider, and so no signature of one.",
    ),
}

#: Codes that the endpoint may answer with, for the OpenAPI document.
CODES: Final = (
    "request_malformed",
    "webhook_signature_invalid",
    "body_too_large",
    "request_timeout",
    "body_incomplete",
    "not_found",
    "webhook_timestamp_stale",
    "webhook_unparseable",
    "overloaded",
    "not_ready",
)


class _Verified(NamedTuple):
    """What is kept of a delivery: its events, and bytes that hold nothing else. ``drift``: what of it is not read here
    as it was sent. ``refusal``: the answer, where another of its items has no right signature, so that the delivery
    comes again."""

    envelopes: Sequence[Envelope]
    body: bytes
    drift: Sequence[Drift]
    refusal: ProblemError | None


class WebhookReceiver:
    """The endpoint of one process."""

    def __init__(
        self,
        receivers: Mapping[tuple[str, str], Receiver],
        intake: Intake,
        rejected: RejectedDeliveries,
        sealer: Sealer,
        words: ProviderWords,
        clock: Clock,
        drift: ContractDrift,
    ) -> None:
        self._receivers = receivers
        self._intake = intake
        self._sealer = sealer
        self._words = words
        self._actions = ActionSeal(sealer)
        self._clock = clock
        self._rejected = rejected
        self._drift = drift

    async def respond(self, scope: Scope, request: ApiRequest) -> HttpResponse:
        """2xx once everything in the delivery is durable. Raises ProblemError."""
        request_id = request.request_id
        provider, account = request.path_ids["provider"], request.path_ids["account"]
        receiver = self._receivers.get((provider, account))
        if receiver is None:
            # Names from the path stay out of counts and logs: anyone can send any.
            self._rejected.count(UNKNOWN, UNKNOWN, "not_found")
            raise ProblemError(problem("not_found", "There is no such provider and account.", request_id=request_id))
        received_at = self._clock.now()
        step = begin(KEPT, "server", parsed(request.traceparents))
        try:
            headers = _headers(scope)
            body = await request.body(MAX_WEBHOOK_BYTES)
            with within(None if step is None else step.span):
                verified = self._verified(receiver, body, headers, received_at, request_id)
        except ProblemError as refused:
            self._rejected.count(provider, account, refused.problem.code)
            raise
        validated_at = self._clock.now()
        await self._accept(self._arrivals(verified.envelopes, verified.body, headers, validated_at), request_id)
        if step is not None:
            end_kept(step, request_id, verified.envelopes)
        self._drift.note(receiver.name, verified.drift)  # not before: a delivery that is not kept comes again
        if verified.refusal is not None:
            self._rejected.count(provider, account, verified.refusal.problem.code)
            raise verified.refusal
        response_headers: tuple[Header, ...] = ((b"request-id", request_id.encode()),)
        return HttpResponse(200, receiver.acknowledgement, receiver.content_type or JSON, response_headers)

    def _verified(
        self, receiver: Receiver, body: bytes, headers: Mapping[str, str], received_at: Any, request_id: str
    ) -> _Verified:
        """Raises ProblemError where nothing in the delivery is kept."""
        refusal: ProblemError | None = None
        try:
            notifications = receiver.receive(body, headers, received_at)
        except tuple(_REFUSALS) as error:
            code, detail = _REFUSALS[type(error)]
            refusal = ProblemError(problem(code, detail, request_id=request_id))
            if not isinstance(error, BadSignature) or not error.signed:
                raise refusal from None
            notifications, body = error.signed, error.body
        envelopes = [envelope_of(receiver, each, body, headers, received_at, self._words) for each in notifications]
        drift = [found for each in notifications for found in each.drift]
        return _Verified(envelopes, body, drift, refusal)

    async def _accept(self, arrivals: Sequence[Arrival], request_id: str) -> None:
        """Returns when they are durable. Raises ProblemError."""
        try:
            if arrivals:
                await self._intake.accept(arrivals)
        except Overloaded as error:
            raise busy("overloaded", f"Nothing was kept: {error}.", request_id) from None
        except IntakeUnavailable:
            raise busy("not_ready", "The inbox cannot be written now; send the delivery again.", request_id) from None

    def _arrivals(
        self, envelopes: Sequence[Envelope], body: bytes, headers: Mapping[str, str], validated_at: datetime
    ) -> list[Arrival]:
        """The events of one delivery, each once. The inbox detects other bytes under the same event id. The raw bytes
        are kept with the first event and the others refer to it: a body of a thousand events must not be kept a
        thousand times."""
        first = {(envelope.provider_event_id, envelope.digest): envelope for envelope in reversed(envelopes)}
        arrivals: list[Arrival] = []
        for envelope in envelopes:
            if first[envelope.provider_event_id, envelope.digest] is envelope:
                kept = sealed_part(body, headers)
                if arrivals:
                    kept = sealed_part(b"", {KEPT_WITH: arrivals[0].envelope.delivery_id})
                name = (envelope.provider, envelope.account, envelope.provider_event_id, envelope.delivery_id)
                sealed = self._sealer.seal(kept, delivery_row(*name))
                arrivals.append(Arrival(self._without_secrets(envelope), validated_at, sealed))
        return arrivals

    def _without_secrets(self, envelope: Envelope) -> Envelope:
        """A payer's next action in an event is sealed too."""
        if envelope.notice is None:
            return envelope
        return replace(envelope, notice=self._actions.notice(envelope.notice, envelope.event_id))


def _headers(scope: Scope) -> dict[str, str]:
    """By lower-case name; the last value of a repeated header, as no signed header may be repeated."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
