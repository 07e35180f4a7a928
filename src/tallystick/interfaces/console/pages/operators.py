"""Operators: who they are, which rights they had when, and how they are added, changed, disabled and reset. What gives
somebody more is asked for here, and done once a second person approves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from tallystick.access.accounts import Granted, OperatorVersion
from tallystick.access.roles import ROLES, Role
from tallystick.domain.errors import TallystickError
from tallystick.flows.operations import operators as flow
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.words import Words, bounded

Result = TypeVar("Result")

PATH: Final = f"{ROOT}/operators"

#: Where what was asked for is decided.
APPROVALS: Final = f"{ROOT}/approvals"


async def operators(request: PageRequest) -> Answer:
    """Everybody as they are now."""
    accounts = request.runtime.stores.accounts
    found = [(each, await accounts.last_sign_in(each.operator_id)) for each in await accounts.newest()]
    return _view(request, "operators.html", found=found, roles=ROLES, may_manage=request.viewer.may("manage"))


async def operator(request: PageRequest) -> Answer:
    """One: every version of their rights, the newest first, with who gave it and who approved."""
    now_has = await _found(request)
    stores = request.runtime.stores
    versions = [each for each in await stores.accounts.versions() if each.operator_id == now_has.operator_id]
    review: list[tuple[OperatorVersion, Any, list[str]]] = []
    for each, later in zip(versions, [*versions[1:], None], strict=True):
        said = [] if each.request_id is None else await stores.approvals.decisions(each.request_id)
        approved_by = [decision.decided_by for decision in said if decision.approves]
        review.insert(0, (each, None if later is None else later.at, approved_by))
    return _view(
        request,
        "operator.html",
        title=f"Operator {now_has.operator_id}",
        operator=now_has,
        path=f"{PATH}/{now_has.operator_id}",
        review=review,
        roles=ROLES,
        last_sign_in=await stores.accounts.last_sign_in(now_has.operator_id),
        may_manage=request.viewer.may("manage") and now_has.state == "active",
        mine=now_has.operator_id == request.viewer.operator_id,
    )


async def add(request: PageRequest) -> Answer:
    """Somebody new. The secret of their first sign-in is shown once."""
    name, granted = request.form.get("operator").lower(), _granted(request)

    async def do(actor: str, reason: str) -> flow.Invited:
        return await flow.add(request.runtime, name, granted, actor=actor, reason=reason)

    return _invited(request, await _done(request, do))


async def change(request: PageRequest) -> Answer:
    """Other rights: at once where they are fewer."""
    name, granted = (await _found(request)).operator_id, _granted(request)

    async def do(actor: str, reason: str) -> flow.Changed:
        return await flow.change(request.runtime, name, granted, actor=actor, reason=reason)

    done = await _done(request, do)
    return Redirect(f"{PATH}/{name}" if done.request is None else f"{APPROVALS}/{done.request.request_id}")


async def disable(request: PageRequest) -> Answer:
    """For good, and at once: every session of theirs is over."""
    name = (await _found(request)).operator_id

    async def do(actor: str, reason: str) -> None:
        await flow.disable(request.runtime, name, actor=actor, reason=reason)

    await _done(request, do)
    return Redirect(f"{PATH}/{name}")


async def reset(request: PageRequest) -> Answer:
    """Another first sign-in, whose secret is shown once."""
    name = (await _found(request)).operator_id

    async def do(actor: str, reason: str) -> flow.Invited:
        return await flow.reset(request.runtime, name, actor=actor, reason=reason)

    return _invited(request, await _done(request, do))


async def _done(request: PageRequest, do: Callable[[str, str], Awaitable[Result]]) -> Result:
    """Raises Refused where the rules forbid it; then nothing was done."""
    try:
        return await do(request.viewer.actor, request.form.get("reason"))
    except TallystickError as error:
        raise Refused(409, f"{error}.") from None


def _invited(request: PageRequest, invited: flow.Invited) -> View:
    waits = None if invited.request is None else f"{APPROVALS}/{invited.request.request_id}"
    return _view(
        request,
        "operator_invited.html",
        title=f"First sign-in of {invited.operator_id}",
        name=invited.operator_id,
        invitation=invited.invitation,
        waits=waits,
    )


def _granted(request: PageRequest) -> Granted:
    """Raises Refused for what is no role."""
    given, form = request.form.all("role"), request.form
    if not given or not set(given) <= set(ROLES):
        raise Refused(400, "Give one or more roles. Nothing was done.")
    roles: list[Role] = [role for role in ROLES if role in given]
    merchants = form.get("merchants").replace(",", " ").split()
    return Granted(roles=roles, merchants=merchants or None, raw_evidence=form.get("raw_evidence") == "yes")


async def _found(request: PageRequest) -> OperatorVersion:
    found = await request.runtime.stores.accounts.find(request.path["operator_id"])
    if found is None:
        raise Refused(404, f"There is no operator {bounded(request.path['operator_id'], 64)}.")
    return found


def _view(request: PageRequest, template: str, **context: Any) -> View:
    return View(template=template, context={"w": Words(request.runtime.clock.now()), **context})


def _act(name: str, path: str, handle: Callable[[PageRequest], Awaitable[Answer]]) -> Page:
    return Page(
        name=f"operator_{name}",
        path=path,
        handle=handle,
        right="manage",
        title="Operators",
        method="POST",
        fresh=True,
        platform=True,
    )


_ONE: Final = f"{PATH}/{{operator_id:str}}"

PAGES: Final = (
    Page(
        name="operators",
        path=PATH,
        handle=operators,
        right="audit",
        title="Operators",
        group="Platform",
        platform=True,
    ),
    Page(name="operator", path=_ONE, handle=operator, right="audit", title="Operator", platform=True),
    _act("add", PATH, add),
    _act("change", f"{_ONE}/change", change),
    _act("disable", f"{_ONE}/disable", disable),
    _act("reset", f"{_ONE}/reset", reset),
)
