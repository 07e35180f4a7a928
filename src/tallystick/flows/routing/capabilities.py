"""What a merchant can do at each provider of this process, by the rows that its requests are checked by."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tallystick.domain.business_days import DueRule
from tallystick.domain.capabilities import (
    Capabilities,
    ProviderCapability,
    after_final,
    method_capability,
    out_of_scope,
    provider_capability,
)
from tallystick.domain.money import ACCEPTED
from tallystick.flows.routing.route import why_unavailable
from tallystick.providers.port import Provider


def capabilities(
    providers: Mapping[str, Provider],
    *,
    default: str | None,
    allowed: Collection[str] | None,
    switched_off: Collection[str],
    capture_window_ms: int,
    due: Mapping[tuple[str, str], DueRule],
) -> Capabilities:
    """Of every provider that is configured. ``default``: where a payment goes that names none; ``allowed``: the
    merchant's own list, None for all; ``switched_off``: what takes no new payments; ``due``: the calendars of
    accounts."""
    found = []
    for name, provider in sorted(providers.items()):
        available = why_unavailable(name, allowed=allowed, switched_off=switched_off) is None
        rule = due.get((name, provider.account))
        found.append(_of(name, provider, available, available and name == default, capture_window_ms, rule))
    return Capabilities(providers=found, after_final=after_final(), out_of_scope=out_of_scope())


def _of(
    name: str, provider: Provider, available: bool, is_default: bool, capture_window_ms: int, due: DueRule | None
) -> ProviderCapability:
    steps = {currency: provider.amount_step(currency) for currency in ACCEPTED}
    methods = [method_capability(kind, steps, capture_window_ms=capture_window_ms) for kind in provider.tokens]
    return provider_capability(
        name,
        provider.account,
        provider.traits,
        methods,
        takes_new_payments=available,
        is_default=is_default,
        due=due,
    )
