"""Operators' acts over HTTP: who does it, under which key, and why; each is done once and recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.access.operator import operator_of_key
from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.operator_act import ActKeyReused, ActName, AskedAct, OperatorAct, WordsRefused
from tallystick.domain.requests.idempotency_key import (
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    parse_idempotency_key,
)
from tallystick.flows.operations.acts import asked_act, perform
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, Parameter
from tallystick.interfaces.api.problems import ProblemError, invalid_fields

#: The header of every act of an operator.
ACT_KEY: Final[Parameter] = replace(
    IDEMPOTENCY_KEY,
    description=(
        "One value per act, the same on every retry of it. It is the operator's key's own: the same value under another"
        " API key is another act. An act that was done is not done again: what it came to is answered again. The same"
        " value for another act is refused."
    ),
)

#: Of acts that were there before their key was: without one, each request is an act of its own.
OPTIONAL_ACT_KEY: Final[Parameter] = replace(
    ACT_KEY, required=False, description=f"{ACT_KEY.description} Without it each request is an act of its own."
)

#: The errors of an act's key.
ACT_ERRORS: Final = ("idempotency_key_invalid", "idempotency_key_reused")
KEYED_ACT_ERRORS: Final = ("idempotency_key_missing", *ACT_ERRORS)


class Asked(Struct, frozen=True, kw_only=True):
    """An act that a request asks for."""

    act: ActName
    target: str
    reason: str
    arguments: dict[str, Any] = {}


async def act_once(
    runtime: Runtime,
    request: ApiRequest,
    caller: Caller,
    asked: Asked,
    do: Callable[[AskedAct], Awaitable[OperatorAct]],
    *,
    key_required: bool = True,
) -> OperatorAct:
    """The act as recorded, done now or before. Raises ProblemError, and what ``do`` raises."""
    who = operator_of_key(caller.key_id, caller.declared.kind)
    act = asked_act(
        who.name,
        _key(request, key_required=key_required),
        asked.act,
        asked.target,
        asked.reason,
        key_kind=who.key_kind,
        **asked.arguments,
    )
    try:
        done, _ = await perform(runtime.stores.acts, runtime.settings, act, lambda: do(act))
        return done
    except WordsRefused as error:
        if error.card_data:
            raise request.card_data("body") from None
        wrong = ProblemField(error.field, "invalid_value", error.detail)
        raise invalid_fields([wrong], request.request_id) from None
    except ActKeyReused:
        detail = "This API key used the Idempotency-Key for another act; nothing was done."
        raise ProblemError(problem("idempotency_key_reused", detail, request_id=request.request_id)) from None


def _key(request: ApiRequest, *, key_required: bool) -> str | None:
    if not request.idempotency_keys and not key_required:
        return None
    try:
        return parse_idempotency_key(request.idempotency_keys)
    except (IdempotencyKeyMissing, IdempotencyKeyInvalid) as error:
        raise ProblemError(problem(error.code, error.detail, request_id=request.request_id)) from None
