"""Endpoints by which an operator acts on one thing: ``POST /v1/<list>/{id}/<act>``. They differ in what is acted on, in
what is done, and in what may stand against it; the rest is here. Every list of work has the three about its owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from tallystick.domain.api_keys import Scope
from tallystick.domain.errors import TallystickError, problem
from tallystick.domain.json_types import described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.domain.work_owner import NotOwned, OwnerUnknown
from tallystick.flows.operations.owner_acts import OWNER_ACTS, OwnerAct
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, Endpoint, Handle
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import Parameter
from tallystick.interfaces.api.problems import ProblemError, busy, not_found
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.oversight.console import WorkList

_Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
_Owner = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]

Why = Annotated[_Reason, described("Why; it is recorded.", "The provider confirmed it by telephone.")]

#: A refusal that passes by itself is answered so, whatever raises it.
_NOT_READY: Final = "not_ready"


class _NothingThere(TallystickError):
    """There is no such thing. An act that was done before is answered all the same: what it was about may be gone."""


class ReasonBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an act is done."""

    reason: Why


class HandOnBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom something is handed on, and why."""

    reason: Why
    owner: Annotated[
        _Owner,
        described("Who has to look at it: an enabled operator who may act on it, by name.", "grace"),
    ]


class ActTarget(Struct, frozen=True, kw_only=True):
    """What is acted on. ``path``: of its list; ``parameter``: its id; ``one``: it in words. ``is_there``: whether there
    is such a thing, where the acts do not say so by raising one of ``missing``. ``refused``: the code of the answer, by
    what the acts raise, beside ``OWNER_REFUSED``. ``more``: codes that every act on it may have."""

    path: str
    parameter: Parameter
    one: str
    scope: Scope
    is_there: Callable[[Runtime, str], Awaitable[bool]] | None = None
    missing: tuple[type[TallystickError], ...] = ()
    refused: Mapping[type[TallystickError], str] = {}
    more: tuple[str, ...] = ("overloaded",)


#: What stands against the three, of every list.
OWNER_REFUSED: Final[Mapping[type[TallystickError], str]] = {
    NotOwned: NotOwned.code,
    OwnerUnknown: OwnerUnknown.code,
}


def act_endpoint(
    what: ActTarget,
    path: str,
    name: str,
    summary: str,
    description: str,
    act: ActName,
    do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]],
    *errors: str,
    body: type[Any] = ReasonBody,
) -> Endpoint:
    """One act on one thing, done once under its key. Members of the body beside its reason are the act's arguments.
    ``errors``: codes that this act alone may have."""
    return Endpoint(
        method="POST",
        path=f"{what.path}/{{id}}/{path}",
        name=name,
        summary=summary,
        description=description,
        handle=_handle(what, act, do, body),
        scope=what.scope,
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", *errors, *what.more),
        body_type=body,
        body_required=True,
        parameters=(what.parameter, ACT_KEY),
        callers="operator",
    )


def owner_endpoints(
    what: ActTarget,
    of_list: WorkList,
    names: tuple[str, str, str],
    paths: tuple[str, str, str] = ("take", "hand-on", "give-back"),
    given_back: str = "Nobody looks at it any more.",
) -> tuple[Endpoint, ...]:
    """Take, hand on and give back. ``names``: of the three, in the document; ``paths``: unless the list had other ones
    before."""
    own = OWNER_ACTS[of_list]

    def one(number: int, summary: str, description: str, act: OwnerAct, *errors: str, **more: Any) -> Endpoint:
        return act_endpoint(what, paths[number], names[number], summary, description, act.act, act.do, *errors, **more)

    said = f"{'an' if what.one[0] in 'aeiou' else 'a'} {what.one}"
    hand_on = ("not_owned", "owner_unknown") if own.hand_on.act == "work.hand_on" else ("owner_unknown",)
    return (
        one(0, f"Take {said}", "The caller looks at it. What somebody else has stays theirs.", own.take, "not_owned"),
        one(
            1,
            f"Hand {said} on",
            "Another operator has to look at it, whoever has it.",
            own.hand_on,
            *hand_on,
            body=HandOnBody,
        ),
        one(2, f"Give {said} back", given_back, own.give_back, "not_owned"),
    )


def _handle(
    what: ActTarget, name: ActName, do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]], body: type[Any]
) -> Handle:
    refused = {**OWNER_REFUSED, **what.refused}
    missing: tuple[type[TallystickError], ...] = (_NothingThere, *what.missing)

    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        target, said = request.id_in_path(), asdict(await read_typed(request, body))

        async def done(asked: AskedAct) -> OperatorAct:
            if what.is_there is not None and not await what.is_there(runtime, target):
                raise _NothingThere(target)
            return await do(runtime, asked)

        wanted = Asked(act=name, target=target, reason=said.pop("reason"), arguments=said)
        try:
            return json_response(request, act_view(await act_once(runtime, request, caller, wanted, done)))
        except missing:
            raise not_found(request.request_id, what.one) from None
        except tuple(refused) as error:
            code = next(code for kind, code in refused.items() if isinstance(error, kind))
            if code == _NOT_READY:
                raise busy(code, f"{error}.", request.request_id) from None
            raise ProblemError(problem(code, f"{error}.", request_id=request.request_id)) from None

    return handle
