"""``bench reconciliation`` measures what it says: every row that goes in has evidence, and each exception is found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_values
from rich.console import Console

from tallystick.kit.card_mask import is_clear
from tallystick.lab.bench import reconciliation, settlement_rows
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.machine import describe_machine
from tallystick.lab.bench.reconciliation import Load, measure_reconciliation
from tallystick.lab.bench.reconciling import RowsDiffer
from tallystick.lab.bench.report import BenchReport, print_report
from tallystick.lab.bench.settlement_rows import letters_of
from tallystick.lab.bench.stage import Database, open_database
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.settings.load import Settings
from tests.support.database import NewDatabase

PAYMENTS = 150


@pytest.fixture
def filled(new_database: NewDatabase, tmp_path: Path) -> Iterator[Database]:
    """A database of its own: what is filled in here would get in the way of other tests."""
    with open_database(None, own=DatabaseUrls(*new_database())) as database:
        prepare(database.owner_url, database.app_url)
        yield with_values(database, data_dir=tmp_path)


def threads() -> ThreadPoolExecutor:
    """In this process, so that no other one has to start."""
    return ThreadPoolExecutor(2)


def test_rows_in_are_rows_of_evidence_out(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(copy_chunk(filled.owner_url, 0, PAYMENTS))
    settings = replace(Settings(), simulator="on")
    announced: list[tuple[str, int, int]] = []

    def announce(label: str, done: int, total: int) -> None:
        announced.append((label, done, total))

    figures = measure_reconciliation(
        settings, filled, tmp_path, Load(rows=60, exception_every=5, tells=True), announce, threads
    )
    assert 60 < figures.rows <= 60 + 9, "three files, with a payout in each currency"
    assert (figures.files, figures.exceptions, figures.payments) == (3, 12, PAYMENTS)
    assert figures.told == 60 - 9, "each row that is about a payment is told, also one that is off by one"
    assert is_clear(letters_of("261127124546"))
    assert announced[-1] == ("rows with evidence", figures.rows, figures.rows)
    report = BenchReport(
        benchmark="reconciliation",
        machine=asyncio.run(describe_machine(filled.app_url)),
        targets=figures.judged(),
        figures=figures,
    )
    print_report(Console(width=130), report)
    assert f"{figures.rows:,} rows in, {figures.rows:,} rows of evidence out" in capsys.readouterr().out

    of_bank = measure_reconciliation(settings, filled, tmp_path, Load(entries=40), announce, threads)
    assert (of_bank.files, of_bank.rows, of_bank.exceptions, of_bank.ceiling_per_s) == (1, 40, 40, 0)
    assert of_bank.judged()[0].name == "statement entries imported, compared"

    async def one_more(*given: Any) -> Any:
        files = await settlement_rows.write_files(*given)
        return with_values(files, rows=files.rows + 1)

    monkeypatch.setattr(reconciliation, "write_files", one_more)
    with pytest.raises(RowsDiffer, match="rows in"):
        measure_reconciliation(settings, filled, tmp_path, Load(rows=30, exception_every=10), announce, threads)
