"""What the flows use: the journal, the reads, the providers, and the times that bound an attempt."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.terms import Checks, Terms
from tallystick.domain.errors import Overloaded
from tallystick.domain.traits import Traits
from tallystick.flows.admission import InFlight
from tallystick.flows.clocks import Clocks
from tallystick.flows.contract_drift import ContractDrift
from tallystick.flows.pauses import Pauses
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.replay_counts import ReplayCounts
from tallystick.flows.stores import Stores
from tallystick.kit.backoff import backoff_ms
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.providers.port import Provider
from tallystick.record.journal import Journal
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.readiness import DatabaseReadiness
from tallystick.record.postgres.reads import Reads
from tallystick.record.sealing import Sealer
from tallystick.settings.load import Settings

#: What a person does about work of an account that no process serves.
CONFIGURE: Final = "start a worker with its settings; `tallystick doctor` lists what this host lacks"

log = get_logger("tallystick.flows.runtime")


class Runtime(Struct, frozen=True, kw_only=True):
    """The open connections, providers and clock of one process. Every provider is behind the screen of ``words``."""

    settings: Settings
    journal: Journal
    reads: Reads
    providers: Mapping[str, Provider]
    clock: Clock
    clocks: Clocks
    pauses: Pauses
    flows: InFlight
    jitter: random.Random
    actions: ActionSeal
    words: ProviderWords
    sealer: Sealer
    stores: Stores
    pool: asyncpg.Pool
    outage: Outage
    readiness: DatabaseReadiness
    default_provider: str | None  # of payments that name none, of merchants without one
    switched_off: frozenset[str]  # providers that take no new payments
    drift: ContractDrift
    replays: ReplayCounts
    lacking: SampledLines  # alerts of payments whose provider is not configured here

    def provider(self, name: str) -> Provider:
        """A configured provider; KeyError otherwise."""
        return self.providers[name]

    def serves(self, provider: str, account: str) -> bool:
        """Whether this process has a connector to the account. Another account of the same provider knows nothing of
        its charges."""
        connector = self.providers.get(provider)
        return connector is not None and connector.account == account

    @property
    def accounts(self) -> list[str]:
        """``provider/account`` of every connector of this process."""
        return sorted(f"{name}/{connector.account}" for name, connector in self.providers.items())

    def lacks(self, provider: str, account: str, payment_id: str) -> bool:
        """Whether the account of a payment is not configured in this process; an alert says so, at most one an hour of
        an account."""
        if self.serves(provider, account):
            return False

        def say(since_last_line: int) -> None:
            log.error(
                "provider of a payment is not configured",
                alert=True,
                provider=provider,
                account=account,
                payment_id=payment_id,
                since_last_line=since_last_line,
                next=CONFIGURE,
            )

        self.lacking.line((provider, account), say)
        return True

    def report_waiting(self, work: str, provider: str, account: str, count: int) -> None:
        """Work that waits for a process with the settings of its account: an alert, at most one an hour of an account
        and a kind of work."""

        def say(since_last_line: int) -> None:
            log.error(
                "work waits for a provider that is not configured here",
                alert=True,
                work=work,
                provider=provider,
                account=account,
                waiting=count,
                since_last_line=since_last_line,
                next=CONFIGURE,
            )

        self.lacking.line((work, provider, account), say)

    def terms(self, provider: str) -> Terms:
        """The terms of one submission to this provider."""
        connector = self.providers[provider]
        traits = connector.traits
        return Terms(
            account=connector.account,
            send_window_ms=self.settings.send_window_ms,
            request_timeout_ms=traits.request_timeout_ms,
            settling_ms=settling_ms(traits),
        )

    def checks(self, provider: str, *, learned_late: bool = False) -> Checks:
        """The schedule of an attempt after its outcome, and what is kept of it. A reference that no answer to our own
        call brought (``learned_late``) is always kept: events that named it may have been filed as foreign. So is that
        of an attempt whose provider is not configured, which an operator settles."""
        settings, connector = self.settings, self.providers.get(provider)
        first_ms = backoff_ms(0, settings.recovery_backoff_base_ms, settings.recovery_backoff_cap_ms, self.jitter)
        # Where the provider asked to wait, a look before that finds nothing to do, unless patience ends sooner.
        first_ms += min(self.pauses.left_ms(provider), settings.provider_circuit_patience_ms)
        return Checks(
            unknown_in_ms=first_ms,
            pending_in_ms=settings.pending_poll_ms,
            not_sent_in_ms=first_ms,
            authorization_deadline_ms=settings.authorization_deadline_ms,
            keeps_references=learned_late or connector is None or connector.traits.keeps_references,
        )

    def admit(self, merchant_id: str, share: float) -> None:
        """Raises Overloaded if the bounded queues have no room for a new instruction of this merchant and kind."""
        if not self.flows.has_room_for(merchant_id, share):
            raise Overloaded("too many payments are in flight")
        if not self.journal.room(share):
            raise Overloaded("the journal's queue is full")


def settling_ms(traits: Traits) -> int:
    """How long after a sender's deadline "no such charge" becomes evidence. If the provider does not deduplicate, a
    delayed request could otherwise arrive after we sent another."""
    if traits.deduplicates:
        return traits.settling_time_ms
    return max(traits.settling_time_ms, traits.max_delivery_delay_ms)
