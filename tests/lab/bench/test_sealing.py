"""``bench sealing`` measures what it says: every change is sealed in each round, and what differs is no figure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace as with_values
from rich.console import Console

from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.machine import describe_machine
from tallystick.lab.bench.report import BenchReport, print_report
from tallystick.lab.bench.sealing import NotSealed, SealedElsewhere, measure_sealing, require_own_record
from tallystick.lab.bench.stage import Database, open_database
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.settings.load import Settings
from tests.support.database import NewDatabase

PAYMENTS = 20


@pytest.fixture
def filled(new_database: NewDatabase, tmp_path: Path) -> Iterator[Database]:
    """A database of its own: what is filled in here would get in the way of other tests."""
    with open_database(None, own=DatabaseUrls(*new_database())) as database:
        prepare(database.owner_url, database.app_url)
        asyncio.run(copy_chunk(database.owner_url, 0, PAYMENTS))
        yield with_values(database, data_dir=tmp_path)


def thread() -> ThreadPoolExecutor:
    """In this process, so that no other one has to start."""
    return ThreadPoolExecutor(1)


def test_every_change_is_sealed_in_each_round(filled: Database, capsys: pytest.CaptureFixture[str]) -> None:
    announced: list[tuple[str, int, int]] = []
    require_own_record(filled.owner_url)
    figures = measure_sealing(Settings(), filled, 2, lambda *each: announced.append(each), thread)
    assert (figures.payments, figures.changes, len(figures.rounds)) == (PAYMENTS, 2 * PAYMENTS, 2)
    assert min(figures.per_s, figures.log_bytes, figures.verified_per_s, figures.sealer_mb) > 0
    assert announced[-1] == ("round 2: verified", 2 * PAYMENTS, 2 * PAYMENTS)
    require_own_record(filled.owner_url)  # a benchmark's own, and sealed
    report = BenchReport(
        benchmark="sealing",
        machine=asyncio.run(describe_machine(filled.app_url)),
        targets=figures.judged(),
        figures=figures,
    )
    print_report(Console(width=130), report)
    assert f"{PAYMENTS} payments, {2 * PAYMENTS} changes" in capsys.readouterr().out
    with psycopg.connect(filled.owner_url) as connection:
        connection.execute("UPDATE transfer SET stream_id = 'nobody' WHERE true")
    with pytest.raises(NotSealed, match="differences"):
        measure_sealing(Settings(), filled, 1, lambda *_: None, thread)


def test_what_somebody_else_sealed_is_left_alone(new_database: NewDatabase) -> None:
    database = new_database()
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("INSERT INTO audit_record VALUES ('record', 'rec_1', 4, now())")
    with pytest.raises(SealedElsewhere):
        require_own_record(database.owner_url)
