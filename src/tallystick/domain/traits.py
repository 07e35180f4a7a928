"""Traits: what a connector declares about its provider. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: What not every provider can report of a payment that is final: a capture whose money never came, one more capture of
#: the same hold, and that a charge was canceled or refunded without saying which of both.
LateReport = Literal["capture_failed", "further_capture", "canceled_or_refunded"]


class Traits(Struct, frozen=True, kw_only=True):
    """What a connector declares about its provider; recovery's rules depend on it.

    ``deduplicates``: the same key never has two effects, for ``key_lifetime_ms`` (None: for ever).
    ``lookup_is_consistent``: "no such charge" from ``fetch`` can be believed after ``settling_time_ms``.
    ``max_delivery_delay_ms``: the longest time between writing a request to a socket and its arrival.
    ``late_reports``: which of these its events and look-ups can make.
    """

    deduplicates: bool
    lookup_is_consistent: bool
    key_lifetime_ms: int | None
    settling_time_ms: int
    max_delivery_delay_ms: int
    request_timeout_ms: int
    can_fetch: bool = True  # False: no lookup exists; webhooks are the provider's newest statement
    late_reports: frozenset[LateReport] = frozenset()
    keeps_references: bool = False  # True: some events identify a charge only by the provider's reference
