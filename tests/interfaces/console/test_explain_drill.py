"""Each of ten incidents is found from the first page in at most three clicks, by its numbers alone, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from playwright.async_api import Browser

from tests.support.browser import launched
from tests.support.database import DEEP, NewDatabase
from tests.support.explain_drill import walks
from tests.support.explain_incidents import CLICKS_AT_MOST, INCIDENTS

#: Fewer than the command has: what goes well beside an incident is the same page with smaller numbers.
PAYMENTS = 500 if DEEP else 150

Launch = Callable[[], AbstractAsyncContextManager[Browser]]


@pytest.fixture
def browser() -> Launch:
    """Starts one. A fixture, so that the test is known to need it."""
    return launched


@pytest.mark.timeout(900)
async def test_incidents_are_found_from_the_first_page(new_database: NewDatabase, browser: Launch) -> None:
    async with browser() as started:
        found = [one async for one in walks(new_database(), started, PAYMENTS)]
    assert {one.incident.name: one.lacks for one in found} == {each.name: None for each in INCIDENTS}
    assert max(one.clicks for one in found) <= CLICKS_AT_MOST


def test_no_way_to_an_incident_is_longer() -> None:
    assert len(INCIDENTS) == 10
    assert all(1 <= len(each.clicks) <= CLICKS_AT_MOST for each in INCIDENTS)
