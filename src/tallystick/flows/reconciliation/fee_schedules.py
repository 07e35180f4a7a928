"""Schedules of providers' fees: an operator sets the next version of an account's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncpg import UniqueViolationError

from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.fee_schedule import FeeSchedule, StatedSchedule
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.providers.registry import PROVIDERS

#: Somebody else set versions all the time meanwhile: nothing was written.
RACES: Final = 5


class NoSuchAccount(TallystickError):
    """There is no such provider; nothing was written."""


def target_of(provider: str, account: str) -> str:
    """What an act about an account names."""
    return f"{provider}/{account}"


async def set_schedule(runtime: Runtime, asked: AskedAct, stated: StatedSchedule) -> OperatorAct:
    """Keep the schedule as the next version of the account that the act names. Rows that were judged before keep their
    judgement. Raises NoSuchAccount and Overloaded."""
    provider, _, account = asked.target.partition("/")
    if provider not in PROVIDERS or not account:
        raise NoSuchAccount(f"there is no provider {provider}; there are {', '.join(PROVIDERS)}")
    book = runtime.stores.fee_schedules
    for _ in range(RACES):
        at, earlier = runtime.clock.now(), await book.of_account(provider, account)
        schedule = FeeSchedule(
            provider=provider,
            account=account,
            version=len(earlier) + 1,
            valid_from=stated.valid_from,
            rounding=stated.rounding,
            rates=stated.rates,
            actor=asked.operator,
            created_at=at,
        )
        act = asked.done({"provider": provider, "account": account, "version": schedule.version}, at)
        try:
            await book.add(schedule, act)
        except UniqueViolationError as error:
            if error.constraint_name == "fee_schedule_pkey":
                continue
            raise
        return act
    raise Overloaded("the account's schedules are changed by too many others")


async def schedules(runtime: Runtime) -> Sequence[FeeSchedule]:
    """Every version of every account."""
    return await runtime.stores.fee_schedules.all()
