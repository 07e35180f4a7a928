"""A token bucket per API key, in this process: several API processes allow that many times as much."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

#: Buckets kept before full ones are dropped: a full bucket and no bucket are the same.
_MAX_BUCKETS: Final = 10_000


class Rate(NamedTuple):
    """``per_s`` tokens a second, up to ``burst``."""

    per_s: float
    burst: int


class Standing(Struct, frozen=True):
    """Where a key stands after a request. ``reset_s``: until the bucket is full; ``retry_after_s``: until it has a
    token."""

    allowed: bool
    remaining: int
    reset_s: int
    retry_after_s: int


class RateLimiter:
    """``per_s`` tokens a second up to ``burst``; a rate of 0 is off."""

    def __init__(self, per_s: float, burst: int, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now = now
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # key -> tokens, and when they were counted (s)

    def take(self, key: tuple[str, str]) -> Standing | None:
        """Take a token for one request of (merchant, key); None where no limit is set."""
        if self._per_s == 0:
            return None
        now = self._now()
        tokens = self._tokens(key, now)
        allowed = tokens >= 1
        if allowed:
            tokens -= 1
        if key not in self._buckets and len(self._buckets) >= _MAX_BUCKETS:
            self._drop_full(now)
        self._buckets[key] = (tokens, now)
        return Standing(
            allowed=allowed,
            remaining=int(tokens),
            reset_s=math.ceil((self._burst - tokens) / self._per_s),
            retry_after_s=max(1, math.ceil((1 - tokens) / self._per_s)),
        )

    def headers(self, standing: Standing) -> list[tuple[bytes, bytes]]:
        """RateLimit-Policy and RateLimit of draft-ietf-httpapi-ratelimit-headers: the window is the time that an
        empty bucket takes to fill."""
        window_s = math.ceil(self._burst / self._per_s)
        return [
            (b"ratelimit-policy", b'"burst";q=%d;w=%d' % (self._burst, window_s)),
            (b"ratelimit", b'"burst";r=%d;t=%d' % (standing.remaining, standing.reset_s)),
        ]

    def _tokens(self, key: tuple[str, str], now: float) -> float:
        tokens, at = self._buckets.get(key, (float(self._burst), now))
        return min(float(self._burst), tokens + (now - at) * self._per_s)

    def _drop_full(self, now: float) -> None:
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if self._tokens(key, now) < self._burst}
