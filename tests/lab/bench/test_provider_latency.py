"""How long the benchmarks' providers take: one distribution, read from the command line."""

from __future__ import annotations

import random
import statistics

import pytest

from tallystick.lab.bench.generator import LoadResult
from tallystick.lab.bench.latency import latency
from tallystick.lab.bench.over_http import rate_connections, saturating_connections
from tallystick.lab.bench.provider_latency import (
    AT_ONCE,
    DEFAULT,
    MalformedLatency,
    ProviderLatency,
    parse_latency,
)

SLOW = ProviderLatency(median_ms=400, p99_ms=3_000)


@pytest.mark.parametrize(("text", "expected"), [("20", DEFAULT), ("0", AT_ONCE), ("lognormal:400,3000", SLOW)])
def test_what_is_read_is_what_was_written(text: str, expected: ProviderLatency) -> None:
    assert parse_latency(text) == expected
    assert parse_latency(expected.text()) == expected


@pytest.mark.parametrize(
    "text", ["", "fast", "1,2", "lognormal:", "lognormal:400", "lognormal:3000,400", "lognormal:0,9", "-1", "nan"]
)
def test_a_malformed_latency_is_refused(text: str) -> None:
    with pytest.raises(MalformedLatency):
        parse_latency(text)


def test_half_of_the_answers_are_within_the_median_and_99_of_100_within_the_p99() -> None:
    rng = random.Random(1)
    drawn = [SLOW.draw_s(rng) * 1_000 for _ in range(20_000)]
    assert statistics.median(drawn) == pytest.approx(400, rel=0.03)
    assert statistics.quantiles(drawn, n=100)[98] == pytest.approx(3_000, rel=0.1)
    assert statistics.mean(drawn) / 1_000 == pytest.approx(SLOW.mean_s(), rel=0.03)


def test_a_plain_number_is_always_the_same() -> None:
    rng = random.Random(1)
    assert {DEFAULT.draw_s(rng) for _ in range(10)} == {0.02} and {AT_ONCE.draw_s(rng)} == {0}


def test_there_are_connections_for_all_that_a_slow_provider_makes_wait() -> None:
    assert rate_connections(1_000) == rate_connections(100) + 184 == 440
    assert rate_connections(1_000, SLOW) > 2 * 1_000 * SLOW.mean_s()
    assert saturating_connections(DEFAULT) == [128, 400]
    assert min(saturating_connections(SLOW)) > 2_000


def test_a_rate_that_falls_behind_is_not_carried() -> None:
    def found(growth: int, failures: dict[str, int], seconds: float = 10) -> LoadResult:
        return LoadResult(
            answered=1,
            completed=1,
            elapsed_s=seconds,
            per_s=1,
            latency=latency([1]),
            failures=failures,
            backlog_growth=growth,
        )

    assert found(499, {}).carried(1_000) and not found(500, {}).carried(1_000)
    assert found(24, {}, seconds=1).carried(100), "a stall is no trend"
    assert found(0, {"500": 3}).carried(1_000), "a failure, which a slower rate would not mend"
    assert not found(0, {"503": 1}).carried(1_000)
