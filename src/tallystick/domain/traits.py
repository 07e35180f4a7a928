"""Traits: what a connector declares about its provider. Pure."""

from __future__ import annotations

from msgspec import Struct


class Traits(Struct, frozen=True, kw_only=True):
    """What a connector declares about its provider; recovery's rules depend on it.

    ``deduplicates``: the same key never has two effects, for ``key_lifetime_ms`` (None: for ever).
    ``lookup_is_consistent``: "no such charge" from ``fetch`` can be believed after ``settling_time_ms``.
    ``max_delivery_delay_ms``: the longest time between writing a request to a socket and its arrival.
    """

    deduplicates: bool
    lookup_is_consistent: bool
    key_lifetime_ms: int | None
    settling_time_ms: int
    max_delivery_delay_ms: int
    request_timeout_ms: int
    can_fetch: bool = True  # False: no lookup exists; webhooks are the provider's newest statement
    keeps_references: bool = False  # True: some events identify a charge only by the provider's reference
