"""Over a demonstration with faults the facts agree with the acquirer's books, and nothing is missing."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from tallystick.oversight.trace.first_line import first_line
from tallystick.oversight.trace.payment import PaymentTrace, rebuilt_trace
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.settings.load import Settings
from tests.support.demonstrated import MERCHANT, NOTHING, Demonstrated
from tests.support.demonstration import PAYMENTS, WITHIN_S

pytestmark = [pytest.mark.timeout(2 * WITHIN_S), pytest.mark.asyncio(loop_scope="session")]


async def traces(owner: asyncpg.Connection) -> list[PaymentTrace]:
    found = []
    for (payment_id,) in await owner.fetch("SELECT payment_id FROM payment ORDER BY payment_id"):
        rows = await trace_rows(owner, MERCHANT, payment_id)
        assert rows is not None
        found.append(rebuilt_trace(rows, Settings()))
    return found


async def test_facts_agree_with_the_acquirers_books_and_nothing_is_missing(
    demonstrated: Demonstrated, owner: asyncpg.Connection
) -> None:
    found = await traces(owner)
    assert len(found) >= PAYMENTS, demonstrated.said
    wrong = []
    for trace in found:
        facts, books = trace.facts, demonstrated.books.get(trace.payment_id, NOTHING)
        effects, failed = (
            {name: number for name, number in msgspec.to_builtins(each).items() if number}
            for each in (facts.effects, facts.failed_later)
        )
        assert sum(msgspec.to_builtins(facts.calls).values()) == facts.sent
        ours = (effects, failed, facts.amount, facts.refunded, facts.withdrawn, facts.held)
        if facts.in_doubt == 0 and ours != tuple(books):
            wrong.append((trace.payment_id, ours, books))
        assert trace.says == first_line(facts)
    assert wrong == []
    assert [(trace.payment_id, trace.missing) for trace in found if trace.missing] == []
    assert [trace.rebuilt.differs for trace in found if trace.rebuilt and trace.rebuilt.differs] == []


async def test_the_facts_have_seen_what_there_is(owner: asyncpg.Connection) -> None:
    found = await traces(owner)
    seen = {trace.money for trace in found}
    assert seen >= {"moved", "held", "none"}
    assert any(trace.facts.unanswered for trace in found)
    assert any(trace.facts.refunded for trace in found)
    assert any(trace.facts.withdrawn for trace in found)
    assert any(trace.facts.failed_later.authorize for trace in found)
    assert {each.state for trace in found for each in trace.facts.disputes} >= {"won", "lost"}
    assert any(trace.facts.late for trace in found)
    assert any(trace.facts.replays for trace in found)
    kinds = {entry.kind for trace in found for entry in trace.timeline}
    assert kinds >= {"request", "answer", "replay", "step", "rejection", "call", "arrival", "try", "transfer"}
    assert kinds >= {"message", "delivery", "send"}
