"""The watch of a worker, at work until a test has the alert that it provoked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tallystick.domain.alert import Alert
from tallystick.flows.runtime import Runtime
from tallystick.kit.rounds import ROUND_TIME
from tallystick.settings.load import Settings
from tests.support.inbox import WEBHOOK_SETTINGS
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.work import working

#: The rounds of the watch.
WATCH = ("watch", "numbers", "audit", "alerts")

#: Looks often, and finds at once what an operator would be told of after a while.
WATCH_SETTINGS = replace(
    WEBHOOK_SETTINGS,
    webhook_allow_private_addresses=True,
    numbers_interval_ms=100,
    numbers_ledger_interval_ms=100,
    audit_interval_ms=100,
    audit_delay_ms=0,
    alert_interval_ms=50,
    alert_clear_ms=0,
    alert_rising_ms=300,
    alert_unknown_age_ms=0,
    alert_clearing_age_ms=0,
    alert_dispute_age_ms=0,
    alert_dead_letter_ageing_ms=0,
    alert_queue_age_ms=0,
    alert_message_age_ms=0,
    alert_watch_gap_ms=0,
    webhook_dead_letter_alarm_age_ms=3_600_000,
)


@asynccontextmanager
async def watched(
    app_url: str, provider: BookedProvider | None = None, *rounds: str, settings: Settings = WATCH_SETTINGS, **more: Any
) -> AsyncIterator[Runtime]:
    """A runtime whose worker watches, and does the rounds of these names besides."""
    async with (
        runtime_of(app_url, provider or BookedProvider(), settings=replace(settings, **more)) as runtime,
        working(runtime, *WATCH, *rounds),
    ):
        yield runtime


async def several_looks() -> None:
    """Until workers of this process have looked for conditions a few times more."""

    async def looks() -> int:
        return sum(ROUND_TIME["alerts",][:-1])

    so_far = await looks()
    await eventually_async(looks, until=lambda number: number > so_far + 3)


async def alerts_of(runtime: Runtime, name: str) -> list[Alert]:
    """Those of one name."""
    return [each for each in await runtime.stores.alerts.all() if each.name == name]


async def alert_of(
    runtime: Runtime, name: str, about: str | None = None, *, until: Callable[[Alert], object] = bool
) -> Alert:
    """The alert, once it is as it is waited for."""

    async def found() -> list[Alert]:
        return [
            each for each in await alerts_of(runtime, name) if (about is None or each.about == about) and until(each)
        ]

    return (await eventually_async(found))[0]
