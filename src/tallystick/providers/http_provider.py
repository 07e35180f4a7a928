"""What every connector over HTTP has by its session: pauses, clocks, counted differences and exponents."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.domain.money import Exponents, exponents_at
from tallystick.domain.traits import Traits
from tallystick.kit.clock_skew import Skew
from tallystick.providers.contract_drift import DriftTally
from tallystick.providers.http import ProviderHttp
from tallystick.providers.pause import Pause
from tallystick.providers.port import Provider


class HttpProvider(Provider):
    """One account. ``provider_exponents``: the provider's decimals of the currencies where they differ from ISO 4217.
    Subclasses note where answers differ in ``_drift``."""

    provider_exponents: Mapping[str, int]

    def __init__(self, http: ProviderHttp, traits: Traits, account: str = "main") -> None:
        self.account = account
        self.traits = traits
        self._http = http
        self._drift = DriftTally()

    @property
    def drift(self) -> DriftTally:
        """Of its answers."""
        return self._drift

    @property
    def pause(self) -> Pause:
        """By the Retry-After of its answers."""
        return self._http.pause

    @property
    def clock_skew(self) -> Skew | None:
        """By the dates of its answers."""
        return self._http.clock.current

    def exponents(self, currency: str) -> Exponents:
        """By ``provider_exponents``."""
        return exponents_at(currency, self.provider_exponents)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()
