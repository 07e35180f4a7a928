"""SIGKILL ends a worker that erases a merchant's data, at any of its statements and commits. What is called erased is
erased whole, and whoever goes on finishes it. By default at one point; at all of them at full depth."""

from __future__ import annotations

from itertools import count
from typing import Final

import pytest

from tallystick.flows.compliance.erasure import Erasures
from tallystick.flows.compliance.erasures_asked import asked_erasures
from tests.support.database import DEEP, NewDatabase
from tests.support.erased_records import (
    DESCRIPTION,
    WORDS,
    Filled,
    a_record,
    arrived,
    assert_holds,
    body,
    erase,
    post,
    send,
    tables_with,
)
from tests.support.inbox import envelope
from tests.support.killed_reconciliation import KilledProcesses, killed_processes

#: Payments in a page here: three pages of five payments.
PAGE: Final = 2

#: Where it is killed by default, before that statement: within the second page, whose payments are not committed yet.
POINT: Final = 16

#: Payments that are neither erased whole nor there whole, and whether the erasure says what is so, in one snapshot.
_STATE: Final = """
SELECT (SELECT count(*) FROM payment p WHERE p.merchant_id = e.merchant_id AND NOT (
            (p.erased_by IS NULL AND p.personal_key IS NOT NULL AND p.description = $2)
            OR (p.erased_by IS NOT NULL AND p.personal_key IS NULL AND p.description = '[erased]'
                AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.payment_id = p.payment_id AND i.raw_key IS NOT NULL))
       )) AS half,
       (SELECT count(*) FROM payment p WHERE p.merchant_id = e.merchant_id AND p.erased_by IS NULL) AS whole,
       (SELECT count(*) FROM payment p WHERE p.merchant_id = e.merchant_id AND p.erased_by = e.request_id) AS erased,
       e.payments, e.finished_at IS NOT NULL AS finished
FROM erasure e WHERE e.request_id = $1
"""


async def _asked_for(filled: Filled, name: str) -> str:
    """Payments with a webhook each, all of which are to be erased. The id of the request."""
    for number in range(5):
        made = (await post(filled.api, "/v1/payments", f"{name}-{number}", body())).json()
        found = await filled.runtime.reads.payment(filled.merchant, made["id"])
        assert found is not None
        await send(filled, arrived(envelope(f"{name}-{number}", payment=found[0])))
    await erase(filled, "merchant.erase", filled.merchant)
    [newest] = await asked_erasures(filled.runtime, limit=1)
    return newest.request.request_id


async def _killed_at(filled: Filled, processes: KilledProcesses, at: int, after: bool) -> bool:
    """Whether it came so far. Whatever it left is whole, and the next worker ends it."""
    request_id = await _asked_for(filled, f"{at}-{after}")
    was_killed = await processes.killed(
        "erase",
        at,
        after=after,
        url=filled.database.app_url,
        settings=filled.runtime.settings,
        given={"page": str(PAGE)},
    )
    left = await filled.runtime.pool.fetchrow(_STATE, request_id, DESCRIPTION)
    assert left is not None and left["half"] == 0, left
    assert left["payments"] == left["erased"] and (left["whole"] == 0 or not left["finished"]), left
    [asked] = await asked_erasures(filled.runtime, limit=1)
    assert asked.state(filled.runtime.clock.now()) == ("erased" if left["finished"] else "erasing")
    await assert_holds(filled)
    while await Erasures(filled.runtime).round():
        pass
    ended = await filled.runtime.pool.fetchrow(_STATE, request_id, DESCRIPTION)
    assert ended is not None and (ended["half"], ended["whole"], ended["finished"]) == (0, 0, True), ended
    assert await tables_with(filled, WORDS[0]) == set()
    assert not await filled.runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE raw_key IS NOT NULL")
    await assert_holds(filled)
    return was_killed


async def test_nothing_half_erased_is_called_erased_wherever_a_worker_is_killed(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.flows.compliance.erasure.PAGE_PAYMENTS", PAGE)
    with killed_processes() as processes:

        async def at_point(at: int, after: bool) -> bool:
            async with a_record(new_database, fresh_merchant) as filled:
                return await _killed_at(filled, processes, at, after)

        assert await at_point(POINT, False), "it has fewer points than are tried"
        for after in (False, True) if DEEP else ():
            numbers = count(1)
            while await at_point(next(numbers), after):
                pass
