"""Messages that an operator has sent to a merchant's endpoint again: the act is recorded with what it reopens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import ResendResult


class EndpointDisabled(TallystickError):
    """Nothing is sent to a disabled endpoint."""


class NeverSent(TallystickError):
    """A message was never sent to the endpoint; nothing was sent again."""


async def resend_named(runtime: Runtime, asked: AskedAct, merchant_id: str, messages: Sequence[str]) -> OperatorAct:
    """Send these messages to the endpoint, which is the act's target, again. Raises EndpointDisabled and NeverSent."""
    await _require_enabled(runtime, merchant_id, asked.target)
    book = runtime.stores.endpoint_book
    lacking = [each for each in messages if await book.delivery(merchant_id, asked.target, each) is None]
    if lacking:
        raise NeverSent(f"the endpoint {asked.target} has no delivery of {', '.join(lacking)}; nothing was sent")

    def act_of(count: int) -> OperatorAct:
        return _act(runtime, asked, merchant_id, ResendResult(count, more=False))

    await book.resend(merchant_id, asked.target, messages, actor=asked.operator, act_of=act_of)
    return await recorded(runtime.stores.acts, asked)


async def resend_since(runtime: Runtime, asked: AskedAct, merchant_id: str, since: datetime) -> OperatorAct:
    """Send the endpoint what has not arrived there since then. Raises EndpointDisabled."""
    await _require_enabled(runtime, merchant_id, asked.target)

    def act_of(done: ResendResult) -> OperatorAct:
        return _act(runtime, asked, merchant_id, done)

    endpoints = runtime.stores.endpoints
    await endpoints.resend_since(merchant_id, asked.target, since, actor=asked.operator, act_of=act_of)
    return await recorded(runtime.stores.acts, asked)


def _act(runtime: Runtime, asked: AskedAct, merchant_id: str, done: ResendResult) -> OperatorAct:
    result = {"count": done.count, "has_more": done.more}
    return asked.done(result, runtime.clock.now(), merchant_id=merchant_id)


async def _require_enabled(runtime: Runtime, merchant_id: str, endpoint_id: str) -> None:
    for row in await runtime.stores.endpoint_book.endpoints(merchant_id, endpoint_id):
        if row.state == "enabled":
            return
    says = f"nothing is sent to the disabled endpoint {endpoint_id}; its merchant has to enable it first"
    raise EndpointDisabled(says)
