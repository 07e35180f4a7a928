"""Calls under way are bounded by connections alone: no connector holds a thread, or anything else, for each."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tallystick.domain.verdicts import Approved
from tallystick.kit.clock import monotonic_ms
from tallystick.lab.bench.provider_latency import AT_ONCE
from tallystick.lab.bench.provider_stand import HOST, Stand, listening
from tallystick.lab.bench.providers import CONNECTORS
from tallystick.providers.assembly import bounded_providers
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings
from tests.support.circuit import call

#: More than any thread pool that a library makes by itself, and few enough to be opened at once.
TOGETHER = 300

#: Only calls that cannot all be under way meet it, however busy the machine is.
PATIENCE_MS = 30_000

#: Answers at once, when the last has come.


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CONNECTORS)
async def test_three_hundred_calls_are_under_way_at_once(name: str) -> None:
    """The stand answers nobody before all of them have come: one that waits for another's end would wait for ever."""
    connector = CONNECTORS[name]
    stand = Stand(AT_ONCE, hold_until=TOGETHER)
    async with listening(stand) as port:
        settings = Settings(provider_connect_timeout_ms=PATIENCE_MS, provider_request_timeout_ms=PATIENCE_MS)
        settings = connector.connected(settings, f"http://{HOST}:{port}")
        connected = PROVIDERS[name].connect(settings)
        assert connected is not None
        provider = bounded_providers(settings, {name: connected})[name]
        in_time = {"payment_method": connector.payment_method, "send_by_ms": monotonic_ms() + PATIENCE_MS}
        calls = [replace(call(), **in_time) for _ in range(TOGETHER)]
        verdicts = await asyncio.gather(*(provider.authorize(each) for each in calls))
        await provider.close()
    assert [verdict for verdict in verdicts if not isinstance(verdict, Approved)] == []
    assert stand.requests == TOGETHER
