"""The scopes that are explored, and how far: a name, what it is about, where it begins, and to which depth."""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.guarantees.small_model.rules import (
    ACQUIRER,
    FORGETFUL,
    LISTING,
    UNASKED,
    Budget,
    ProviderRules,
    Scope,
)

#: Deeper than any of these worlds: an exploration to this depth ends because nothing is left.
ALL: Final = 200

_CREATE: Final = ("create",)
_BOTH: Final = (ACQUIRER, LISTING)

#: The host's clocks: what the old rule about clocks was built on.
_HOSTS: Final = ("api", "worker")


class Exploration(NamedTuple):
    """One scope, and how far it is explored. ``existing``: where the payment that it begins with was made.
    ``at_least``: so many states, or it was not explored."""

    scope: Scope
    depth: int
    at_least: int
    existing: ProviderRules | None = None


#: Everything that can go wrong, once each, at two providers.
EVERYTHING: Final = Scope("everything", _CREATE, _BOTH)

#: What the old rule about clocks fails on, and the new one must not: any clock may jump.
CLOCKS: Final = Scope("clocks", _CREATE, (LISTING,), Budget(restores=0))

#: The same at a provider that executes one key twice. There a restore is beyond anybody's rules.
CLOCKS_AND_NO_KEYS: Final = Scope("clocks and no keys", _CREATE, (FORGETFUL,), Budget(restores=0))

#: What the old rule about keys fails on, and the new one must not.
KEYS: Final = Scope("keys", _CREATE, (ACQUIRER,), Budget(jumps=0, lost=0))

#: The same, where what is sent after the restore reaches its provider: then the rule about keys is enough alone.
KEYS_REACHED: Final = Scope("keys, reached", _CREATE, (ACQUIRER,), Budget(jumps=0, lost=0), reachable=True)

#: The stories of the old clocks, as they were seen: this host is off.
HOST_AHEAD: Final = Scope("host ahead", _CREATE, (LISTING,), Budget(restores=0), jumping=_HOSTS)
HOST_AHEAD_AND_NO_KEYS: Final = Scope(
    "host ahead and no keys", _CREATE, (FORGETFUL,), Budget(restores=0), jumping=_HOSTS
)

#: A provider that cannot be asked: only sending again tells.
NO_LOOKUP: Final = Scope("no look-up", _CREATE, (UNASKED,), Budget(jumps=0, restores=0))

SMALL: Final = (
    Exploration(EVERYTHING, depth=9, at_least=50_000),
    Exploration(CLOCKS, ALL, at_least=20_000),
    Exploration(CLOCKS_AND_NO_KEYS, ALL, at_least=20_000),
    Exploration(KEYS, ALL, at_least=20_000),
    Exploration(NO_LOOKUP, ALL, at_least=1_000),
)


def _refund(provider: ProviderRules, budget: Budget) -> Exploration:
    scope = Scope(f"refund at {provider.name}", ("refund",), (provider,), budget)
    return Exploration(scope, ALL, 40_000, provider)


def _capture_and_cancel(provider: ProviderRules, budget: Budget) -> Exploration:
    scope = Scope(f"capture and cancel at {provider.name}", ("capture", "cancel"), (provider,), budget, manual=True)
    return Exploration(scope, 20, 15_000, provider)


DEEP: Final = (
    Exploration(EVERYTHING, depth=15, at_least=400_000),
    Exploration(Scope("keys and a lost answer", _CREATE, _BOTH, Budget(jumps=0)), ALL, 100_000),
    Exploration(Scope("keys and no look-up", _CREATE, (UNASKED,), Budget(jumps=0)), ALL, 60_000),
    Exploration(Scope("a hold", _CREATE, (LISTING,), Budget(jumps=0), manual=True), ALL, 25_000),
    *(_refund(provider, Budget(jumps=0)) for provider in _BOTH),
    _refund(FORGETFUL, Budget(restores=0)),
    *(_capture_and_cancel(provider, Budget(jumps=0, restores=0)) for provider in _BOTH),
    _capture_and_cancel(FORGETFUL, Budget(jumps=0, restores=0)),
)
