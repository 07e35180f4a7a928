"""Everything that a second person can be asked for, in one table; and how an act above an amount is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import asyncpg

from tallystick.decisions.late_money import NoLateMoney
from tallystick.decisions.stated_amounts import NotStateable
from tallystick.domain.late_money import unclaimed
from tallystick.domain.operator_act import ActKeyReused, ActName, AskedAct, OperatorAct
from tallystick.domain.work_owner import PERSON
from tallystick.flows.compliance import erasure, four_eyes
from tallystick.flows.compliance.four_eyes import Approvable, Approval, ApprovalRequest
from tallystick.flows.operations import disputed_money, late_money, operators, restores
from tallystick.flows.operations.acts import known_act, once, recorded
from tallystick.flows.reconciliation import by_hand, withdrawing
from tallystick.flows.recovery import in_doubt
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id, new_id

#: Who asks with a key or from a shell may be the person who approves: two others have to.
APPROVALS_FOR_NOBODY: Final = 2

#: Of what is asked for again under its key between its approval and the act.
_APPROVED: Final = (
    "it was approved, and a worker carries it out while what was shown is still so; ask again for what it came to, and"
    " ask for it under another key where it has changed"
)


async def _late_money(runtime: Runtime, payment_id: str, _: Mapping[str, Any]) -> dict[str, Any]:
    """The payment and what waits of it, in minor units. Raises NoLateMoney."""
    merchant_id = await runtime.reads.merchant_of_late_money(payment_id)
    loaded = None if merchant_id is None else await runtime.reads.load(merchant_id, payment_id)
    if loaded is None or not unclaimed(loaded.stored.payment):
        raise NoLateMoney(f"payment {payment_id} has no late money that waits")
    payment = loaded.stored.payment
    return {
        "payment": payment_id,
        "merchant": payment.merchant_id,
        "provider": payment.provider,
        "state": payment.state,
        "currency": payment.currency,
        "amount": unclaimed(payment),
    }


async def _in_doubt(runtime: Runtime, attempt_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The attempt, its amount in minor units, and the finding. Raises NotInDoubt."""
    loaded = await in_doubt.find(runtime, runtime.stores.schedule_book, attempt_id)
    clock = loaded.clocks[attempt_id]
    attempt = clock.attempt
    return {
        "attempt": attempt_id,
        "payment": attempt.payment_id,
        "merchant": attempt.merchant_id,
        "provider": attempt.provider,
        "operation": attempt.operation,
        "state": attempt.state,
        "in doubt": clock.parked,
        "currency": attempt.currency,
        "amount": attempt.amount,
        "finding": dict(arguments),
    }


async def _disputed(runtime: Runtime, dispute_id: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The dispute, its movement, and what is stated of it in minor units. Raises NotStateable."""
    stream = await runtime.reads.stream_of_dispute(dispute_id)
    loaded = None if stream is None else await runtime.reads.load(*stream)
    stored = () if loaded is None else loaded.stored.disputes
    dispute = next((each for each in stored if each.dispute_id == dispute_id), None)
    if dispute is None:
        raise NotStateable(f"there is no dispute {dispute_id}")
    movement = next((each for each in dispute.movements if each.reference == arguments["movement"]), None)
    if movement is None or movement.amount is not None:
        raise NotStateable(f"dispute {dispute_id} has no movement {arguments['movement']} of unknown amount")
    return {
        "dispute": dispute_id,
        "payment": dispute.payment_id,
        "merchant": dispute.merchant_id,
        "provider": dispute.provider,
        "state": dispute.state,
        "disputed": dispute.amount,
        "movement": movement.reference,
        "funds": movement.funds,
        "moved": f"{movement.moved_amount} {movement.moved_currency}",
        "currency": dispute.currency,
        "amount": arguments["amount"],
    }


def _as_asked(
    act: ActName, do: Callable[[Runtime, AskedAct], Awaitable[object]]
) -> Callable[[Runtime, Approval], Awaitable[None]]:
    """The act of whoever asked, under the request's id: done once, by whichever process."""

    async def perform(runtime: Runtime, approval: Approval) -> None:
        request, acts = approval.request, runtime.stores.acts
        asked = AskedAct(
            operator=request.requested_by,
            idempotency_key=request.request_id,
            act_id=new_id("opa"),
            act=act,
            target=request.target,
            arguments=request.arguments,
            reason=request.reason,
            key_kind="human" if request.requested_by.startswith(PERSON) else None,
        )

        async def done() -> Any:
            await do(runtime, asked)
            return await recorded(acts, asked)

        await once(acts, asked, done)

    return perform


async def _accept(runtime: Runtime, asked: AskedAct) -> None:
    await late_money.accept(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)


async def _give_back(runtime: Runtime, asked: AskedAct) -> None:
    await late_money.give_back(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)


async def _resolve(runtime: Runtime, asked: AskedAct) -> None:
    said, book = asked.arguments, runtime.stores.schedule_book
    words = {"evidence": said["evidence"], "actor": asked.operator, "reason": asked.reason}
    await in_doubt.resolve(
        runtime, book, asked.target, said["outcome"], asked, **words, reference=said.get("reference")
    )


async def _resolve_row(runtime: Runtime, asked: AskedAct) -> None:
    await by_hand.resolve(runtime, asked)


async def _withdraw(runtime: Runtime, asked: AskedAct) -> None:
    await withdrawing.withdraw(runtime, asked)


async def _state(runtime: Runtime, asked: AskedAct) -> None:
    said = asked.arguments
    await disputed_money.state(
        runtime, asked.target, said["movement"], said["amount"], asked, actor=asked.operator, reason=asked.reason
    )


def _of_money(
    act: ActName,
    look: Callable[[Runtime, str, Mapping[str, Any]], Awaitable[dict[str, Any]]],
    do: Callable[[Runtime, AskedAct], Awaitable[object]],
) -> Approvable:
    return Approvable(act=act, look=look, perform=_as_asked(act, do), of_merchant=True)


#: Acts that need a second person above an amount: one of them, or many in one.
OF_MONEY: Final[Mapping[str, Approvable]] = {
    "late_money.accept": _of_money("late_money.accept", _late_money, _accept),
    "late_money.return": _of_money("late_money.return", _late_money, _give_back),
    "attempt.resolve": _of_money("attempt.resolve", _in_doubt, _resolve),
    "dispute.state_amount": _of_money("dispute.state_amount", _disputed, _state),
    "settlement_file.withdraw": Approvable(
        act="settlement_file.withdraw",
        look=withdrawing.look,
        perform=_as_asked("settlement_file.withdraw", _withdraw),
    ),
    "settlement_row.match": _of_money("settlement_row.match", by_hand.look, _resolve_row),
    "settlement_row.write_off": _of_money("settlement_row.write_off", by_hand.look, _resolve_row),
}

APPROVABLE: Final[Mapping[str, Approvable]] = {
    **operators.APPROVABLE,
    **restores.APPROVABLE,
    **erasure.APPROVABLE,
    **OF_MONEY,
}


async def ask_second_person(runtime: Runtime, asked: AskedAct) -> ApprovalRequest:
    """Ask for an act that moves more than one person may. The same act under the same key is one request. Raises
    ActKeyReused also where an act was done under the key, NotDecided where too few could decide or it was approved and
    is not done yet, and what looking at it raises."""
    request_id = _request_id(asked)
    await known_act(runtime.stores.acts, asked)
    try:
        return await four_eyes.ask(
            runtime,
            APPROVABLE[asked.act],
            asked.target,
            asked.arguments,
            requested_by=asked.operator,
            reason=asked.reason,
            needed=1 if asked.operator.startswith(PERSON) else APPROVALS_FOR_NOBODY,
            request_id=request_id,
        )
    except asyncpg.UniqueViolationError:
        found = await four_eyes.read(runtime, request_id)
        if found is None or not _is_same(found.request, asked):
            raise _reused() from None
        ended = None if found.outcome is None else found.outcome.outcome
        if ended == "approved" and APPROVABLE[asked.act].perform is not None:
            raise four_eyes.NotDecided(_APPROVED) from None
        if ended not in (None, "approved"):
            raise four_eyes.NotDecided(f"what was asked for has ended: {ended}") from None
        return found.request


async def done_for(runtime: Runtime, asked: AskedAct) -> OperatorAct | None:
    """What came of the act that was asked for under this key, once it was approved and done; None before. Raises
    ActKeyReused where another one was asked for."""
    request_id = await asked_before(runtime, asked)
    if request_id is None or await runtime.stores.approvals.outcome(request_id) is None:
        return None
    return await runtime.stores.acts.find(asked.operator, request_id)


async def asked_before(runtime: Runtime, asked: AskedAct) -> str | None:
    """The id of the request that this act is, where it was asked for under its key before. Raises ActKeyReused."""
    found = await runtime.stores.approvals.find(_request_id(asked))
    if found is not None and not _is_same(found, asked):
        raise _reused()
    return None if found is None else found.request_id


def _reused() -> ActKeyReused:
    return ActKeyReused("the key was used for another act, which was asked for; nothing was done")


def _request_id(asked: AskedAct) -> str:
    return derived_id("apr", asked.operator, asked.idempotency_key)


def _is_same(request: ApprovalRequest, asked: AskedAct) -> bool:
    said = (request.act, request.target, request.arguments, request.reason)
    return said == (asked.act, asked.target, asked.arguments, asked.reason)
