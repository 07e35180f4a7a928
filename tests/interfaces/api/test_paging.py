"""Cursors: they come back as they were written, and nothing else is taken for one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.interfaces.api import paging
from tallystick.interfaces.api.paging import PagedList, cut_page, read_cursor, write_cursor

LISTS = [each for each in vars(paging).values() if isinstance(each, PagedList)]

MOMENTS = st.datetimes(timezones=st.just(UTC))
ID_BITS = st.binary(min_size=16, max_size=16)


def test_every_list_has_a_number_of_its_own() -> None:
    assert len(LISTS) >= 3
    assert len({each.number for each in LISTS}) == len(LISTS)


@pytest.mark.exhaustive
@pytest.mark.parametrize("paged", LISTS, ids=lambda paged: str(paged.id_prefix))
@given(MOMENTS, ID_BITS)
def test_a_cursor_comes_back_for_its_own_list_alone(paged: PagedList, moment: datetime, bits: bytes) -> None:
    position = (moment, f"{paged.id_prefix}_{bits.hex()}")
    cursor = write_cursor(paged, position)
    assert read_cursor(paged, cursor) == position
    assert all(read_cursor(other, cursor) is None for other in LISTS if other is not paged)
    same_prefix = PagedList(99, paged.id_prefix)
    assert read_cursor(same_prefix, cursor) is None, "the number counts, not the prefix alone"


@given(st.text(max_size=60))
def test_what_we_did_not_write_is_refused(text: str) -> None:
    assert read_cursor(paging.PAYMENTS, text) is None


def test_cursors_of_before_and_of_later_are_refused() -> None:
    """Version 1 was another format in each list; the next version is not this one."""
    cursor = write_cursor(paging.PAYMENTS, (datetime(2026, 1, 1, tzinfo=UTC), f"pay_{'0' * 32}"))
    raw = base64.urlsafe_b64decode(cursor + "=")
    for other in (b"\x01" + raw[-16:], b"\x01" + raw[1:], b"\x03" + raw[1:], raw[:-1], raw + b"\x00"):
        assert read_cursor(paging.PAYMENTS, base64.urlsafe_b64encode(other).decode().rstrip("=")) is None


def test_one_position_has_one_cursor() -> None:
    cursor = write_cursor(paging.PAYMENTS, (datetime(2026, 1, 1, tzinfo=UTC), f"pay_{'0' * 32}"))
    assert read_cursor(paging.PAYMENTS, cursor + "=") is None
    spare_bits = cursor[:-1] + chr(ord(cursor[-1]) + 1)
    assert read_cursor(paging.PAYMENTS, spare_bits) is None


def test_a_page_is_cut_from_what_comes_after_it() -> None:
    rows = [(datetime(2026, 1, day, tzinfo=UTC), f"pay_{day:032x}") for day in (1, 2, 3)]
    more, last = (cut_page(paging.PAYMENTS, read, 2, lambda row: row) for read in (rows, rows[:2]))
    assert (more.rows, more.has_more, more.next_cursor) == (rows[:2], True, write_cursor(paging.PAYMENTS, rows[1]))
    assert (last.rows, last.has_more, last.next_cursor) == (rows[:2], False, None)
    assert cut_page(paging.PAYMENTS, [], 2, lambda row: row).next_cursor is None
