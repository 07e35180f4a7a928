"""Of a payment of every kind: nothing is missing, the rebuild agrees, and a merchant sees its part and no more."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.verdicts import Approved, Declined, NotFound, Unknown, Verdict
from tallystick.oversight.trace.entries import Entry
from tallystick.oversight.trace.merchant import ENTRIES, WAITS, MerchantEntry, MerchantTrace, for_merchant
from tallystick.oversight.trace.payment import PaymentTrace, rebuilt_trace
from tallystick.oversight.trace.rebuild import PROVIDER_AGREES
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.record.postgres.trace_rows import trace_rows
from tests.support.sample import NOT_PAYMENTS, SETTINGS, Sample

PAYMENTS = tuple(name for name in Sample.__struct_fields__ if name not in NOT_PAYMENTS)

#: payment -> where its money is, and who acts next.
STANDS = {
    "captured": ("moved", None),
    "refunded": ("moved", None),
    "refund_pending": ("moved", "provider"),
    "partly_captured": ("moved", None),
    "authorized": ("held", "merchant"),
    "capture_refused": ("held", "merchant"),
    "canceled": ("none", None),
    "declined": ("none", None),
    "unknown": ("in_doubt", "platform"),
    "requires_action": ("none", "payer"),
    "late": ("moved", "operator"),
    "parked": ("in_doubt", "operator"),
    "disputed": ("moved", "merchant"),
    "dispute_contested": ("moved", "operator"),
    "capture_reversed": ("none", None),
}


async def rows_of(connection: asyncpg.Connection, sample: Sample, name: str) -> TraceRows:
    rows = await trace_rows(connection, sample.merchant, getattr(sample, name))
    assert rows is not None
    return rows


async def traced(connection: asyncpg.Connection, sample: Sample, name: str) -> PaymentTrace:
    return rebuilt_trace(await rows_of(connection, sample, name), SETTINGS)


async def test_nothing_is_missing_and_the_history_gives_what_is_stored(
    connection: asyncpg.Connection, sample: Sample
) -> None:
    for name in PAYMENTS:
        trace = await traced(connection, sample, name)
        assert trace.missing == [], name
        assert trace.rebuilt is not None and trace.rebuilt.differs == [], name
        assert all(each.agrees for each in trace.rebuilt.subjects), name


async def test_it_says_where_the_money_is_and_who_acts_next(connection: asyncpg.Connection, sample: Sample) -> None:
    messages = "platform"  # the sample has no worker: its messages wait to be dispatched
    for name, (money, actor) in STANDS.items():
        trace = await traced(connection, sample, name)
        assert trace.money == money, name
        waits = [each.actor for each in trace.waiting if each.kind not in ("message", "message_given_up")]
        assert waits[:1] == ([actor] if actor else []), name
        assert trace.next is not None and trace.next.actor in (actor, messages), name


async def test_every_row_is_in_the_timeline_once(connection: asyncpg.Connection, sample: Sample) -> None:
    for name in PAYMENTS:
        rows = await rows_of(connection, sample, name)
        trace = rebuilt_trace(rows, SETTINGS)

        def count(*kinds: str, of: PaymentTrace = trace) -> int:
            return sum(entry.kind in kinds for entry in of.timeline)

        assert count("step", "call") == len(rows.steps), name
        assert count("transfer") == len(rows.transfers) and count("rejection") == len(rows.rejections), name
        assert count("request") == len(rows.instructions) and count("answer") == len(rows.answered), name
        assert count("message") == len(rows.messages), name
        assert count("try", "act") == sum(map(len, rows.tries.values())), name
        times = [entry.at for entry in trace.timeline if entry.at is not None]
        assert times == sorted(times), name


async def test_a_merchant_sees_what_is_listed_and_nothing_else(connection: asyncpg.Connection, sample: Sample) -> None:
    """Words that only an operator's trace has are in no merchant's: actors by name, providers' words, attempts."""
    for name in PAYMENTS:
        trace = await traced(connection, sample, name)
        shown = msgspec.json.encode(for_merchant(trace)).decode()
        assert not any(word in shown for word in ('provider:simulator","acc', "key:", "evt_", "recovery:")), name
        for entry in trace.timeline:
            if entry.kind == "call":
                assert entry.reference is None or f'"{entry.reference}"' not in shown, name
        kinds = {each.kind for each in for_merchant(trace).timeline}
        assert kinds <= ENTRIES and not kinds & {"call", "arrival", "try", "act"}
        assert {each.kind for each in for_merchant(trace).waiting} <= WAITS


def test_each_field_of_the_merchants_trace_is_one_of_the_operators() -> None:
    assert set(MerchantEntry.__struct_fields__) <= set(Entry.__struct_fields__)
    assert set(MerchantTrace.__struct_fields__) - {"id", "object"} <= set(PaymentTrace.__struct_fields__)
    hidden = {"cause", "account", "reference", "verdict", "event_id", "detail", "alert", "key_kind", "provider"}
    assert not hidden & set(MerchantEntry.__struct_fields__)


async def test_not_found_and_another_merchants_are_one(connection: asyncpg.Connection, sample: Sample) -> None:
    assert await trace_rows(connection, "another", sample.captured) is None
    assert await trace_rows(connection, sample.merchant, "pay_" + "0" * 32) is None


@pytest.mark.parametrize("machine", MACHINES)
def test_every_edge_declares_its_checkpoints(machine: str) -> None:
    for state, event, edge in MACHINES[machine].live_edges():
        assert edge.checkpoints[0] == "history", (state, event)
        assert ("posting" in edge.checkpoints) == (edge.posts is not None), (state, event)
        assert ("message" in edge.checkpoints) == (edge.told is not None), (state, event)
        assert len(set(edge.checkpoints)) == len(edge.checkpoints), (state, event)
        # Money moves by a provider's word, a merchant's own request, or an operator's act. What was settled is posted
        # by the evidence of a provider's file, which no payment has beside its steps.
        by_file = machine in ("settled_batch", "settlement", "bank_statement")
        if edge.posts is not None and not by_file and event not in ("create", "failed", "late_money_accepted"):
            assert "provider's word" in edge.checkpoints, (state, event)


WORDS: tuple[tuple[str, Verdict, bool], ...] = (
    ("captured", Approved(amount=1_000, currency="EUR", effect="captured"), True),
    ("captured", Approved(amount=999, currency="EUR", effect="captured"), False),
    ("captured", Declined(code="card_declined", message="No."), False),
    ("captured", NotFound(), False),
    ("captured", Unknown(reason="the provider does not answer"), True),
    ("declined", Approved(amount=1_000, currency="EUR", effect="captured"), False),
    ("unknown", Approved(amount=1_000, currency="EUR", effect="captured"), False),
)


@pytest.mark.parametrize(("name", "verdict", "agrees"), WORDS, ids=str)
async def test_what_the_provider_says_now_is_compared(
    connection: asyncpg.Connection, sample: Sample, name: str, verdict: Verdict, agrees: bool
) -> None:
    """A provider that cannot say contradicts nothing."""
    rows = await rows_of(connection, sample, name)
    trace = rebuilt_trace(rows, SETTINGS, [(rows.record.attempts[0].attempt, verdict)])
    assert trace.rebuilt is not None and trace.rebuilt.provider_asked
    assert {each.invariant for each in trace.rebuilt.differs} == (set() if agrees else {PROVIDER_AGREES})
