"""A Stripe that makes report runs, and reports that are fetched from a provider until they have come to their end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tallystick.domain.settlement_report import SettlementReport
from tallystick.flows.reconciliation.fetching import ReportFetcher
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.providers.assembly import report_sources
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.providers.stripe.setup import StripeSettings
from tests.support.card_bank import signed
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.settling_providers import SECRET, AtStripe
from tests.support.stripe.client import PATIENT, stripe_runtime
from tests.support.stripe.fake_stripe import fake_stripe
from tests.support.stripe.reports import Reports


class Stripe(AtStripe):
    """A Stripe that makes report runs."""

    @property
    def books(self) -> Reports:
        """Its books, which a test closes."""
        return self._books

    async def tell_of(self, run: dict[str, Any], times: int = 1) -> None:
        """A run ended: the event arrives so many times, and is processed."""
        event = {"id": new_id("evt"), "object": "event", "type": "reporting.report_run.succeeded", "created": 1}
        body = json.dumps(event | {"data": {"object": run}}).encode()
        await self.deliver(StripeReceiver("main", [SECRET]), body, signed(body, SECRET, "stripe"), times)


@asynccontextmanager
async def at_stripe(database: Database, merchant: str) -> AsyncIterator[Stripe]:
    """A merchant who is paid there. A lease of a fetch is over at once."""
    async with fake_stripe(deduplicates=True) as fake:
        settings = replace(PATIENT, settlement_lease_ms=1).with_connector(StripeSettings, files_url=fake.url)
        async with stripe_runtime(database, fake.url, settings) as runtime:
            yield Stripe(runtime, database, merchant, fake)


async def fetched(runtime: Runtime, provider: str, name: str) -> SettlementReport:
    """The report once it has come to its end."""
    sources = report_sources(runtime.settings)
    fetcher = ReportFetcher(runtime, sources, first_wait_ms=2)

    async def look() -> SettlementReport | None:
        await fetcher.fetch(provider, "main", name)
        return await runtime.stores.settlement_reports.find(provider, "main", name)

    try:
        found = await eventually_async(look, until=lambda found: found is not None and found.state != "waiting")
    finally:
        for source in sources.values():
            await source.close()
    assert found is not None
    return found
