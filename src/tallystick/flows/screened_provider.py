"""Around every connector of a process: what it says is screened and fit for the record, and the names in a call are
those that the provider knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tallystick.domain.marks import ChargeMark
from tallystick.domain.money import Exponents
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.storable import storable_verdict
from tallystick.domain.verdicts import NotSent, Unknown, Verdict
from tallystick.flows.provider_words import ProviderWords
from tallystick.kit.clock_skew import Skew
from tallystick.kit.logs import get_logger
from tallystick.providers.contract_drift import DriftTally
from tallystick.providers.pause import Pause
from tallystick.providers.port import CircuitState, Provider, ProviderCall, ProviderEffect
from tallystick.record.sealing import SealBroken, SealingRefused
from tallystick.settings.load import SettingsError

log = get_logger("tallystick.flows.screened_provider")

#: A name cannot be sealed or opened: there is no key, or not the one that sealed it.
_NO_KEY: Final = (SealBroken, SealingRefused, SettingsError, OSError)

#: Reason of a call that was not made because the provider's name for its charge cannot be opened.
CANNOT_OPEN: Final = "the provider's name for it is sealed, and cannot be opened here"

#: Reason of an answer that cannot be kept: its outcome is asked for again once there is a key.
CANNOT_SEAL: Final = "the provider's name in the answer cannot be sealed here"


class ScreenedProvider(Provider):
    """A provider that says nothing with a card number in it. ``behind``: the one that speaks."""

    def __init__(self, provider: Provider, words: ProviderWords) -> None:
        self.name = provider.name
        self.account = provider.account
        self.traits = provider.traits
        self.behind = provider
        self._words = words

    @property
    def circuit(self) -> CircuitState:
        """As the provider says."""
        return self.behind.circuit

    @property
    def rests(self) -> bool:
        """As the provider says."""
        return self.behind.rests

    @property
    def tokens(self) -> Sequence[PaymentTokens]:
        """As the provider says."""
        return self.behind.tokens

    def kind_of_token(self, payment_method: str) -> PaymentTokens | None:
        """As the provider says."""
        return self.behind.kind_of_token(payment_method)

    @property
    def pause(self) -> Pause | None:
        """As the provider says."""
        return self.behind.pause

    @property
    def drift(self) -> DriftTally | None:
        """As the provider's answers say."""
        return self.behind.drift

    @property
    def clock_skew(self) -> Skew | None:
        """As the provider's answers say."""
        return self.behind.clock_skew

    def supports(self, payment_method: str) -> bool:
        """As the provider says."""
        return self.behind.supports(payment_method)

    def exponents(self, currency: str) -> Exponents:
        """As the provider says."""
        return self.behind.exponents(currency)

    def amount_step(self, currency: str, exponents: Exponents | None = None) -> int:
        """As the provider says."""
        return self.behind.amount_step(currency, exponents)

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """As the provider says."""
        return self.behind.representable(amount, currency, exponents)

    async def authorize(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, screened; NotSent where the call's names cannot be opened."""
        return await self._send(self.behind.authorize, call)

    async def capture(self, call: ProviderCall) -> Verdict:
        """As ``authorize``."""
        return await self._send(self.behind.capture, call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """As ``authorize``."""
        return await self._send(self.behind.cancel, call)

    async def refund(self, call: ProviderCall) -> Verdict:
        """As ``authorize``."""
        return await self._send(self.behind.refund, call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """The provider's verdict, screened; Unknown where the call's names cannot be opened."""
        try:
            addressed = self._words.addressed(call, self.name)
        except _NO_KEY as error:
            return Unknown(reason=f"lookup: {self._cannot(CANNOT_OPEN, call, error)}")
        return self._screened(await self.behind.fetch(addressed), call)

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        """What the provider's books have, screened."""
        held = await self.behind.held_by_key(key)
        found: dict[str, Any] | None = self._words.screened_json(held, self.name, self.account)
        return found

    async def charge_mark(self, charge: str) -> ChargeMark:
        """As the provider says of the charge by its own name; unanswered where that name cannot be opened."""
        try:
            return await self.behind.charge_mark(self._words.opened_name(charge, self.name))
        except _NO_KEY:
            return "unanswered"

    def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect] | None:
        """The provider's list, screened."""
        effects = self.behind.effects_since(since)
        return None if effects is None else self._screened_effects(effects)

    async def close(self) -> None:
        """Close every connection."""
        await self.behind.close()

    async def _send(self, operation: Callable[[ProviderCall], Awaitable[Verdict]], call: ProviderCall) -> Verdict:
        try:
            addressed = self._words.addressed(call, self.name)
        except _NO_KEY as error:
            return NotSent(reason=self._cannot(CANNOT_OPEN, call, error))
        return self._screened(await operation(addressed), call)

    def _screened(self, verdict: Verdict, call: ProviderCall) -> Verdict:
        try:
            return self._words.screened(storable_verdict(verdict), self.name, self.account)
        except _NO_KEY as error:
            return Unknown(reason=self._cannot(CANNOT_SEAL, call, error))

    async def _screened_effects(self, effects: AsyncIterator[ProviderEffect]) -> AsyncIterator[ProviderEffect]:
        async for effect in effects:
            yield self._words.screened(effect, self.name, self.account)

    def _cannot(self, reason: str, call: ProviderCall, error: Exception) -> str:
        log.error(
            "no key for a provider's name",
            alert=True,
            provider=self.name,
            payment_id=call.payment_id,
            reason=reason,
            error=type(error).__name__,
            next="tallystick sealing-keys list",
        )
        return reason


def screened_providers(providers: Mapping[str, Provider], words: ProviderWords) -> dict[str, Provider]:
    """Each behind the screen."""
    return {name: ScreenedProvider(provider, words) for name, provider in providers.items()}
