"""What an exploration is about: which instructions and providers, how much may go wrong, and whose rules decide."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from tallystick.domain.traits import Traits

#: How far a clock jumps: more than the two minutes that look-ups are bounded more widely than they need be.
JUMP_MS: Final = 300_000

#: As the default of ``clock_margin_ms``.
CLOCK_MARGIN_MS: Final = 2_000


class Rules(NamedTuple):
    """The rules that two faults were in. The new ones are the product's; an old one is a switch, here alone."""

    bounded_by_database: bool = True  # old: from the host's clock inside the attempt's id, on one side
    clocks_count: bool = True  # old: absence is believed whatever the clocks say
    restored_is_known: bool = True  # ``record_was_restored`` is set, as docs/operate/restore.md says
    reads_key_taken: bool = True  # old: "used with another request" is an unknown outcome like any other


NEW: Final = Rules()

#: A skewed clock makes "no such charge" look proved.
OLD_CLOCKS: Final = Rules(bounded_by_database=False, clocks_count=False)

#: After a restore, "this key was used before" ends as "no money moved".
OLD_KEYS: Final = Rules(reads_key_taken=False, restored_is_known=False)

#: What "this key was used before" proves alone, without an operator who says that the record was restored.
KEYS_ALONE: Final = Rules(restored_is_known=False)

_TRAITS: Final = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=30_000,
    max_delivery_delay_ms=30_000,
    request_timeout_ms=5_000,
)


class ProviderRules(NamedTuple):
    """How a provider answers. ``lists``: a look-up without a reference reads a list that is bounded by time, an answer
    to a capture or cancel shows the charge, and events are about charges. Otherwise everything goes by the attempt."""

    name: str
    lists: bool
    traits: Traits


ACQUIRER: Final = ProviderRules("acquirer", lists=False, traits=_TRAITS)
LISTING: Final = ProviderRules("listing", lists=True, traits=_TRAITS)
UNASKED: Final = ProviderRules(
    "unasked", lists=False, traits=replace(_TRAITS, can_fetch=False, lookup_is_consistent=False)
)
FORGETFUL: Final = ProviderRules("forgetful", lists=True, traits=replace(_TRAITS, deduplicates=False))


class Budget(NamedTuple):
    """How often each thing may still go wrong. A back-up can be taken once, at any moment."""

    restores: int = 1
    backups: int = 1
    jumps: int = 1
    lost: int = 1
    webhooks: int = 1


class Scope(NamedTuple):
    """What is explored. ``instructions``: what clients send, in any order; ``create`` makes the payment, and without it
    the payment exists. ``manual``: it is authorized first, and captured by an instruction."""

    name: str
    instructions: tuple[str, ...]
    providers: tuple[ProviderRules, ...]
    budget: Budget = Budget()
    manual: bool = False
    resubmit_limit: int = 1
    reachable: bool = False  # what is sent after a restore reaches its provider
    jumping: tuple[str, ...] = ("api", "worker", "database", "provider")  # the clocks that may jump
