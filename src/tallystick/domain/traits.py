"""What a connector declares of its provider. Pure."""

from __future__ import annotations

from msgspec import Struct


class Traits(Struct, frozen=True, kw_only=True):
    """What a connector declares of its provider; recovery's rules are built on these.

    ``deduplicates``: the same key never has two effects, for ``key_lifetime_ms`` (None: for ever).
    ``lookup_is_consistent``: "no such charge" from ``fetch`` can be believed after ``settling_time_ms``.
    ``max_delivery_delay_ms``: the longest time that a request, once written to a socket, may be under way.
    """

    deduplicates: bool
    lookup_is_consistent: bool
    key_lifetime_ms: int | None
    settling_time_ms: int
    max_delivery_delay_ms: int
    request_timeout_ms: int
    can_fetch: bool = True  # False: there is no lookup; what webhooks say is the provider's newest word
    keeps_references: bool = False  # True: some events name a charge by the provider's reference alone
