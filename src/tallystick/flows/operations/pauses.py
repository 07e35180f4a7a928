"""Accounts of providers that an operator pauses: they get no calls, from any process, until somebody resumes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.provider_pauses import OperatorPause, read_operator_pauses, set_operator_pause

__all__ = ["OperatorPause", "UnknownProvider", "pause", "pauses", "resume"]

#: A database that takes longer for one small row is in trouble.
_READ_TIMEOUT_S: Final = 5.0


class UnknownProvider(TallystickError):
    """There is no such provider; nothing was written."""


async def pauses(runtime: Runtime) -> Sequence[OperatorPause]:
    """The accounts that operators paused, and nobody resumed."""
    return await read_operator_pauses(runtime.pool, _READ_TIMEOUT_S)


async def pause(runtime: Runtime, asked: AskedAct, account: str, for_ms: int | None) -> OperatorAct:
    """The account of the provider gets no calls, for so long or until it is resumed. This process heeds it at once, the
    others within a second or two. Raises UnknownProvider."""
    return await _set(runtime, asked, account, paused=True, for_ms=for_ms)


async def resume(runtime: Runtime, asked: AskedAct, account: str) -> OperatorAct:
    """The account gets calls again. What the provider itself asked for (Retry-After) is still heeded. Raises
    UnknownProvider."""
    return await _set(runtime, asked, account, paused=False, for_ms=None)


async def _set(runtime: Runtime, asked: AskedAct, account: str, *, paused: bool, for_ms: int | None) -> OperatorAct:
    if asked.target not in PROVIDERS:
        raise UnknownProvider(f"there is no provider {asked.target}; there are {', '.join(PROVIDERS)}")

    def act_until(until: datetime | None) -> OperatorAct:
        result = {"provider": asked.target, "account": account, "paused": paused, "for_ms": for_ms}
        return asked.done(result | {"until": None if until is None else until.isoformat()}, runtime.clock.now())

    act = await set_operator_pause(
        runtime.pool, asked.target, account, asked.operator, paused=paused, for_ms=for_ms, act_until=act_until
    )
    await runtime.pauses.learn()
    return act
