"""Latencies as quantiles. A mean hides the payments that waited."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from msgspec import Struct


class Latency(Struct, frozen=True, kw_only=True):
    """Quantiles in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def latency(seconds: Sequence[float]) -> Latency:
    """Quantiles by nearest rank, so that each is a latency that was measured. Raises ValueError for none at all."""
    if not seconds:
        raise ValueError("no latencies were measured")
    ordered = sorted(seconds)
    return Latency(
        p50_ms=_rank(ordered, 0.50),
        p95_ms=_rank(ordered, 0.95),
        p99_ms=_rank(ordered, 0.99),
        max_ms=_ms(ordered[-1]),
    )


def median_latency(rounds: Sequence[Latency]) -> Latency:
    """Each quantile's median over rounds."""
    return Latency(
        p50_ms=median([each.p50_ms for each in rounds]),
        p95_ms=median([each.p95_ms for each in rounds]),
        p99_ms=median([each.p99_ms for each in rounds]),
        max_ms=median([each.max_ms for each in rounds]),
    )


def median(values: Sequence[float]) -> float:
    """The middle of several rounds: one disturbed round does not move it."""
    return float(statistics.median(values))


def _rank(ordered: Sequence[float], quantile: float) -> float:
    return _ms(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))])


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
