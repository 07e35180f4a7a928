"""The POST handlers: a request becomes an ``Instruction`` and a command, and the reply of the flow becomes an answer.

Order of checks after authentication and rate: body, content type, key, JSON, *existing key*, card data, fields. On the
way that succeeds the journal itself looks at the key; every refusal after the JSON looks it up first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tallystick.decisions.instructions import Instruction
from tallystick.domain.errors import Overloaded, Problem, ProblemField, problem
from tallystick.domain.requests.commands import (
    CreatePayment,
    InvalidFields,
    parse_cancel_payment,
    parse_capture_payment,
    parse_create_payment,
    parse_create_refund,
)
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, fingerprint
from tallystick.domain.requests.idempotency_key import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    parse_idempotency_key,
)
from tallystick.domain.requests.json_body import BadJson, parse_json_object
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply, existing_or, refusal
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import JSON, PROBLEM_JSON, ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import RETRY_AFTER_S, Refused, busy, not_found, refused_fields, report
from tallystick.kit.card_data import contains_card_data, looks_like_card_number, may_contain_card_data
from tallystick.kit.ids import is_id, sibling_id

Command = TypeVar("Command")
Execute = Callable[[Runtime, Caller, Instruction, str, Command], Awaitable[Reply]]


class InstructionKind(Struct, Generic[Command], frozen=True, kw_only=True):
    """One kind of POST. ``created_at``: where what it creates is found, for Location."""

    path: str
    parse: Callable[[dict[str, Any]], Command]
    execute: Execute[Command]
    created_at: str | None = None

    async def answer(self, runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
        """Carry the instruction out, or refuse it. Raises Refused for what is refused before the key is looked at."""
        on_payment = exchange.path_id is not None
        raw = await exchange.json_bytes(may_be_empty=on_payment)
        key = _key(exchange)
        body = _body(exchange, raw or b"{}" if on_payment else raw)
        instruction = _instruction(runtime, exchange, caller, self.path, key, body)
        try:
            reply = await self._reply(runtime, exchange, caller, instruction, raw, body)
        except Overloaded as error:
            raise busy("overloaded", f"Nothing was executed: {error}.", exchange.request_id) from None
        except Exception as error:
            # The journal was asked, or may have been: from here on nobody may say that nothing happened.
            return _unknown(instruction, exchange, error)
        return _rendered(reply, exchange, self.created_at)

    async def _reply(
        self,
        runtime: Runtime,
        exchange: ApiRequest,
        caller: Caller,
        instruction: Instruction,
        raw: bytes,
        body: dict[str, Any],
    ) -> Reply:
        try:
            payment_id = _checked(exchange, raw, body)
            command = self.parse(body)
        except InvalidFields as invalid:
            refused = refused_fields(invalid.errors, exchange.request_id)
            return await existing_or(runtime, instruction, refused.problem)
        except Refused as refused:
            return await existing_or(runtime, instruction, refused.problem)
        return await self.execute(runtime, caller, instruction, payment_id, command)


async def _create_payment(
    runtime: Runtime, caller: Caller, instruction: Instruction, _: str, command: CreatePayment
) -> Reply:
    name = command.provider or caller.default_provider or runtime.settings.default_provider
    provider = runtime.providers.get(name)
    if provider is None:
        if command.provider is None:
            refused = problem(
                "not_ready", "The merchant's default provider is not set up here.", request_id=instruction.request_id
            )
            report(refused, instruction.operation)
            return await _existing_or_later(runtime, instruction, refused)
        return await _field_refused(runtime, instruction, "provider", "unknown_provider", "is not a provider here")
    if not provider.supports(command.payment_method):
        detail = "is not a payment method that the provider knows"
        return await _field_refused(runtime, instruction, "payment_method", "unknown_payment_method", detail)
    if not provider.representable(command.amount, command.currency):
        detail = "cannot be expressed in the provider's unit of this currency"
        return await _field_refused(runtime, instruction, "amount", "not_representable", detail)
    return await instructions.create_payment(runtime, instruction, command, name)


async def _existing_or_later(runtime: Runtime, instruction: Instruction, refused: Problem) -> Reply:
    reply = await existing_or(runtime, instruction, refused)
    return refusal(refused, RETRY_AFTER_S) if reply.status == refused.status else reply


async def _field_refused(runtime: Runtime, instruction: Instruction, field: str, code: str, detail: str) -> Reply:
    refused = refused_fields([ProblemField(field, code, detail)], instruction.request_id)
    return await existing_or(runtime, instruction, refused.problem)


def _on_payment(
    flow: Callable[[Runtime, Instruction, str, Command], Awaitable[Reply]],
) -> Execute[Command]:
    async def execute(
        runtime: Runtime, _: Caller, instruction: Instruction, payment_id: str, command: Command
    ) -> Reply:
        return await flow(runtime, instruction, payment_id, command)

    return execute


CREATE_PAYMENT: Final = InstructionKind(
    path="/v1/payments", parse=parse_create_payment, execute=_create_payment, created_at="/v1/payments/"
)
CAPTURE_PAYMENT: Final = InstructionKind(
    path="/v1/payments/{id}/capture", parse=parse_capture_payment, execute=_on_payment(instructions.capture_payment)
)
CANCEL_PAYMENT: Final = InstructionKind(
    path="/v1/payments/{id}/cancel", parse=parse_cancel_payment, execute=_on_payment(instructions.cancel_payment)
)
CREATE_REFUND: Final = InstructionKind(
    path="/v1/payments/{id}/refunds",
    parse=parse_create_refund,
    execute=_on_payment(instructions.create_refund),
    created_at="/v1/refunds/",
)


def _key(exchange: ApiRequest) -> str:
    try:
        key = parse_idempotency_key(exchange.idempotency_keys)
    except (IdempotencyKeyMissing, IdempotencyKeyInvalid) as error:
        raise Refused(problem(error.code, error.detail, request_id=exchange.request_id)) from None
    if looks_like_card_number(key):
        raise exchange.card_data("Idempotency-Key")
    return key


def _body(exchange: ApiRequest, raw: bytes) -> dict[str, Any]:
    try:
        return parse_json_object(raw)
    except BadJson as error:
        errors = [ProblemField("body", error.code, error.detail)]
        raise Refused(problem("json_invalid", error.detail, request_id=exchange.request_id, errors=errors)) from None


def _instruction(
    runtime: Runtime, exchange: ApiRequest, caller: Caller, template: str, key: str, body: dict[str, Any]
) -> Instruction:
    path = template
    if exchange.path_id is not None:
        # Our own ids come out as they went in; anything else has to be fit for hashing at least.
        path = template.replace("{id}", quote(exchange.path_id, safe="", errors="surrogatepass"))
    request = canonical(body)
    return Instruction(
        merchant_id=caller.merchant_id,
        idempotency_key=key,
        operation=f"POST {template}",
        path=path,
        fingerprint=fingerprint("POST", path, request),
        fingerprint_version=FINGERPRINT_VERSION,
        request=request,
        actor=f"key:{caller.key_id}",
        request_id=exchange.request_id,
        instruction_id=sibling_id("ins", exchange.request_id),
        change_id=sibling_id("chg", exchange.request_id),
        attempt_id=sibling_id("att", exchange.request_id),
        rejection_id=sibling_id("rej", exchange.request_id),
        at=runtime.clock.now(),
    )


def _checked(exchange: ApiRequest, raw: bytes, body: dict[str, Any]) -> str:
    """The payment's id from the path, or "" for a path without one. Raises Refused: card data, a query, an id that
    cannot be one."""
    if may_contain_card_data(raw) and contains_card_data(body):
        raise exchange.card_data("body")
    payment_id = exchange.path_id or ""
    well_formed = not payment_id or is_id("pay", payment_id)
    if not well_formed and looks_like_card_number(payment_id):
        raise exchange.card_data("path")
    if exchange.has_query():
        exchange.parameters()
        refused = ProblemField("query", "unknown_field", "this request takes no query parameters")
        raise refused_fields([refused], exchange.request_id)
    if not well_formed:
        raise not_found(exchange.request_id, "payment")
    return payment_id


class _Created(Struct, frozen=True):
    id: str


_CREATED: Final = msgspec.json.Decoder(_Created)


def _rendered(reply: Reply, exchange: ApiRequest, created_at: str | None) -> HttpResponse:
    headers = exchange.answer_headers
    if reply.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if reply.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % reply.retry_after_s))
    if created_at is not None and reply.status in (201, 202):
        headers.append((b"location", f"{created_at}{_CREATED.decode(reply.body).id}".encode()))
    return HttpResponse(reply.status, reply.body, PROBLEM_JSON if reply.problem else JSON, tuple(headers))


def _unknown(instruction: Instruction, exchange: ApiRequest, error: Exception) -> HttpResponse:
    detail = "The record could not be reached in time. Send the same request with the same key again."
    unknown = problem("outcome_unknown", detail, request_id=instruction.request_id)
    path_id = exchange.path_id or ""
    report(
        unknown,
        instruction.operation,
        error,
        idempotency_key=instruction.idempotency_key,
        payment_id=path_id if is_id("pay", path_id) else None,
    )
    return _rendered(refusal(unknown, RETRY_AFTER_S), exchange, None)
