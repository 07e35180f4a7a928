"""What a payment shows of its reconciliation, and what its trace and its provider's events do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tallystick.kit.ids import new_id
from tallystick.oversight.payment_reconciliation import states_of
from tallystick.oversight.trace.event import trace_event
from tallystick.oversight.trace.operators import for_operator
from tallystick.oversight.trace.payment import traced_payment
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase
from tests.support.inbox import accept, captured, drain, envelope, late_outcomes, waiting_payment
from tests.support.payment_reconciliation import DUE, shown
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import Acquirer, paid, refunded, settled


async def test_a_payment_goes_from_expected_to_matched(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        found = await shown(runtime, fresh_merchant, payment["id"])
        assert (found.state, found.batch, found.fee, found.net) == ("expected", None, None, None)
        assert (await shown(runtime, fresh_merchant, payment["id"], days=9)).state == "overdue"
        unset = await shown(runtime, fresh_merchant, payment["id"], days=9, due=None)
        assert (unset.state, unset.due) == ("expected", None), "without a calendar nothing is overdue"
        file = Acquirer()
        file.of(payment, "charge", 1_000, 30)
        await settled(runtime, file.text(), tmp_path)
        found = await shown(runtime, fresh_merchant, payment["id"], days=9)
        assert (found.state, found.due, found.batch, found.fee, found.net, found.currency) == (
            "matched",
            None,
            file.batch,
            30,
            970,
            "EUR",
        )
        await refunded(runtime, payment, 400)
        assert (await shown(runtime, fresh_merchant, payment["id"])).state == "expected", "of the refund"
        trace = await traced_payment(runtime.pool, fresh_merchant, payment["id"], runtime.settings)
        assert trace is not None
        [entry] = [each for each in for_operator(trace).timeline if each.kind == "evidence"]
        assert (entry.what, entry.amount, entry.reference) == ("matched", 1_000, payment["effect"])
        assert entry.detail is not None and file.batch in entry.detail and "line 2" in entry.detail


async def test_states_are_shown_apart(new_database: NewDatabase, tmp_path: Path) -> None:
    """Two captures of which one is settled, and a row that nobody knows. The other is late when its calendar says."""
    async with runtime_of(new_database().app_url, BookedProvider()) as runtime:
        settled_one, waiting = await paid(runtime, "m1"), await paid(runtime, "m1", 500)
        file = Acquirer()
        file.of(settled_one, "charge", 1_000, 30)
        file.row("riddle", 77)
        await settled(runtime, file.text(), tmp_path)

        async def states(days: int, due: str | None = DUE) -> dict[str, tuple[str, int, int]]:
            at = runtime.clock.now() + timedelta(days=days)
            found = await states_of(runtime.stores.evidence, Settings(settlement_due=due), "simulator", at)
            return {each.state: (each.account, each.count, each.amount) for each in found}

        rows = {"matched": ("main", 1, 970), "unexplained": ("main", 1, 77)}
        assert waiting["amount"] == 500
        assert await states(0) == {"expected": ("main", 1, 500), **rows}
        assert await states(9) == {"overdue": ("main", 1, 500), **rows}
        assert await states(9, due=None) == {"expected": ("main", 1, 500), **rows}


async def test_another_amount_is_a_mismatch(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        file = Acquirer()
        file.of(payment, "charge", 999, 30)
        await settled(runtime, file.text(), tmp_path)
        assert (await shown(runtime, fresh_merchant, payment["id"])).state == "mismatched"


async def test_a_providers_event_names_its_settlement_row(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        await drain(runtime)
        before = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
        assert before is not None and before.checkpoints[-1].result is None
        reference = await runtime.pool.fetchval(
            "SELECT provider_reference FROM attempt WHERE merchant_id = $1 AND payment_id = $2",
            fresh_merchant,
            stored.payment.payment_id,
        )
        file = Acquirer()
        file.row("charge", stored.payment.amount, 30, charge=reference, effect=reference)
        await settled(runtime, file.text(), tmp_path)
        after = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
    assert after is not None
    last = after.checkpoints[-1]
    assert (last.name, last.result) == ("reconcile", "matched")
    assert last.at is not None and last.detail is not None and file.batch in last.detail
