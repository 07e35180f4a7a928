"""Where a sealer looks: everything is come to, however late it is visible, and nothing more often than that needs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from msgspec import Struct

from tallystick.oversight.audit.looks import NEAR, Look, Page, WindowLook
from tallystick.record.postgres.audit_rows import Thing

_BEGIN: Final = datetime(2026, 1, 2, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)

_AT_ONCE: Final = 20


class _Row(Struct):
    """Made at a time, and visible some time later."""

    at: datetime
    visible: datetime
    read: int = 0
    sealed: datetime | None = None


class _Record:
    """Rows in memory: what is looked for here is only which pages are asked for."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = sorted(rows, key=lambda row: row.at)

    def on(self, page: Page, now: datetime) -> list[_Row]:
        there = [row for row in self._rows if page.since <= row.at < page.until and row.visible <= now]
        for row in there:
            row.read += 1
        return [row for row in there if row.sealed is None][:_AT_ONCE]


def _things(rows: Sequence[_Row]) -> list[Thing]:
    return [Thing(kind="k", merchant_id="m", leaf_key="k", at=row.at, rows=[]) for row in rows]


def _sealed_by(look: Look, record: _Record, now: datetime) -> int:
    """How many pages one look has, which seals all it finds."""
    look.begin(now, _BEGIN - _SECOND)
    for number in range(1, 10_000):
        page = look.page()
        rows = record.on(page, now)
        for row in rows:
            row.sealed = now
        if look.looked(page, [_things(rows)], _AT_ONCE):
            return number
    raise AssertionError("it comes to no end")


@pytest.mark.parametrize("seed", range(5))
def test_looks_one_after_the_other_find_everything_that_is_visible_in_time(seed: int) -> None:
    chance = random.Random(seed)
    rows = [
        _Row(at=at, visible=at + chance.random() * NEAR)
        for at in (_BEGIN + chance.random() * 60 * _SECOND for _ in range(1_500))
    ]
    record, look, now = _Record(rows), Look("changes", ("k",)), _BEGIN
    while now < _BEGIN + 70 * _SECOND:
        now += chance.uniform(0.5, 4) * _SECOND
        _sealed_by(look, record, now)
        # What was visible when the look began is sealed: also where it found many times what a page takes.
        assert all(row.sealed for row in rows if row.visible <= now and row.at < now)
    assert all(row.sealed for row in rows)
    assert sum(row.read for row in rows) < 5 * len(rows)


def test_many_of_one_moment_are_sealed_by_pages() -> None:
    rows = [_Row(at=_BEGIN, visible=_BEGIN) for _ in range(5 * _AT_ONCE)]
    record, look = _Record(rows), Look("changes", ("k",))
    assert _sealed_by(look, record, _BEGIN + _SECOND) <= 15
    assert all(row.sealed for row in rows)


def test_a_clock_that_was_set_back_hides_nothing() -> None:
    """What was made before, by the clock that was ahead, and what is made now."""
    look = Look("changes", ("k",))
    _sealed_by(look, _Record([]), _BEGIN + 3_600 * _SECOND)
    rows = [_Row(at=_BEGIN + each * _SECOND, visible=_BEGIN) for each in (1, 3_599, 7_200)]
    _sealed_by(look, _Record(rows), _BEGIN + 2 * _SECOND)
    assert all(row.sealed for row in rows)


@pytest.mark.parametrize(("window_s", "cycle_s"), [(300, 150), (300, 30), (120, 38)])
def test_the_window_is_gone_through_before_anything_is_older_than_it(window_s: int, cycle_s: int) -> None:
    """A row that is visible as late as may be is found while it is in the window; and each is read a few times."""
    chance = random.Random(window_s + cycle_s)
    window, cycle = window_s * _SECOND, cycle_s * _SECOND
    rows = [
        _Row(at=at, visible=at + chance.uniform(0, window_s - cycle_s - 10) * _SECOND)
        for at in (_BEGIN + chance.random() * 1_000 * _SECOND for _ in range(400))
    ]
    record, look, now, elapsed = _Record(rows), WindowLook(("k",), window, cycle), _BEGIN, _SECOND
    while now < _BEGIN + 1_000 * _SECOND + window:
        elapsed = chance.uniform(0.2, 5) * _SECOND
        now += elapsed
        page = look.page(now, elapsed)
        if page is not None:
            found = record.on(page, now)
            for row in found:
                row.sealed = now
            look.looked(page, [_things(found)], _AT_ONCE)
    assert all(row.sealed is not None and row.sealed - row.at <= window for row in rows if row.visible - row.at > NEAR)
    # Twice the window by the cycle, and what a round that was full reads again.
    assert sum(row.read for row in rows) / len(rows) < 2 + 2 * window_s / cycle_s


def test_a_window_that_is_shorter_than_what_looks_go_back_has_no_parts() -> None:
    look = WindowLook(("k",), _SECOND, 30 * _SECOND)
    assert [look.page(_BEGIN + each * _SECOND, _SECOND) for each in range(5)] == [None] * 5


def test_a_page_is_as_long_as_the_database_can_look_at() -> None:
    """What is there is not known before: the first page is short, and what takes long or fails shortens the next."""
    look = Look("others", ("k",))
    look.begin(_BEGIN, _BEGIN - 30 * 86_400 * _SECOND)
    lengths = []
    for took_ms in (0, 0, 1_000, 10_000, 0):
        page = look.page()
        lengths.append((page.until - page.since).total_seconds())
        look.looked(page, [[]], _AT_ONCE, took_ms)
    look.shorten()
    page = look.page()
    assert lengths == [15, 60, 240, 240, 60]
    assert (page.until - page.since).total_seconds() == 60


def test_a_part_of_the_window_is_short_also_after_rounds_that_failed() -> None:
    look = WindowLook(("k",), 300 * _SECOND, 150 * _SECOND)
    page = look.page(_BEGIN, 3_600 * _SECOND)
    assert page is not None and page.until - page.since == 30 * _SECOND
