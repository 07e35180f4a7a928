"""A restore of the record is declared: asked for with the signed declaration, and written down when a second person
approved it.

What is signed is not read here. The signature is made where it is asked for, by whoever has the key of the heads; so
nobody who approves needs it, and who writes the database alone cannot make one.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.operator_act import ActName, AskedAct
from tallystick.domain.work_owner import PERSON
from tallystick.flows.compliance.four_eyes import Approvable, Approval, ApprovalRequest, ShownChanged, ask
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.audit_declarations import insert_restore, read_restores, read_rotations

#: The act, and what it is about: there is one record.
ACT: Final[ActName] = "audit.restored"
RECORD: Final = "record"

#: Who asks from a shell may be the person who approves: two others have to.
_APPROVALS_FOR_NOBODY: Final = 2


class SignedRestore(Struct, frozen=True, kw_only=True):
    """A declaration as it was signed. ``act_id``: of the act that it names. The others are checkpoints."""

    document: str
    signature: bytes
    act_id: str
    restored_from: int
    last: int


async def declare(runtime: Runtime, signed: SignedRestore, *, actor: str, reason: str) -> ApprovalRequest:
    """Ask a second person. Raises NotDecided where too few could decide, and WordsRefused for the reason."""
    arguments = {
        "document": signed.document,
        "signature": base64.b64encode(signed.signature).decode(),
        "act_id": signed.act_id,
        "restored_from": signed.restored_from,
        "last": signed.last,
    }
    _asked(arguments, actor, reason, signed.act_id).require_words({})
    needed = 1 if actor.startswith(PERSON) else _APPROVALS_FOR_NOBODY
    return await ask(runtime, APPROVABLE[ACT], RECORD, arguments, requested_by=actor, reason=reason, needed=needed)


async def _look(runtime: Runtime, target: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is given up, and what was declared before: a key that has ended by then may not declare."""
    async with runtime.pool.acquire() as connection:
        declared, rotations = await read_restores(connection), await read_rotations(connection)
    return {
        "record": target,
        "goes on from checkpoint": arguments["restored_from"],
        "gives up checkpoints to": arguments["last"],
        "declared before": len(declared),
        "keys changed before": len(rotations),
    }


async def _write(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    said = request.arguments
    declared, rotations = await read_restores(connection), await read_rotations(connection)
    shown = (request.shown["declared before"], request.shown.get("keys changed before", len(rotations)))
    if (len(declared), len(rotations)) != shown:
        raise ShownChanged
    try:
        await insert_restore(connection, said["document"], base64.b64decode(said["signature"]), now)
    except asyncpg.UniqueViolationError:
        raise ShownChanged from None
    asked = _asked(said, request.requested_by, request.reason, request.request_id)
    result = {"restored_from": said["restored_from"], "last": said["last"], "approved_by": approval.approvers}
    await insert_act(connection, asked.done(result, now))


def _asked(said: Mapping[str, Any], actor: str, reason: str, key: str) -> AskedAct:
    return AskedAct(
        operator=actor,
        idempotency_key=key,
        act_id=said["act_id"],
        act=ACT,
        target=RECORD,
        arguments={"restored_from": said["restored_from"], "last": said["last"]},
        reason=reason.strip(),
        key_kind="human" if actor.startswith(PERSON) else None,
    )


#: What needs a second person here.
APPROVABLE: Final[Mapping[str, Approvable]] = {ACT: Approvable(act=ACT, look=_look, write=_write)}
