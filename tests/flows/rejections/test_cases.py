"""A refused transition that alerts is a case, on a real database: opened with it, worked on by people at once,
processed again by the same guards, and closed by rules."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from tallystick.decisions.rejected_cases import CaseResolved
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.rejected_case import RejectedCase
from tallystick.domain.verdicts import Approved, Unknown, Verdict
from tallystick.domain.work_owner import NotOwned, OwnerUnknown
from tallystick.flows.operations.acts import once
from tallystick.flows.operations.late_money import accept as accept_late_money
from tallystick.flows.rejections import cases
from tallystick.flows.rejections.cases import NoSuchCase
from tallystick.flows.rejections.details import detail_of
from tallystick.flows.rejections.reprocess import NotReprocessable, reprocess
from tallystick.flows.rejections.rounds import CaseRounds
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tests.support.acts import INES, KIM, asked, cases_of, colleague_in
from tests.support.database import Database
from tests.support.inbox import accept, assert_invariants, drain, envelope
from tests.support.late_money import declining_provider, late
from tests.support.rejected_cases import only_case, refused
from tests.support.runtime import BookedProvider, Client, read, runtime_of


class Silent(BookedProvider):
    """Answers no question."""

    async def fetch(self, call: ProviderCall) -> Verdict:
        return Unknown(reason="time-out")


async def test_it_is_opened_with_its_rejection(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, _, event_id):
        case = await only_case(runtime, fresh_merchant)
        assert (case.state, case.owner, case.category, case.tried_by, case.origin) == (
            "open",
            None,
            "malformed",
            "webhook",
            "provider",
        )
        assert (case.subject, case.subject_id, case.event) == ("attempt", stored.attempts[0].attempt_id, "approved")
        assert (case.from_stream_id, case.event_id, case.provider) == (stored.payment.payment_id, event_id, "simulator")
        [rejection] = await runtime.reads.rejections(fresh_merchant, stored.payment.payment_id)
        assert (case.reason, case.subject_version) == (rejection.reason, rejection.version)
        kept = await runtime.stores.cases.rejection(case)
        assert kept is not None and (kept.reason, kept.category) == (case.reason, "malformed")
        [group] = [each for each in await runtime.stores.cases.groups() if each.example_id == case.case_id]
        assert (group.cases, group.open, group.unassigned, group.subject_state) == (1, 1, 1, case.subject_state)
    await assert_invariants(database, fresh_merchant)


async def test_a_refusal_of_a_client_is_no_case(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        client = Client(runtime, fresh_merchant)
        payment = read(await client.create("create"))
        assert (await client.capture("capture", payment["id"])).status == 409
        assert await cases_of(runtime, fresh_merchant) == []


async def test_taken_handed_on_and_ignored(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        await cases.acknowledge(runtime, asked("case.acknowledge", case_id))
        assert (await only_case(runtime, fresh_merchant)).owner == KIM
        treasury = await colleague_in(runtime.pool, fresh_merchant)
        await cases.escalate(runtime, asked("case.escalate", case_id, owner=treasury), treasury)
        escalated = await only_case(runtime, fresh_merchant)
        assert (escalated.state, escalated.owner, escalated.escalations) == ("acknowledged", f"operator:{treasury}", 1)
        await cases.ignore(runtime, asked("case.ignore", case_id, operator=INES))
        assert await cases_of(runtime, fresh_merchant) == []
        [ended] = await cases_of(runtime, fresh_merchant, "resolved")
        assert (ended.resolution, ended.closed_by) == ("ignored", "person")
        with pytest.raises(CaseResolved):
            await cases.acknowledge(runtime, asked("case.acknowledge", case_id))
        with pytest.raises(CaseResolved):
            await cases.ignore(runtime, asked("case.ignore", case_id))
        detail = await detail_of(runtime.stores, runtime.reads, runtime.clock.now(), case_id)
        assert [(step.event, step.actor) for step in detail.steps] == [
            ("reject", "provider:simulator"),
            ("acknowledge", KIM),
            ("escalate", KIM),
            ("ignore", INES),
        ]
        assert detail.steps[3].evidence == {"operator": {"reason": "ticket 7"}}
        with pytest.raises(NoSuchCase):
            await cases.ignore(runtime, asked("case.ignore", new_id("case")))
    await assert_invariants(database, fresh_merchant)


async def test_given_back_to_nobody_and_never_taken_from_somebody(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        with pytest.raises(NotOwned):
            await cases.give_back(runtime, asked("case.give_back", case_id))
        await cases.acknowledge(runtime, asked("case.acknowledge", case_id))
        with pytest.raises(NotOwned):
            await cases.acknowledge(runtime, asked("case.acknowledge", case_id, operator=INES))
        wrong: list[dict[str, Any]] = [{"merchants": ["another"]}, {"state": "disabled"}, {"roles": ["viewer"]}]
        for changed in wrong:
            name = await colleague_in(runtime.pool, fresh_merchant, **changed)
            with pytest.raises(OwnerUnknown):
                await cases.escalate(runtime, asked("case.escalate", case_id, owner=name), name)
        for name in ("", "nobody-at-all", KIM, "shell:kim@here", "operator:operator:ada", "' OR 1=1"):
            with pytest.raises(OwnerUnknown):
                await cases.escalate(runtime, asked("case.escalate", case_id, owner=name), name)
        given = await cases.give_back(runtime, asked("case.give_back", case_id, operator=INES))
        case = await only_case(runtime, fresh_merchant)
        assert (case.state, case.owner, given.result["case"]["owner"]) == ("open", None, None)
        await cases.acknowledge(runtime, asked("case.acknowledge", case_id, operator=INES))
        assert (await only_case(runtime, fresh_merchant)).owner == INES
        await cases.ignore(runtime, asked("case.ignore", case_id))
        with pytest.raises(CaseResolved):
            await cases.give_back(runtime, asked("case.give_back", case_id))
        with pytest.raises(CaseResolved):
            await cases.escalate(runtime, asked("case.escalate", case_id, owner="x"), "x")
    await assert_invariants(database, fresh_merchant)


async def test_reprocessing_has_the_very_same_guards(database: Database, fresh_merchant: str) -> None:
    """The provider still says the wrong amount: refused again, without a second refusal or case."""
    async with refused(database, fresh_merchant) as (runtime, stored, _, event_id):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        act = await reprocess(runtime, asked("case.reprocess", case_id))
        assert (act.result["came_to"], act.payment_id) == ("refused", stored.payment.payment_id)
        case = await only_case(runtime, fresh_merchant)
        assert (case.state, case.reprocessings) == ("open", 1)
        assert len(await runtime.reads.rejections(fresh_merchant, stored.payment.payment_id)) == 1
        loaded = await runtime.reads.load(fresh_merchant, stored.payment.payment_id)
        assert loaded is not None and loaded.stored.payment.state == "authorizing"
        event = await runtime.stores.inbox.event(event_id)
        assert event is not None and event.state == "conflict"
        tries = await runtime.stores.inbox.processing(event.name())
        assert [(each.result, each.actor) for each in tries] == [("conflict", "worker"), ("conflict", KIM)]
    await assert_invariants(database, fresh_merchant)


async def test_what_the_guards_accept_now_is_committed_with_the_end_of_the_case(
    database: Database, fresh_merchant: str
) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, bank, _):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        bank.is_mended = True
        act = await reprocess(runtime, asked("case.reprocess", case_id))
        assert act.result["came_to"] == "accepted"
        loaded = await runtime.reads.load(fresh_merchant, stored.payment.payment_id)
        assert loaded is not None and loaded.stored.payment.state == "captured"
        [case] = await cases_of(runtime, fresh_merchant, "resolved")
        assert (case.resolution, case.closed_by) == ("reprocessed", "person")
        history = await runtime.reads.history(fresh_merchant, stored.payment.payment_id)
        steps = await runtime.reads.history(fresh_merchant, case_id)
        assert history[-1].change_id == steps[-1].change_id == act.change_id, "one transaction"
    await assert_invariants(database, fresh_merchant)


async def test_what_the_record_says_by_now_ends_the_case(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, bank, _):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        said = Approved(amount=stored.payment.amount, currency="EUR", effect="captured", reference="ch_wrong")
        notice = AttemptNotice(operation="authorize", attempt_id=stored.attempts[0].attempt_id, verdict=said)
        right = envelope(new_id("req"), notice, payment=stored.payment)
        await accept(database, [right])
        await drain(runtime, fresh_merchant)
        bank.is_mended = True
        act = await reprocess(runtime, asked("case.reprocess", case_id))
        assert act.result["came_to"] == "agrees"
        [case] = await cases_of(runtime, fresh_merchant, "resolved")
        assert (case.resolution, case.closed_by) == ("agrees", "person")
    await assert_invariants(database, fresh_merchant)


async def test_nothing_is_written_where_the_provider_cannot_say(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case = await only_case(runtime, fresh_merchant)
        async with runtime_of(database.app_url, Silent()) as other:
            with pytest.raises(NotReprocessable):
                await reprocess(other, asked("case.reprocess", case.case_id, "one"))
        assert await only_case(runtime, fresh_merchant) == case
        assert await runtime.stores.acts.find(KIM, "one") is None


ACTS: list[tuple[str, Any]] = [
    ("case.ignore", lambda runtime, act: cases.ignore(runtime, act)),
    ("case.acknowledge", lambda runtime, act: cases.acknowledge(runtime, act)),
    ("case.escalate", lambda runtime, act: cases.escalate(runtime, act, act.arguments["owner"])),
    ("case.give_back", lambda runtime, act: cases.give_back(runtime, act)),
    ("case.reprocess", reprocess),
]


async def test_operators_at_once_each_take_a_version(database: Database, fresh_merchant: str) -> None:
    """Two processes, eight operators: the case moves one step at a time, and ends once."""
    async with refused(database, fresh_merchant) as (runtime, stored, bank, _):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        to = await colleague_in(runtime.pool, fresh_merchant)
        async with runtime_of(database.app_url, bank) as other:
            done = await asyncio.gather(
                *(
                    do(process, asked(name, case_id, operator=f"{KIM}{number}", owner=to))  # type: ignore[arg-type]
                    for number in range(2)
                    for process in (runtime, other)
                    for name, do in ACTS
                ),
                return_exceptions=True,
            )
        acts = [each for each in done if isinstance(each, OperatorAct)]
        others = [each for each in done if not isinstance(each, OperatorAct)]
        assert all(isinstance(each, CaseResolved | NotOwned) for each in others), others
        assert sum(act.act == "case.ignore" for act in acts) == 1
        steps = await runtime.reads.history(fresh_merchant, case_id)
        assert [step.version for step in steps] == list(range(1, len(acts) + 2))
        assert sorted(act.change_id or "" for act in acts) == sorted(step.change_id for step in steps[1:])
        assert len(await runtime.reads.rejections(fresh_merchant, stored.payment.payment_id)) == 1
    await assert_invariants(database, fresh_merchant)


async def test_what_is_accepted_at_once_is_accepted_once(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, stored, bank, _):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        bank.is_mended = True
        async with runtime_of(database.app_url, bank) as other:
            acts = [
                reprocess(process, asked("case.reprocess", case_id, operator=f"{KIM}{number}"))
                for number, process in enumerate((runtime, other, runtime, other))
            ]
            done = await asyncio.gather(*acts, return_exceptions=True)
        assert [each.result["came_to"] for each in done if isinstance(each, OperatorAct)] == ["accepted"]
        assert sum(isinstance(each, CaseResolved) for each in done) == 3, done
        steps = await runtime.reads.history(fresh_merchant, stored.payment.payment_id)
        assert [step.event for step in steps] == ["create", "captured"]
    await assert_invariants(database, fresh_merchant)


async def test_the_same_act_at_once_is_done_once(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case_id = (await only_case(runtime, fresh_merchant)).case_id
        async with runtime_of(database.app_url, BookedProvider()) as other:
            processes = (runtime, other, runtime, other)

            async def acknowledge(process: Runtime) -> tuple[OperatorAct, bool]:
                act = asked("case.acknowledge", case_id, "my key")
                return await once(process.stores.acts, act, lambda: cases.acknowledge(process, act))

            done = await asyncio.gather(*map(acknowledge, processes))
        assert len({act.act_id for act, _ in done}) == 1
        assert sorted(repeated for _, repeated in done) == [False, True, True, True]
        steps = await runtime.reads.history(fresh_merchant, case_id)
        assert [step.event for step in steps] == ["reject", "acknowledge"]


async def test_a_decision_on_late_money_closes_its_case_by_rule(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        payment_id = await late(runtime, fresh_merchant)
        case = await only_case(runtime, fresh_merchant)
        assert (case.category, case.subject) == ("late", "attempt")
        rounds = [CaseRounds(runtime), CaseRounds(runtime)]
        await rounds[0].close_by_rule()
        assert await only_case(runtime, fresh_merchant) == case, "its money waits"
        await accept_late_money(runtime, payment_id, actor=KIM, reason="ticket 7")
        await asyncio.gather(*(each.close_by_rule() for each in rounds))
        [ended] = await cases_of(runtime, fresh_merchant, "resolved")
        assert (ended.resolution, ended.closed_by, ended.version) == ("late_money_decided", "rule", 2)
    await assert_invariants(database, fresh_merchant)


async def test_rejections_of_an_earlier_release_get_their_cases_once(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case = await only_case(runtime, fresh_merchant)
        with psycopg.connect(database.owner_url, autocommit=True) as owner:  # as an earlier release left it
            owner.execute("DELETE FROM rejected_case WHERE case_id = %s", (case.case_id,))
            owner.execute("DELETE FROM transition WHERE subject_id = %s", (case.case_id,))
            owner.execute("UPDATE rejection SET category = NULL WHERE rejection_id = %s", (case.rejection_id,))
        rounds = [CaseRounds(runtime), CaseRounds(runtime)]
        await asyncio.gather(*(each.open_missing() for each in rounds))
        assert await only_case(runtime, fresh_merchant) == _as_of_before(case)
        assert [await each.open_missing() for each in rounds] == [0, 0]
    await assert_invariants(database, fresh_merchant)


def _as_of_before(case: RejectedCase) -> RejectedCase:
    return replace(case, category="conflicting")


async def test_a_case_that_is_missing_is_found(database: Database, fresh_merchant: str) -> None:
    async with refused(database, fresh_merchant) as (runtime, _, __, ___):
        case = await only_case(runtime, fresh_merchant)
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute("DELETE FROM rejected_case WHERE case_id = %s", (case.case_id,))
            owner.execute("DELETE FROM transition WHERE subject_id = %s", (case.case_id,))
    with pytest.raises(AssertionError, match="alerts_have_cases"):
        await assert_invariants(database, fresh_merchant)
