"""Everything that a second person can be asked for, in one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.late_money import unclaimed
from tallystick.domain.operator_act import ActName, AskedAct
from tallystick.flows.compliance.four_eyes import PERSON, Approvable, Approval
from tallystick.flows.operations import late_money, operators
from tallystick.flows.operations.acts import once, recorded
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id


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


APPROVABLE: Final[Mapping[str, Approvable]] = {
    **operators.APPROVABLE,
    "late_money.accept": Approvable(
        act="late_money.accept", look=_late_money, perform=_as_asked("late_money.accept", _accept)
    ),
    "late_money.return": Approvable(
        act="late_money.return", look=_late_money, perform=_as_asked("late_money.return", _give_back)
    ),
}
