"""The soak compares private memory after the first payments with that after very many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tallystick.lab.bench.memory import private_bytes
from tallystick.lab.bench.soak import Sample, SoakPlan, measure_soak, soak_figures
from tallystick.lab.bench.stage import open_database
from tallystick.settings.load import Settings
from tests.support.database import DEEP

PLAN = SoakPlan(warm_up_requests=30, requests=300, connections=4)


def _sample(requests: int, **sizes: int) -> Sample:
    return Sample(requests=requests, elapsed_s=requests, bytes=sizes)


def test_memory_that_a_process_holds_alone_is_counted() -> None:
    before = private_bytes(os.getpid())
    held = bytearray(b"x" * 64_000_000)
    assert 60_000_000 < private_bytes(os.getpid()) - before < 90_000_000, len(held)


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert private_bytes(2**22 + 1) == 0, "above the highest number of a process"


def test_growth_counts_from_the_end_of_the_warm_up() -> None:
    samples = [_sample(20, api=1, worker=1), _sample(35, api=100, worker=50), _sample(310, api=110, worker=45)]
    found = soak_figures(PLAN, 1, samples, {})
    assert found.growth == {"api": 0.1, "worker": -0.1} and found.holds()


def test_a_leak_and_a_failed_request_are_missed_targets() -> None:
    leaking = soak_figures(PLAN, 1, [_sample(30, api=100), _sample(300, api=111)], {})
    assert not leaking.holds()
    assert not soak_figures(PLAN, 1, [_sample(30, api=100), _sample(300, api=100)], {"500": 1}).holds()


@pytest.mark.skipif(not DEEP, reason="deep: a database, an API and a worker are started")
def test_a_short_soak(tmp_path: Path) -> None:
    with open_database(None) as database:
        found = measure_soak(Settings(simulator="on"), database, tmp_path, PLAN, lambda *_: None)
    assert set(found.growth) == {"api", "postgres", "worker"} and not found.failures
    assert found.warm.requests >= 30 and found.samples[-1].requests >= 300
    assert all(size > 1_000_000 for size in found.warm.bytes.values())
