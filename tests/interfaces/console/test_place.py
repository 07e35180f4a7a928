"""Every list begins where a link of it says, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest

from tallystick.interfaces.console.page import Refused
from tallystick.interfaces.console.place import id_in, page_at, place_in, place_text
from tallystick.kit.ids import new_id

MOMENT = datetime(2026, 11, 27, 9, 30, 2, 123_456, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("row_id", ["apr_1", "sim/main/late signature", "a~b", "ü&x=1"])
def test_a_link_leads_to_its_place(row_id: str) -> None:
    link = page_at("/console/list", "after", place_text(MOMENT, row_id), {"state": "open"})
    query = dict(parse_qsl(urlsplit(link).query))
    assert query["state"] == "open"
    assert place_in(query["after"]) == (MOMENT, row_id)


@pytest.mark.parametrize(
    "text",
    [
        "yesterday~apr_1",
        "2026-11-27T09:30:02~apr_1",  # of no zone
        "2026-11-27T09:30:02+00:00",  # of no row
        "2026-11-27T09:30:02+00:00~",
        "2026-11-27T09:30:02+00:00~a\0b",
        "0001-01-01T00:00:00+14:00~apr_1",  # before the first year, as UTC
        "9999-12-31T23:59:59-14:00~apr_1",
        "~apr_1",
    ],
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="does not lead to a page") as refused:
        place_in(text)
    assert refused.value.status == 400


def test_an_id_is_of_the_lists_kind() -> None:
    known = new_id("apr")
    assert id_in(known, "apr") == known
    for text in (new_id("opa"), "apr_1", f"{known}0", "'"):
        with pytest.raises(Refused):
            id_in(text, "apr")


def test_a_list_without_a_place_begins_with_its_first_row() -> None:
    assert place_in(None) is None and place_in("") is None
    assert id_in(None, "apr") is None and id_in("", "apr") is None


def test_places_are_in_utc_or_say_their_zone() -> None:
    assert place_in(place_text(MOMENT.astimezone(UTC), "x")) == (MOMENT, "x")
