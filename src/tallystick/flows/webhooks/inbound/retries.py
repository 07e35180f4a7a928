"""How often an event is tried, how long between tries, and who owns it as a dead letter."""

from __future__ import annotations

import random

from tallystick.settings.fields import by_provider
from tallystick.settings.load import Settings


class Retries:
    """The settings' rules for every provider."""

    def __init__(self, settings: Settings, jitter: random.Random) -> None:
        self._limit = settings.webhook_tries_limit
        self._limits = {name: int(value) for name, value in by_provider(settings.webhook_provider_tries).items()}
        self._owner = settings.webhook_owner
        self._owners = by_provider(settings.webhook_provider_owners)
        self._base_ms = settings.webhook_backoff_base_ms
        self._cap_ms = settings.webhook_backoff_cap_ms
        self._jitter = jitter

    def limit(self, provider: str) -> int:
        """Tries before an event of this provider is a dead letter."""
        return self._limits.get(provider, self._limit)

    def owner(self, provider: str) -> str:
        """The owner of this provider's dead letters."""
        return self._owners.get(provider, self._owner)

    def wait_ms(self, tries: int) -> int:
        """Before the next try, after ``tries`` earlier ones and the one that just failed: exponential, with full jitter
        (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
        ceiling = min(self._cap_ms, self._base_ms * 2**tries)
        return self._jitter.randint(1, max(1, ceiling))
