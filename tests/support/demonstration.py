"""One demonstration with faults for all tests that look at what such a one leaves behind: it takes half a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tests.support.clusters import Clusters
from tests.support.commands import run_process
from tests.support.database import DEEP

#: Enough for each story some times, and for what comes of chance.
PAYMENTS: Final = 10_000 if DEEP else 200

#: However busy the machine is, the demonstration ends by then.
WITHIN_S: Final = 3_600 if DEEP else 600


class Demonstration(NamedTuple):
    """What it leaves behind: its record, open, the acquirer's books, and what it said. A test puts back what it
    breaks."""

    postgres: EmbeddedPostgres
    books: Path
    said: str


def demonstration_holds(out: str) -> None:
    """What it says in the end: no duplicate, and all of its checks hold."""
    assert "0 duplicates in" in out
    assert "✗" not in out and out.count("✓") == 10


@pytest.fixture(scope="session")
def demonstration(clusters: Clusters) -> Iterator[Demonstration]:
    """Made once a session: ``tests/support/needs.py`` keeps the tests that use it on one worker."""
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as own:
        data_dir = Path(own) / "data"
        clusters.put_into(data_dir)
        ran = run_process(
            *("demo", "--once", "--payments", str(PAYMENTS), "--data-dir", str(data_dir)), timeout_s=WITHIN_S
        )
        with EmbeddedPostgres(data_dir) as postgres:
            yield Demonstration(postgres, data_dir / "acquirer.sqlite", ran.out + ran.err)
