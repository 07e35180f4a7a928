"""What operators did about a payment and what of it waits for them is in the operator's trace, and in no merchant's."""

from __future__ import annotations

import msgspec

from tallystick.access.key_store import create_key
from tallystick.domain.operator_act import AskedAct
from tallystick.flows.operations.acts import annotate
from tallystick.flows.rejections import cases
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.merchant import for_merchant
from tallystick.oversight.trace.payment import PaymentTrace, traced_payment
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.trace_find import find_payments
from tests.support.acts import INES, KIM, asked, colleague_in
from tests.support.database import Database
from tests.support.inbox import waiting_payment
from tests.support.rejected_cases import only_case, refused

ACCOUNTS = [("simulator", "main")]


async def trace_of(runtime: Runtime, merchant_id: str, payment_id: str) -> PaymentTrace:
    found = await traced_payment(runtime.pool, merchant_id, payment_id, runtime.settings)
    assert found is not None
    return found


async def noted(runtime: Runtime, target: str, reason: str) -> AskedAct:
    note = asked("annotate", target, reason=reason)
    await annotate(runtime, note)
    return note


async def test_an_open_case_waits_for_an_operator(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, _, event_id):
        case = await only_case(runtime, fresh_merchant)
        found = await trace_of(runtime, fresh_merchant, stored.payment.payment_id)
        [entry] = [each for each in found.timeline if each.kind == "case"]
        assert (entry.case_id, entry.state, entry.owner, entry.what) == (case.case_id, "open", None, "malformed")
        assert (entry.at, entry.event_id, entry.detail) == (case.created_at, event_id, case.reason)
        assert entry.age_ms is not None and entry.age_ms >= 0
        [waits] = [each for each in found.waiting if each.kind == "case"]
        assert (waits.subject_id, waits.actor) == (case.case_id, "operator")
        assert "nobody has it" in waits.what and "call approved, which cannot be ours" in waits.what
        assert found.next is not None and found.next.actor == "operator"
        assert found.missing == []


async def test_who_has_it_is_said_and_an_end_ends_the_waiting(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, _, __):
        payment_id, case_id = stored.payment.payment_id, (await only_case(runtime, fresh_merchant)).case_id
        treasury = await colleague_in(runtime.pool, fresh_merchant)
        await cases.escalate(runtime, asked("case.escalate", case_id, owner=treasury), treasury)
        taken = await trace_of(runtime, fresh_merchant, payment_id)
        [waits] = [each for each in taken.waiting if each.kind == "case"]
        assert f"operator:{treasury} has it" in waits.what
        await cases.ignore(runtime, asked("case.ignore", case_id, operator=INES, reason="the bank was wrong"))
        ended = await trace_of(runtime, fresh_merchant, payment_id)
        assert all(each.kind != "case" for each in ended.waiting)
        [entry] = [each for each in ended.timeline if each.kind == "case"]
        assert (entry.state, entry.owner) == ("resolved", f"operator:{treasury}")
        did = [each for each in ended.timeline if each.kind == "act"]
        assert [(each.what, each.actor, each.reason) for each in did] == [
            ("case.escalate", KIM, "ticket 7"),
            ("case.ignore", INES, "the bank was wrong"),
        ]
        assert all(each.subject_id == case_id and each.result is not None and each.at is not None for each in did)
        assert did[1].result is not None and did[1].result["case"]["resolution"] == "ignored"


async def test_notes_on_all_that_belongs_to_it_are_shown_and_no_others(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, _, event_id):
        case = await only_case(runtime, fresh_merchant)
        other = await waiting_payment(runtime, fresh_merchant)
        payment_id, attempt_id = stored.payment.payment_id, stored.attempts[0].attempt_id
        targets = [payment_id, attempt_id, event_id, case.case_id, case.rejection_id]
        notes = [(await noted(runtime, target, f"note {target}")).act_id for target in targets]
        await noted(runtime, other.payment.payment_id, "of another payment")
        await noted(runtime, new_id("evt"), "of nothing")
        found = await trace_of(runtime, fresh_merchant, payment_id)
        shown = [each for each in found.timeline if each.act_id is not None]
        assert [each.act_id for each in shown] == notes and [each.subject_id for each in shown] == targets
        seen = msgspec.json.encode(for_merchant(found)).decode()
        assert not any(word in seen for word in ("note ", "opa_", "case_", KIM))


async def test_it_is_found_by_its_case_and_by_acts_about_it(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, _, event_id):
        await create_key(database.app_url, fresh_merchant, "simulator")
        case, payment_id = await only_case(runtime, fresh_merchant), stored.payment.payment_id
        notes = [(await noted(runtime, name, "n")).act_id for name in (payment_id, event_id, case.case_id)]
        nothing = (await noted(runtime, new_id("evt"), "of nothing")).act_id
        connection = await connect_journal(database.app_url, command_timeout_ms=10_000)
        try:
            for name, what in [(case.case_id, "case"), *((note, "act") for note in notes)]:
                for merchant in (None, fresh_merchant):
                    [found] = await find_payments(connection, name, merchant, ACCOUNTS)
                    assert (found.payment_id, found.merchant_id, found.named) == (payment_id, fresh_merchant, what)
                assert await find_payments(connection, name, "another", ACCOUNTS) == []
            assert await find_payments(connection, nothing, None, ACCOUNTS) == []
        finally:
            await connection.close()
