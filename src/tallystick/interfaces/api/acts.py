"""Operators' acts over HTTP: who does it, under which key, and why; each is done once and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
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
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.approvable import ask_second_person, asked_before, done_for
from tallystick.flows.compliance.four_eyes import NotDecided
from tallystick.flows.operations.acts import asked_act, perform
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, Parameter
from tallystick.interfaces.api.problems import ProblemError, invalid_fields
from tallystick.providers.assembly import secret_values

_ENCODER: Final = msgspec.json.Encoder(order="sorted")

#: The header of every act of an operator.
ACT_KEY: Final[Parameter] = replace(
    IDEMPOTENCY_KEY,
    description=(
        "One value per act, the same on every retry of it. It is the operator's key's own: the same value under another"
        " API key is another act. An act that was done is not done again: what it came to is answered again. The same"
        " value for another act is refused."
    ),
)

#: Of acts that were there before their key was: without one, it is derived.
OPTIONAL_ACT_KEY: Final[Parameter] = replace(
    ACT_KEY,
    required=False,
    description=(
        f"{ACT_KEY.description} Without it one is derived from what is asked and from what it is asked about as it"
        " stands: two such requests at one moment are one act, and one after the act is another. Send a key, so that a"
        " request whose answer was lost can be repeated."
    ),
)

#: Before a key that was derived: no client may take it for its own.
DERIVED: Final = "derived-"

#: Of a derived key's digest.
DERIVED_CHARS: Final = 32

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
    standing: Sequence[object] | None = None,
) -> OperatorAct:
    """The act as recorded, done now or before. ``standing``: how that which it is about stands, of which a key is
    derived where the request has none; None: the request must have one. Raises ProblemError, and what ``do`` raises."""
    act = _asked(request, caller, asked, standing)
    with _refusing(request):
        if (known := await done_for(runtime, act)) is not None:
            return known
        try:
            done, _ = await perform(runtime.stores.acts, runtime.settings, act, lambda: do(act))
        except NeedsSecondPerson as error:
            raise await _asked_for(runtime, request, act, str(error)) from None
        return done


async def ask_once(runtime: Runtime, request: ApiRequest, caller: Caller, asked: Asked) -> str:
    """The id of the request for other people's approval: of an act that a key never does by itself. Raises
    ProblemError, and what looking at it raises."""
    act = _asked(request, caller, asked)
    with _refusing(request):
        if (known := await asked_before(runtime, act)) is not None:
            return known
        act.require_words(secret_values(runtime.settings))
        try:
            return (await ask_second_person(runtime, act)).request_id
        except NotDecided as error:
            raise ProblemError(problem("approval_needed", f"{error}.", request_id=request.request_id)) from None


def _asked(request: ApiRequest, caller: Caller, asked: Asked, standing: Sequence[object] | None = None) -> AskedAct:
    who = operator_of_key(caller.key_id, caller.declared.kind)
    return asked_act(
        who.name,
        derived_key(asked, standing) if standing is not None and not request.idempotency_keys else _key(request),
        asked.act,
        asked.target,
        asked.reason,
        key_kind=who.key_kind,
        **asked.arguments,
    )


@contextmanager
def _refusing(request: ApiRequest) -> Iterator[None]:
    """Words or a key that cannot be taken, as problems."""
    try:
        yield
    except WordsRefused as error:
        if error.card_data:
            raise request.card_data("body") from None
        wrong = ProblemField(error.field, "invalid_value", error.detail)
        raise invalid_fields([wrong], request.request_id) from None
    except ActKeyReused:
        detail = "This API key used the Idempotency-Key for another act; nothing was done."
        raise ProblemError(problem("idempotency_key_reused", detail, request_id=request.request_id)) from None


async def _asked_for(runtime: Runtime, request: ApiRequest, act: AskedAct, why: str) -> ProblemError:
    """A key is no person: two have to approve what it asks for. Raises ActKeyReused."""
    try:
        asked = await ask_second_person(runtime, act)
        detail = f"{why}. {asked.needed} people have to approve it: {asked.request_id}."
    except NotDecided as error:
        detail = f"{why}. {error}."
    return ProblemError(problem("approval_needed", detail, request_id=request.request_id))


def derived_key(asked: Asked, standing: Sequence[object]) -> str:
    """The key of an act whose request has none."""
    said = [asked.act, asked.target, asked.arguments, asked.reason, list(standing)]
    return DERIVED + hashlib.sha256(_ENCODER.encode(said)).hexdigest()[:DERIVED_CHARS]


def _key(request: ApiRequest) -> str:
    try:
        return parse_idempotency_key(request.idempotency_keys)
    except (IdempotencyKeyMissing, IdempotencyKeyInvalid) as error:
        raise ProblemError(problem(error.code, error.detail, request_id=request.request_id)) from None
