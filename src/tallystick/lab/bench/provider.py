"""A provider without a network: approves everything after a given time. For benchmarks alone."""

from __future__ import annotations

import asyncio
import random

from tallystick.domain.money import Exponents
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Effect, NotFound, Verdict
from tallystick.kit.clock import utc_now
from tallystick.lab.bench.provider_latency import DEFAULT, ProviderLatency
from tallystick.lab.bench.workload import PROVIDER, approval
from tallystick.providers.port import Provider, ProviderCall


class BenchProvider(Provider):
    """Approves after ``latency`` and keeps no books."""

    name = PROVIDER
    account = "main"
    traits = Traits(
        deduplicates=True,
        lookup_is_consistent=True,
        key_lifetime_ms=None,
        settling_time_ms=5_000,
        max_delivery_delay_ms=60_000,
        request_timeout_ms=10_000,
    )

    def __init__(self, latency: ProviderLatency = DEFAULT) -> None:
        self._latency = latency
        self._random = random.Random()

    def supports(self, payment_method: str) -> bool:
        """Any token."""
        return True

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """Any amount."""
        return True

    async def authorize(self, call: ProviderCall) -> Verdict:
        """Approved, and captured at once where asked for."""
        return await self._approve(call, "captured" if call.capture else "authorized")

    async def capture(self, call: ProviderCall) -> Verdict:
        """Approved."""
        return await self._approve(call, "captured")

    async def cancel(self, call: ProviderCall) -> Verdict:
        """Approved."""
        return await self._approve(call, "voided")

    async def refund(self, call: ProviderCall) -> Verdict:
        """Approved."""
        return await self._approve(call, "refunded")

    async def fetch(self, call: ProviderCall) -> Verdict:
        """It remembers nothing."""
        return NotFound()

    async def close(self) -> None:
        """Nothing to close."""

    async def _approve(self, call: ProviderCall, effect: Effect) -> Approved:
        await asyncio.sleep(self._latency.draw_s(self._random))
        reference = f"bnc_{call.attempt_id.removeprefix('att_')}"
        return approval(reference, call.amount, call.currency, utc_now(), effect)
