"""Payments are broken by hand in the ways of a table that was written first: each is named by trace or ``verify``."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tallystick.oversight.invariants import INVARIANTS, examine
from tallystick.oversight.trace.missing import named
from tallystick.oversight.trace.payment import rebuilt_trace
from tallystick.oversight.trace.recorded_words import PROVIDER_SAID_SO
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.settings.load import Settings
from tests.guarantees.trace.further_ways import FURTHER
from tests.guarantees.trace.ways import PAYMENTS_EACH, WAYS, Way
from tests.support.demonstrated import MERCHANT, Demonstrated
from tests.support.demonstration import WITHIN_S

pytestmark = pytest.mark.timeout(2 * WITHIN_S)


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.what)
async def test_what_is_broken_is_named(demonstrated: Demonstrated, owner: asyncpg.Connection, way: Way) -> None:
    chosen = await owner.fetch(
        f"SELECT p.payment_id FROM payment p WHERE p.merchant_id = $1 AND {way.of} ORDER BY p.payment_id LIMIT $2",
        MERCHANT,
        PAYMENTS_EACH,
    )
    assert chosen, demonstrated.said
    for (payment_id,) in chosen:
        await names(owner, way, payment_id)


async def names(owner: asyncpg.Connection, way: Way, payment_id: str) -> None:
    """One payment, broken and put back."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        done = await owner.execute(way.statement.format(merchant=MERCHANT, payment=payment_id))
        assert not done.endswith(" 0"), "the statement found nothing to break"
        rows = await trace_rows(owner, MERCHANT, payment_id)
        assert rows is not None, "a trace needs a row or a history"
        trace = rebuilt_trace(rows, Settings())
        report = await examine(owner, settings=Settings(), merchant_id=MERCHANT)
    finally:
        await transaction.rollback()
    assert trace.rebuilt is not None
    missing, differs = named(trace.missing), {each.invariant for each in trace.rebuilt.differs}
    told = f"missing {trace.missing}, differs {trace.rebuilt.differs}, verify {report.broken()}"
    assert way.missing is None or way.missing in missing, told
    assert way.differs is None or way.differs in differs, told
    assert way.verify is None or way.verify in report.broken(), told
    # The table says also what is not seen.
    assert bool(way.missing) == bool(missing), told
    assert bool(way.differs) == bool(differs), told
    assert bool(way.verify) == bool(report.broken()), told


def test_each_way_is_seen_by_one_of_them_at_least() -> None:
    assert [way.what for way in WAYS if not (way.missing or way.differs or way.verify)] == []
    assert len({way.what for way in WAYS}) == len(WAYS) >= 20


def test_the_table_names_what_there_is() -> None:
    invariants = {each.name for each in INVARIANTS}
    assert {way.verify for way in WAYS} <= invariants | {None}
    assert {way.differs for way in WAYS} <= invariants | {None, PROVIDER_SAID_SO}


def test_the_page_has_each_way_and_what_sees_it() -> None:
    page = (Path(__file__).parents[3] / "docs/operate/trace.md").read_text(encoding="utf-8")
    rows = [(way.what, way.missing, way.differs, way.verify) for way in WAYS]
    rows += [(name.replace("_", " "), way.missing, way.differs, way.verify) for name, way in FURTHER.items()]
    for row in rows:
        assert f"| {' | '.join(each or 'nothing' for each in row)} |" in page, row
