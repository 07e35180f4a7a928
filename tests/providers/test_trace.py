"""Every connector's requests belong to the trace of their instruction, each as a span of its own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tallystick.kit.clock import monotonic_ms
from tallystick.kit.trace_context import continued, parsed
from tallystick.lab.bench.providers import CONNECTORS
from tallystick.providers.port import send
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings
from tests.support.answering import answering
from tests.support.circuit import call

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("name", CONNECTORS)
async def test_calls_and_look_ups_are_spans_of_the_trace(name: str) -> None:
    async with answering((200, {})) as served:
        provider = PROVIDERS[name].connect(CONNECTORS[name].connected(Settings(), served.url))
        assert provider is not None
        by_hand = {"payment_method": CONNECTORS[name].payment_method, "send_by_ms": monotonic_ms() + 30_000}
        asked = [
            replace(call(), operation=operation, parent_reference="ch_1", reference=None, **by_hand)
            for operation in ("authorize", "capture", "cancel", "refund")
        ]
        with continued(TRACE):
            for each in asked:
                await send(provider, each)
                await provider.fetch(each)
        traced = [headers.get("traceparent", "") for _, headers, _ in served.requests]
        for each in asked:
            await send(provider, each)
        await provider.close()
        untraced = [headers for _, headers, _ in served.requests[len(traced) :]]
    assert len(traced) == (4 if name == "adyen" else 8), "Adyen has no look-up"
    assert all(parsed([each]) == each and each.startswith(TRACE[:36]) for each in traced)
    assert len({*traced, TRACE}) == len(traced) + 1
    assert len(untraced) == 4 and all("traceparent" not in headers for headers in untraced)
