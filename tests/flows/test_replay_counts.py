"""Repetitions are counted in memory, written together, kept while the database is away, and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tallystick.flows import replay_counts
from tallystick.flows.replay_counts import ReplayCounts
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.replays import Repeated, ReplayBook, ReplayName
from tests.support.database import Database
from tests.support.runtime import SETTINGS


class Book:
    """Remembers what it was given, or is away."""

    def __init__(self) -> None:
        self.given: list[Mapping[ReplayName, Repeated]] = []
        self.away = False

    async def add(self, counts: Mapping[ReplayName, Repeated]) -> None:
        if self.away:
            raise ConnectionError
        self.given.append(counts)


async def test_a_write_has_each_key_and_kind_once() -> None:
    book: Any = Book()
    counts = ReplayCounts(book, Clock())
    counts.count("shop", "k", "replayed")
    counts.count("shop", "k", "replayed")
    counts.count("shop", "k", "in_flight")
    await counts.write()
    await counts.write()
    (given,) = book.given
    assert {name: each.number for name, each in given.items()} == {
        ("shop", "k", "replayed"): 2,
        ("shop", "k", "in_flight"): 1,
    }
    assert all(each.first_at <= each.last_at for each in given.values())


async def test_what_cannot_be_written_is_written_later() -> None:
    book: Any = Book()
    counts = ReplayCounts(book, Clock())
    counts.count("shop", "k", "replayed")
    book.away = True
    await counts.write()
    counts.count("shop", "k", "replayed")
    book.away = False
    await counts.write()
    (given,) = book.given
    assert [each.number for each in given.values()] == [2]


async def test_a_flood_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_counts, "KEPT_AT_MOST", 2)
    book: Any = Book()
    counts = ReplayCounts(book, Clock())
    for number in range(5):
        counts.count("shop", f"k{number}", "replayed")
    counts.count("shop", "k0", "replayed")  # one that is kept is counted on
    await counts.write()
    (given,) = book.given
    assert sorted(each.number for each in given.values()) == [1, 2]


async def test_processes_add_to_one_count(database: Database) -> None:
    async with await open_pool(database.app_url, SETTINGS) as pool:
        for _ in range(2):
            counts = ReplayCounts(ReplayBook(pool), Clock())
            counts.count("replays", "k", "replayed")
            await counts.write()
        row = await pool.fetchrow("SELECT n, first_at, last_at FROM instruction_replay WHERE merchant_id = 'replays'")
    assert row is not None and row["n"] == 2 and row["first_at"] < row["last_at"]
