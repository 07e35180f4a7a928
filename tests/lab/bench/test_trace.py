"""``bench trace`` finds each kind of name that it measures, and what it counts is within its target."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tallystick.lab.bench.stage import open_database
from tallystick.lab.bench.trace import measure_trace
from tallystick.settings.load import Settings
from tests.support.database import DEEP

NAMES = 3


@pytest.mark.skipif(not DEEP, reason="deep: a database is made, an acquirer, an API and a worker are started")
def test_each_kind_of_name_is_traced() -> None:
    with open_database(None) as database, TemporaryDirectory(prefix="tsg-") as logs:
        settings = Settings(simulator="on", api_processes=1)
        found = measure_trace(settings, database, Path(logs), NAMES, random.Random(1), lambda *_: None)
    assert found.payments == NAMES and all(each.names == NAMES for each in found.kinds.values())
    assert found.kinds.keys() == {
        "payment",
        "attempt",
        "idempotency key",
        "charge's reference",
        "refund",
        "refund's reference",
        "dispute",
        "dispute's reference",
        "event",
        "the provider's event",
        "message",
    }
    assert {each.round_trips for each in found.kinds.values()} == {2}
    assert found.over_http.max_ms > 0 and found.judged()[1].holds
