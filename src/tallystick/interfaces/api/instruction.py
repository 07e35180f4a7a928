"""Instructions: a POST becomes an ``Instruction`` and a command, and the reply of the flow becomes a response.

Order of checks after authentication and rate: body, content type, key, JSON, *existing key*, version, scope, card data,
fields, limits of the API key. On the way that succeeds the journal itself looks at the key; every refusal after the
JSON looks it up first: a request in a version that has ended, or with an API key without the scope, still gets the
answer to what was executed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tallystick.decisions.instructions import Instruction
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.errors import Overloaded, problem
from tallystick.domain.requests.commands import InvalidFields
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, fingerprint
from tallystick.domain.requests.idempotency_key import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    parse_idempotency_key,
)
from tallystick.flows.payments.idempotency import Reply, existing_or, refusal
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import BODY, KEYED
from tallystick.interfaces.api.http import JSON, PROBLEM_JSON, ApiRequest, HttpResponse
from tallystick.interfaces.api.parameters import path_id
from tallystick.interfaces.api.problems import RETRY_AFTER_S, ProblemError, busy, invalid_fields, not_found, report
from tallystick.interfaces.api.typed_body import json_object
from tallystick.interfaces.api.versions import HEADER as VERSION_HEADER
from tallystick.kit import trace_context
from tallystick.kit.card_data import contains_card_data, looks_like_card_number, may_contain_card_data
from tallystick.kit.ids import is_id, sibling_id
from tallystick.kit.spans import current_span

Command = TypeVar("Command")
Execute = Callable[[Runtime, Caller, Instruction, str, Command], Awaitable[Reply]]


#: Errors of every instruction, in the order of the checks.
INSTRUCTION: Final = (
    *KEYED,
    *BODY,
    "unsupported_media_type",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "json_invalid",
    "idempotency_key_reused",
    "instruction_in_flight",
    "card_data_refused",
    "validation_failed",
    "limit_exceeded",
    "overloaded",
    "not_ready",
    "outcome_unknown",
    "internal_error",
)

#: Of those on a payment that exists.
ON_PAYMENT: Final = (*INSTRUCTION, "not_found", "transition_rejected")

PAYMENT_ID: Final = path_id("pay", "payment")


class InstructionKind(Struct, Generic[Command], frozen=True, kw_only=True):
    """One kind of POST. ``created_at``: where what it creates is found, for Location."""

    path: str
    parse: Callable[[dict[str, Any]], Command]
    execute: Execute[Command]
    created_at: str | None = None

    async def respond(self, runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        """Carry the instruction out, or refuse it. Raises ProblemError for what is refused before the key is read."""
        on_payment = request.path_id is not None
        raw = await request.json_bytes(may_be_empty=on_payment)
        key = _key(request)
        if request.trail is not None:
            request.trail.idempotency_key = key
        body = json_object(request, raw or b"{}" if on_payment else raw)
        instruction = _instruction(runtime, request, caller, self.path, key, body)
        if request.trail is not None:
            request.trail.instruction = instruction
        try:
            reply = await self._reply(runtime, request, caller, instruction, raw, body)
        except Overloaded as error:
            raise busy("overloaded", f"Nothing was executed: {error}.", request.request_id) from None
        except Exception as error:
            # The journal may have been called: from here on the response must not say that nothing happened.
            return _unknown(instruction, request, error)
        if request.trail is not None:
            request.trail.replayed = reply.replayed
        return _rendered(reply, request, self.created_at)

    async def _reply(
        self,
        runtime: Runtime,
        request: ApiRequest,
        caller: Caller,
        instruction: Instruction,
        raw: bytes,
        body: dict[str, Any],
    ) -> Reply:
        try:
            payment_id = _checked(request, raw, body)
            command = self.parse(request.as_newest(body))
        except InvalidFields as invalid:
            refused = invalid_fields(invalid.errors, request.request_id)
            return await existing_or(runtime, instruction, refused.problem)
        except ProblemError as refused:
            retry_after_s = RETRY_AFTER_S if refused.problem.status == 503 else None
            return await existing_or(runtime, instruction, refused.problem, retry_after_s)
        return await self.execute(runtime, caller, instruction, payment_id, command)


def on_payment(
    flow: Callable[[Runtime, Instruction, str, Command], Awaitable[Reply]],
) -> Execute[Command]:
    """A flow that needs nothing of the caller beyond the instruction."""

    async def execute(
        runtime: Runtime, _: Caller, instruction: Instruction, payment_id: str, command: Command
    ) -> Reply:
        return await flow(runtime, instruction, payment_id, command)

    return execute


def _key(request: ApiRequest) -> str:
    try:
        key = parse_idempotency_key(request.idempotency_keys)
    except (IdempotencyKeyMissing, IdempotencyKeyInvalid) as error:
        raise ProblemError(problem(error.code, error.detail, request_id=request.request_id)) from None
    if looks_like_card_number(key):
        raise request.card_data("Idempotency-Key")
    return key


def _instruction(
    runtime: Runtime, request: ApiRequest, caller: Caller, template: str, key: str, body: dict[str, Any]
) -> Instruction:
    path = template
    if request.path_id is not None:
        # Our own ids come out as they went in; anything else has to be fit for hashing at least.
        path = template.replace("{id}", quote(request.path_id, safe="", errors="surrogatepass"))
    canonical_body = canonical(body)
    return Instruction(
        merchant_id=caller.merchant_id,
        idempotency_key=key,
        operation=f"POST {template}",
        path=path,
        fingerprint=fingerprint("POST", path, canonical_body),
        fingerprint_version=FINGERPRINT_VERSION,
        request=canonical_body,
        actor=f"key:{caller.key_id}",
        request_id=request.request_id,
        instruction_id=sibling_id("ins", request.request_id),
        change_id=sibling_id("chg", request.request_id),
        attempt_id=sibling_id("att", request.request_id),
        rejection_id=sibling_id("rej", request.request_id),
        at=runtime.clock.now(),
        api_version=VERSIONS.stored(request.version),
        limits=caller.declared.limits,
        key_kind=caller.declared.kind,
        traceparent=_trace(request),
    )


def _trace(request: ApiRequest) -> str | None:
    """The trace of the client; else the one that this process records of the request, so that later steps in other
    processes are found from it."""
    given = trace_context.parsed(request.traceparents)
    span = current_span() if given is None else None
    return given if span is None else trace_context.parsed([span.traceparent])


def _checked(request: ApiRequest, raw: bytes, body: dict[str, Any]) -> str:
    """The payment's id from the path, or "" for a path without one. Raises ProblemError: card data, a query, an id that
    cannot be one; and what the caller may not ask for."""
    if request.refused is not None:
        raise request.refused
    if may_contain_card_data(raw) and contains_card_data(body):
        raise request.card_data("body")
    payment_id = request.path_id or ""
    well_formed = not payment_id or is_id("pay", payment_id)
    if not well_formed and looks_like_card_number(payment_id):
        raise request.card_data("path")
    request.require_no_query()
    if not well_formed:
        raise not_found(request.request_id, "payment")
    return payment_id


class _Created(Struct, frozen=True):
    id: str


_CREATED: Final = msgspec.json.Decoder(_Created)


def _rendered(reply: Reply, request: ApiRequest, created_at: str | None) -> HttpResponse:
    headers, body = request.response_headers, reply.body
    if reply.shows is not None:
        body = VERSIONS.rendered(reply.shows, body, request.version)
    elif reply.api_version != VERSIONS.stored(request.version):  # replayed to a request of another version
        headers = [(name, value) for name, value in headers if name != VERSION_HEADER]
        headers.append((VERSION_HEADER, VERSIONS.date_of(reply.api_version).encode()))
    if reply.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if reply.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % reply.retry_after_s))
    if created_at is not None and reply.status in (201, 202):
        headers.append((b"location", f"{created_at}{_CREATED.decode(reply.body).id}".encode()))
    return HttpResponse(reply.status, body, PROBLEM_JSON if reply.problem else JSON, tuple(headers))


def _unknown(instruction: Instruction, request: ApiRequest, error: Exception) -> HttpResponse:
    detail = "The database did not answer in time. Send the same request with the same key again."
    unknown = problem("outcome_unknown", detail, request_id=instruction.request_id)
    path_id = request.path_id or ""
    report(
        unknown,
        instruction.operation,
        error,
        idempotency_key=instruction.idempotency_key,
        payment_id=path_id if is_id("pay", path_id) else None,
        **request.asked_by,
    )
    return _rendered(refusal(unknown, RETRY_AFTER_S), request, None)
