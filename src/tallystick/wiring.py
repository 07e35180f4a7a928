"""Puts one process's parts together: connections, door, reads, providers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from msgspec.structs import replace

from tallystick.core import Core, Flows
from tallystick.domain.traits import Traits
from tallystick.kit.clock import Clock
from tallystick.migrations import APP_ROLE
from tallystick.providers.adyen import THREADS as ADYEN_THREADS
from tallystick.providers.adyen import AdyenProvider
from tallystick.providers.adyen_notices import AdyenReceiver
from tallystick.providers.guarded import Guarded, Limits
from tallystick.providers.http import ProviderHttp
from tallystick.providers.port import Provider
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator import SimulatorProvider
from tallystick.providers.simulator_notices import SimulatorReceiver
from tallystick.providers.stripe import StripeProvider
from tallystick.providers.stripe_notices import StripeReceiver
from tallystick.record.batch import Connection
from tallystick.record.journal import Journal, JournalLimits
from tallystick.record.reads import Reads
from tallystick.record.refusals import RefusalBook
from tallystick.sealed_actions import ActionSeal
from tallystick.sealing import sealer_of
from tallystick.settings.load import Settings, comma_list
from tallystick.settings.providers import ProviderSettings
from tallystick.webhooks.intake import Intake
from tallystick.webhooks.refusals import Refusals

#: asyncpg prepares each statement once per connection; there are fewer than this.
STATEMENT_CACHE: Final = 128

#: Door, intake and workers find their rows by key or in an index's order. A plan that was made while a table was empty
#: would read all of it, and a connection keeps its plans for hours.
FIND_BY_KEY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


async def connect(url: str, *, command_timeout_ms: int) -> asyncpg.Connection:
    """A connection to write with, as the application role, whatever role the URL logs in as. To open it may take as
    long as a command."""
    return await asyncpg.connect(
        url,
        timeout=command_timeout_ms / 1000,
        command_timeout=command_timeout_ms / 1000,
        statement_cache_size=STATEMENT_CACHE,
        server_settings={"role": APP_ROLE, "application_name": "tallystick", **FIND_BY_KEY},
    )


async def open_pool(url: str, settings: Settings) -> asyncpg.Pool:
    """The pool for reads, as the application role."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=settings.database_connections,
        timeout=settings.journal_commit_timeout_ms / 1000,
        command_timeout=settings.journal_commit_timeout_ms / 1000,
        statement_cache_size=STATEMENT_CACHE,
        server_settings={"role": APP_ROLE, "application_name": "tallystick", **FIND_BY_KEY},
    )


def simulator_provider(settings: Settings) -> SimulatorProvider:
    """The test acquirer, under the settings' time-outs. Its lookup reads its own books: consistent at once."""
    forgetful = settings.simulator_forgetful
    traits = Traits(
        deduplicates=not forgetful,
        lookup_is_consistent=True,
        key_lifetime_ms=None,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
    )
    http = ProviderHttp(
        settings.simulator_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return SimulatorProvider(http, traits, settings.simulator_account)


def stripe_provider(settings: Settings) -> StripeProvider | None:
    """Stripe, where there is a key to it. Its lists show a write at once."""
    if settings.stripe_api_key is None:
        return None
    traits = Traits(
        deduplicates=settings.stripe_deduplicates,
        lookup_is_consistent=True,
        key_lifetime_ms=settings.stripe_key_lifetime_ms,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
        keeps_references=True,
    )
    http = ProviderHttp(
        settings.stripe_api_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return StripeProvider(
        http,
        traits,
        api_key=settings.stripe_api_key,
        api_url=settings.stripe_api_url,
        account=settings.stripe_account,
        payment_method_types=comma_list(settings.stripe_payment_method_types),
        return_url=settings.stripe_return_url,
    )


#: Adyen keeps idempotency keys for 31 days at least; a week is longer than anything here is in doubt unseen.
ADYEN_KEY_LIFETIME_MS = 604_800_000


def adyen_provider(settings: Settings) -> AdyenProvider | None:
    """Adyen, where there is a key to it. It has no lookup; its notifications name our own attempts. Call it inside a
    running event loop."""
    if settings.adyen_api_key is None or settings.adyen_merchant_account is None:
        return None
    traits = Traits(
        deduplicates=True,
        lookup_is_consistent=False,
        key_lifetime_ms=ADYEN_KEY_LIFETIME_MS,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
        can_fetch=False,
    )
    http = ProviderHttp(
        settings.adyen_api_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return AdyenProvider(
        http,
        traits,
        api_key=settings.adyen_api_key,
        api_url=settings.adyen_api_url,
        merchant_account=settings.adyen_merchant_account,
        account=settings.adyen_account,
        return_url=settings.adyen_return_url,
    )


def configured_providers(settings: Settings) -> dict[str, Provider]:
    """The connectors that the settings have what they need for, by name. Call it inside a running event loop."""
    found: list[Provider | None] = [
        simulator_provider(settings),
        stripe_provider(settings),
        adyen_provider(settings),
    ]
    return {provider.name: provider for provider in found if provider is not None}


def guarded(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Each behind its limits. Call it inside a running event loop."""
    limits = Limits(
        calls_at_once=settings.provider_connections,
        wait_ms=settings.provider_wait_ms,
        failure_percent=settings.provider_circuit_failure_percent,
        calls=settings.provider_circuit_calls,
        window_ms=settings.provider_circuit_window_ms,
        open_ms=settings.provider_circuit_open_ms,
        open_limit_ms=settings.provider_circuit_open_limit_ms,
        probes=settings.provider_circuit_probes,
    )
    adyen = replace(limits, calls_at_once=min(limits.calls_at_once, ADYEN_THREADS))
    return {
        name: Guarded(provider, adyen if isinstance(provider, AdyenProvider) else limits)
        for name, provider in providers.items()
    }


def receivers(settings: Settings) -> dict[tuple[str, str], Receiver]:
    """Who reads whose webhooks, by provider and account. The test acquirer's published secret opens no door beside a
    real provider: whoever knows it could fill the inbox."""
    found: list[Receiver] = []
    published = ProviderSettings().simulator_webhook_secrets
    real = settings.stripe_api_key or settings.adyen_api_key
    if settings.simulator_webhook_secrets != published or not real:
        secrets = settings.simulator_webhook_secrets.split(",")
        found.append(SimulatorReceiver(settings.simulator_account, secrets))
    if settings.stripe_webhook_secrets is not None:
        found.append(StripeReceiver(settings.stripe_account, comma_list(settings.stripe_webhook_secrets)))
    if settings.adyen_hmac_keys is not None and settings.adyen_merchant_account is not None:
        keys = comma_list(settings.adyen_hmac_keys)
        found.append(AdyenReceiver(settings.adyen_account, settings.adyen_merchant_account, keys))
    return {(receiver.name, receiver.account): receiver for receiver in found}


@asynccontextmanager
async def open_intake(settings: Settings, database_url: str) -> AsyncIterator[Intake]:
    """The way into the inbox, open; leaving writes what is queued."""

    async def own_connection() -> Any:
        return await connect(database_url, command_timeout_ms=settings.webhook_commit_timeout_ms)

    intake = Intake(
        own_connection,
        queue_limit=settings.webhook_queue_limit,
        commit_timeout_ms=settings.webhook_commit_timeout_ms,
        clock_shift_ms=settings.clock_shift_ms,
    )
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop()


@asynccontextmanager
async def open_refusals(core: Core) -> AsyncIterator[Refusals]:
    """The counts of refused webhooks, open; leaving writes what is left."""
    refusals = Refusals(RefusalBook(core.pool, clock_shift_ms=core.settings.clock_shift_ms), core.clock)
    await refusals.start()
    try:
        yield refusals
    finally:
        await refusals.stop()


@asynccontextmanager
async def open_core(
    settings: Settings,
    database_url: str,
    *,
    providers: Mapping[str, Provider] | None = None,
    journal_connect: Callable[[], Awaitable[Connection]] | None = None,
) -> AsyncIterator[Core]:
    """Everything open, and closed again in the reverse order: flows first get ``drain_timeout_ms`` to end. Raises
    SettingsError for sealing keys that are none, and what opening the database raises.

    ``providers`` and ``journal_connect`` are for tests and benchmarks that bring their own.
    """
    limits = JournalLimits(
        connections=settings.journal_connections,
        second_batch_changes=settings.journal_second_batch_changes,
        batch_changes=settings.journal_batch_changes,
        batch_rows=settings.journal_batch_rows,
        batch_bytes=settings.journal_batch_bytes,
        queue_limit=settings.journal_queue_limit,
        commit_timeout_ms=settings.journal_commit_timeout_ms,
    )

    async def own_connection() -> Any:
        return await connect(database_url, command_timeout_ms=settings.journal_commit_timeout_ms)

    actions = ActionSeal(sealer_of(settings))
    pool = await open_pool(database_url, settings)
    journal = Journal(journal_connect or own_connection, limits, clock_shift_ms=settings.clock_shift_ms)
    connectors = dict(providers) if providers is not None else guarded(settings, configured_providers(settings))
    core = Core(
        settings=settings,
        journal=journal,
        reads=Reads(pool, clock_shift_ms=settings.clock_shift_ms),
        providers=connectors,
        clock=Clock(shift_ms=settings.clock_shift_ms),
        flows=Flows(settings.in_flight_limit),
        chance=random.Random(),
        actions=actions,
        pool=pool,
    )
    try:
        await journal.start()
        yield core
        await core.flows.drain(settings.drain_timeout_ms)
    finally:
        await journal.stop()
        for provider in connectors.values():
            await provider.close()
        await pool.close()
