"""Who operates the platform: added, changed, disabled and reset. What gives somebody more needs a second person.

The first two operators are added by themselves, because nobody could approve them; after them nobody is. Fewer rights
and an end are given by one person, at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.access.accounts import (
    BOOTSTRAP_PLACES,
    AccountRefused,
    Granted,
    OperatorVersion,
    end_sessions,
    insert_invitation,
    insert_version,
    is_operator_id,
    new_invitation,
    reset_credential,
    secret_hash,
    take_bootstrap,
)
from tallystick.access.api_key import is_merchant_id
from tallystick.access.roles import ROLES
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.work_owner import PERSON
from tallystick.flows.compliance.four_eyes import Approvable, Approval, ApprovalRequest, ShownChanged, ask
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.postgres.acts import insert_act


class Invited(Struct, frozen=True, kw_only=True):
    """What came of adding or resetting. ``invitation``: the secret of the first sign-in, shown once; it opens nothing
    until ``request``, where there is one, is approved."""

    operator_id: str
    invitation: str
    request: ApprovalRequest | None

    def __repr__(self) -> str:
        return f"Invited({self.operator_id!r})"


class Changed(Struct, frozen=True, kw_only=True):
    """What came of a change: done, or asked for."""

    operator_id: str
    request: ApprovalRequest | None


async def add(runtime: Runtime, operator_id: str, granted: Granted, *, actor: str, reason: str) -> Invited:
    """A new operator. Raises AccountRefused, NotDecided."""
    require_granted(operator_id, granted)
    if await runtime.stores.accounts.find(operator_id) is not None:
        raise AccountRefused(f"there is an operator {operator_id} already, or was one; names are given once")
    invitation = new_invitation()
    arguments = _arguments(granted) | {"invitation_hash": secret_hash(invitation).hex()}
    _require_words(operator_id, "operator.add", arguments, actor, reason)
    taken = await runtime.stores.accounts.bootstrapped()
    if len(taken) < BOOTSTRAP_PLACES:
        await _bootstrap(runtime, len(taken) + 1, operator_id, granted, arguments, actor, reason)
        return Invited(operator_id=operator_id, invitation=invitation, request=None)
    request = await ask(
        runtime,
        APPROVABLE["operator.add"],
        operator_id,
        arguments,
        requested_by=actor,
        reason=reason,
        authors=[PERSON + operator_id],
    )
    return Invited(operator_id=operator_id, invitation=invitation, request=request)


async def change(runtime: Runtime, operator_id: str, granted: Granted, *, actor: str, reason: str) -> Changed:
    """Other roles, merchants or evidence. What gives more waits for a second person; less is given at once. Raises
    AccountRefused, NotDecided."""
    require_granted(operator_id, granted)
    now_has = await _active(runtime, operator_id)
    _require_words(operator_id, "operator.change", _arguments(granted), actor, reason)
    if gives_more(now_has, granted):
        request = await ask(
            runtime,
            APPROVABLE["operator.change"],
            operator_id,
            _arguments(granted),
            requested_by=actor,
            reason=reason,
            authors=[PERSON + operator_id],
        )
        return Changed(operator_id=operator_id, request=request)
    now = runtime.clock.now()
    await _write(runtime, _next(now_has, granted, actor, None, now), "operator.change", actor, reason, now)
    return Changed(operator_id=operator_id, request=None)


async def disable(runtime: Runtime, operator_id: str, *, actor: str, reason: str) -> None:
    """Nobody is this operator any more; every session of theirs is over. One person does it, at once. Raises
    AccountRefused."""
    now_has, now = await _active(runtime, operator_id), runtime.clock.now()
    _require_words(operator_id, "operator.disable", {}, actor, reason)
    version = msgspec.structs.replace(
        now_has, version=now_has.version + 1, state="disabled", actor=actor, request_id=None, at=now
    )
    await _write(runtime, version, "operator.disable", actor, reason, now)


async def reset(runtime: Runtime, operator_id: str, *, actor: str, reason: str) -> Invited:
    """Another first sign-in, in the place of password and second factor. Raises AccountRefused, NotDecided."""
    await _active(runtime, operator_id)
    invitation = new_invitation()
    arguments = {"invitation_hash": secret_hash(invitation).hex()}
    _require_words(operator_id, "operator.reset", arguments, actor, reason)
    if len(await runtime.stores.accounts.bootstrapped()) < BOOTSTRAP_PLACES:  # nobody else is there
        now = runtime.clock.now()
        async with runtime.pool.acquire() as connection, connection.transaction():
            await reset_credential(connection, operator_id, secret_hash(invitation), now)
            await _record(connection, "operator.reset", operator_id, arguments, actor, reason, now, ())
        return Invited(operator_id=operator_id, invitation=invitation, request=None)
    request = await ask(
        runtime,
        APPROVABLE["operator.reset"],
        operator_id,
        arguments,
        requested_by=actor,
        reason=reason,
        authors=[PERSON + operator_id],
    )
    return Invited(operator_id=operator_id, invitation=invitation, request=request)


def gives_more(before: Granted, after: Granted) -> bool:
    """Whether somebody may do or see anything that they might not."""
    if before.merchants is not None and not (after.merchants and set(after.merchants) <= set(before.merchants)):
        return True
    return not after.rights() <= before.rights()


def require_granted(operator_id: str, granted: Granted) -> None:
    """Raises AccountRefused for what is no name, no role or no merchant."""
    if not is_operator_id(operator_id):
        raise AccountRefused("a name is 2-32 of a-z, 0-9 and inner . _ -, begins with a letter, and is no card number")
    if not granted.roles or not set(granted.roles) <= set(ROLES):
        raise AccountRefused(f"give one or more of the roles {', '.join(ROLES)}")
    if granted.merchants is not None and not (granted.merchants and all(map(is_merchant_id, granted.merchants))):
        raise AccountRefused("name the merchants that the operator is limited to by their ids")


async def _look(runtime: Runtime, operator_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The operator as they are now, beside what is asked for."""
    found = await runtime.stores.accounts.find(operator_id)
    credential = await runtime.stores.accounts.credential(operator_id)
    now_has = None if found is None else {**_arguments(found), "version": found.version, "state": found.state}
    wanted = {name: arguments[name] for name in ("roles", "merchants", "raw_evidence") if name in arguments}
    return {
        "operator": operator_id,
        "now": now_has,
        "credential": None if credential is None else credential.version,
        "wanted": wanted,
    }


async def _write_added(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    version = OperatorVersion(
        operator_id=request.target,
        version=1,
        state="active",
        actor=request.requested_by,
        request_id=request.request_id,
        at=now,
        **_granted(request.arguments),
    )
    await insert_version(connection, version)
    await insert_invitation(connection, request.target, bytes.fromhex(request.arguments["invitation_hash"]), now)
    await _record_approved(connection, "operator.add", approval, now)


async def _write_changed(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    before = await _active(runtime, request.target)
    granted = Granted(**_granted(request.arguments))
    version = _next(before, granted, request.requested_by, request.request_id, now)
    # The version after the one that was shown: whoever changed the operator since has taken it.
    await insert_version(connection, msgspec.structs.replace(version, version=request.shown["now"]["version"] + 1))
    await _record_approved(connection, "operator.change", approval, now)


async def _write_reset(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    hashed, shown = bytes.fromhex(request.arguments["invitation_hash"]), request.shown["credential"]
    if not await reset_credential(connection, request.target, hashed, now, version=shown):
        raise ShownChanged
    await _record_approved(connection, "operator.reset", approval, now)


#: What about operators needs a second person.
APPROVABLE: Final[Mapping[str, Approvable]] = {
    "operator.add": Approvable(act="operator.add", look=_look, write=_write_added),
    "operator.change": Approvable(act="operator.change", look=_look, write=_write_changed),
    "operator.reset": Approvable(act="operator.reset", look=_look, write=_write_reset),
}


async def _bootstrap(
    runtime: Runtime,
    place: int,
    operator_id: str,
    granted: Granted,
    arguments: dict[str, Any],
    actor: str,
    reason: str,
) -> None:
    now = runtime.clock.now()
    version = OperatorVersion(
        operator_id=operator_id,
        version=1,
        state="active",
        roles=granted.roles,
        merchants=granted.merchants,
        raw_evidence=granted.raw_evidence,
        actor=actor,
        request_id=None,
        at=now,
    )
    try:
        async with runtime.pool.acquire() as connection, connection.transaction():
            await take_bootstrap(connection, place, operator_id, actor, now)
            await insert_version(connection, version)
            await insert_invitation(connection, operator_id, bytes.fromhex(arguments["invitation_hash"]), now)
            await _record(connection, "operator.add", operator_id, arguments, actor, reason, now, ())
    except asyncpg.UniqueViolationError:
        raise AccountRefused("somebody else added an operator just now; nothing was done, try again") from None


async def _write(runtime: Runtime, version: OperatorVersion, act: Any, actor: str, reason: str, now: datetime) -> None:
    """One person's change, with its act."""
    try:
        async with runtime.pool.acquire() as connection, connection.transaction():
            await insert_version(connection, version)
            if version.state == "disabled":
                await end_sessions(connection, version.operator_id, now)
            await _record(connection, act, version.operator_id, _arguments(version), actor, reason, now, ())
    except asyncpg.UniqueViolationError:
        raise AccountRefused("somebody else changed the operator just now; nothing was done, look again") from None


async def _record(
    connection: Any,
    act: Any,
    operator_id: str,
    arguments: Mapping[str, Any],
    actor: str,
    reason: str,
    now: datetime,
    approvers: Sequence[str],
    key: str | None = None,
) -> None:
    asked = _asked(act, operator_id, arguments, actor, reason, key)
    await insert_act(connection, asked.done({"operator": operator_id, "approved_by": list(approvers)}, now))


async def _record_approved(connection: Any, act: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    await _record(
        connection,
        act,
        request.target,
        request.arguments,
        request.requested_by,
        request.reason,
        now,
        approval.approvers,
        request.request_id,
    )


def _asked(
    act: Any, operator_id: str, arguments: Mapping[str, Any], actor: str, reason: str, key: str | None
) -> AskedAct:
    act_id = new_id("opa")
    kept = {name: value for name, value in arguments.items() if name != "invitation_hash" and value is not None}
    return AskedAct(
        operator=actor,
        idempotency_key=key or act_id,
        act_id=act_id,
        act=act,
        target=operator_id,
        arguments=kept,
        reason=reason.strip(),
        key_kind="human" if actor.startswith(PERSON) else None,
    )


def _require_words(operator_id: str, act: Any, arguments: Mapping[str, Any], actor: str, reason: str) -> None:
    """Raises WordsRefused for a reason that may not be kept."""
    _asked(act, operator_id, arguments, actor, reason, None).require_words({})


async def _active(runtime: Runtime, operator_id: str) -> OperatorVersion:
    found = await runtime.stores.accounts.find(operator_id)
    if found is None or found.state != "active":
        raise AccountRefused(f"there is no active operator {operator_id}")
    return found


def _next(
    before: OperatorVersion, granted: Granted, actor: str, request_id: str | None, now: datetime
) -> OperatorVersion:
    return OperatorVersion(
        operator_id=before.operator_id,
        version=before.version + 1,
        state="active",
        roles=granted.roles,
        merchants=granted.merchants,
        raw_evidence=granted.raw_evidence,
        actor=actor,
        request_id=request_id,
        at=now,
    )


def _arguments(granted: Granted) -> dict[str, Any]:
    return {
        "roles": sorted(granted.roles),
        "merchants": None if granted.merchants is None else sorted(granted.merchants),
        "raw_evidence": granted.raw_evidence,
    }


def _granted(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in ("roles", "merchants", "raw_evidence")}
