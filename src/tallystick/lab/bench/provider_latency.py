"""How long a provider of the benchmarks takes to answer: one distribution for the in-process provider and the stand."""

from __future__ import annotations

import random
from math import exp, log
from statistics import NormalDist
from typing import Final

from msgspec import Struct

from tallystick.domain.errors import TallystickError

#: How many standard deviations the 99th percentile of a normal distribution is above its median.
_P99_DEVIATIONS: Final = NormalDist().inv_cdf(0.99)

#: How a benchmark's server is given it: its workers are new processes that have nothing but their environment.
VARIABLE: Final = "BENCH_PROVIDER_LATENCY"

_LOG_NORMAL: Final = "lognormal:"


class MalformedLatency(TallystickError):
    """The text is neither a number of milliseconds nor ``lognormal:MEDIAN_MS,P99_MS``."""


class ProviderLatency(Struct, frozen=True, kw_only=True):
    """Log-normal by median and 99th percentile; always the same where they are equal; at once where the median is 0."""

    median_ms: float
    p99_ms: float

    def draw_s(self, rng: random.Random) -> float:
        """One answer's time in seconds."""
        if self.median_ms == 0 or self.p99_ms == self.median_ms:
            return self.median_ms / 1_000
        return rng.lognormvariate(log(self.median_ms / 1_000), self._sigma())

    def mean_s(self) -> float:
        """The mean in seconds: so many requests are under way for each one a second."""
        return self.median_ms / 1_000 * exp(self._sigma() ** 2 / 2)

    def text(self) -> str:
        """As ``parse_latency`` reads it."""
        if self.p99_ms == self.median_ms:
            return f"{self.median_ms:g}"
        return f"{_LOG_NORMAL}{self.median_ms:g},{self.p99_ms:g}"

    def _sigma(self) -> float:
        return log(self.p99_ms / self.median_ms) / _P99_DEVIATIONS if self.median_ms else 0.0


#: Every answer is immediate: what the machine carries without a provider that makes it wait.
AT_ONCE: Final = ProviderLatency(median_ms=0, p99_ms=0)

#: A fast provider in the same region. Slower ones only make more flows wait, they cost no more work.
DEFAULT: Final = ProviderLatency(median_ms=20, p99_ms=20)


def parse_latency(text: str) -> ProviderLatency:
    """From ``20`` or ``lognormal:400,3000``, in milliseconds. Raises MalformedLatency."""
    log_normal = text.startswith(_LOG_NORMAL)
    parts = text.removeprefix(_LOG_NORMAL).split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != (2 if log_normal else 1):
        raise MalformedLatency(f"{text!r} is neither a number of milliseconds nor {_LOG_NORMAL}MEDIAN_MS,P99_MS")
    median_ms, p99_ms = values[0], values[-1]
    if not 0 <= median_ms <= p99_ms < float("inf") or (log_normal and median_ms == 0):
        raise MalformedLatency(f"{text!r}: a median above 0 ms, and a 99th percentile that is not below it")
    return ProviderLatency(median_ms=median_ms, p99_ms=p99_ms)
