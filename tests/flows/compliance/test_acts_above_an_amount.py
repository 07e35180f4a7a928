"""Attempts in doubt and disputed money above an amount: other people approve exactly what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.domain.operator_act import ActKeyReused, AskedAct
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.approvable import APPROVABLE, ask_second_person, done_for
from tallystick.flows.compliance.four_eyes import NotDecided
from tallystick.flows.operations import disputed_money
from tallystick.flows.operations.acts import asked_act, recorded
from tallystick.flows.recovery import in_doubt
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.database import NewDatabase
from tests.support.disputes import lost_with_unknown_amount
from tests.support.in_doubt import PATIENT, doubtful, silent_provider
from tests.support.runtime import BookedProvider

REASON = "their statement says so"

FINDING: dict[str, Any] = {"outcome": "executed", "evidence": "statement 12, line 4", "reference": "ch_by_hand"}

SLOW = {name: getattr(PATIENT, name) for name in ("recovery_backoff_base_ms", "recovery_backoff_cap_ms")}


async def resolve(world: World, asked: AskedAct) -> None:
    said = asked.arguments
    await in_doubt.resolve(
        world.runtime,
        world.runtime.stores.schedule_book,
        asked.target,
        said["outcome"],
        asked,
        evidence=said["evidence"],
        actor=asked.operator,
        reason=asked.reason,
        reference=said.get("reference"),
    )


async def state(world: World, asked: AskedAct) -> None:
    said = asked.arguments
    await disputed_money.state(
        world.runtime, asked.target, said["movement"], said["amount"], asked, actor=asked.operator, reason=asked.reason
    )


async def test_an_attempt_is_resolved_as_it_was_approved_and_once(
    new_database: NewDatabase, fresh_merchant: str
) -> None:
    async with inside_console(new_database(), silent_provider(), second_person_above="EUR=999", **SLOW) as console:
        world = World(console)
        ada, bob = [await world.person(name, "operator") for name in ("ada", "bob")]
        payment_id, attempt_id = await doubtful(world.runtime, fresh_merchant)
        alone = asked_act(ada.actor, "settle-1", "attempt.resolve", attempt_id, REASON, **FINDING)
        with pytest.raises(NeedsSecondPerson):
            await resolve(world, alone)
        request = await ask_second_person(world.runtime, alone)
        assert (request.needed, request.shown["amount"], request.shown["finding"]) == (1, 1_000, FINDING)
        assert await ask_second_person(world.runtime, alone) == request, "asked for twice, it is one request"
        other = asked_act(ada.actor, "settle-1", "attempt.resolve", attempt_id, REASON, **FINDING | {"reference": "x"})
        with pytest.raises(ActKeyReused):
            await ask_second_person(world.runtime, other)
        assert await done_for(world.runtime, alone) is None
        with pytest.raises(NotDecided, match="somebody else"):
            await world.decide(request, ada)
        await world.decide(request, bob)
        found = await world.runtime.reads.payment(fresh_merchant, payment_id)
        assert found is not None and found[0].state == "captured"
        done = await done_for(world.runtime, alone)
        assert done is not None and (done.operator, done.arguments) == (ada.actor, FINDING)
        await four_eyes.finish(world.runtime, APPROVABLE, request.request_id)
        again = await world.runtime.reads.payment(fresh_merchant, payment_id)
        assert again is not None and again[0].version == found[0].version


async def test_an_approval_is_for_its_finding_alone(new_database: NewDatabase, fresh_merchant: str) -> None:
    """Where a process died between the approval and the act, its key opens nothing but what was approved."""
    async with inside_console(new_database(), silent_provider(), second_person_above="EUR=999", **SLOW) as console:
        world = World(console)
        ada = await world.person("ada", "operator")
        await world.person("bob", "operator")
        _, attempt_id = await doubtful(world.runtime, fresh_merchant)
        wanted = asked_act(ada.actor, None, "attempt.resolve", attempt_id, REASON, outcome="declined", evidence="seen")
        request = await ask_second_person(world.runtime, wanted)
        ended = "INSERT INTO approval_outcome (request_id, outcome, detail, at) VALUES ($1, 'approved', 'bob', now())"
        await world.runtime.pool.execute(ended, request.request_id)
        under = request.request_id
        with pytest.raises(NeedsSecondPerson):
            await resolve(world, asked_act(ada.actor, under, "attempt.resolve", attempt_id, REASON, **FINDING))
        with pytest.raises(NeedsSecondPerson):
            await resolve(
                world, asked_act("operator:eve", under, "attempt.resolve", attempt_id, REASON, **wanted.arguments)
            )
        await resolve(world, asked_act(ada.actor, under, "attempt.resolve", attempt_id, REASON, **wanted.arguments))


async def test_a_disputes_amount_is_stated_as_it_was_approved(new_database: NewDatabase, fresh_merchant: str) -> None:
    database = new_database()
    dispute_id = await lost_with_unknown_amount(database, fresh_merchant)
    async with inside_console(database, BookedProvider(), second_person_above="EUR=14") as console:
        world = World(console)
        ada, bob = [await world.person(name, "operator") for name in ("ada", "bob")]
        asked = asked_act(ada.actor, None, "dispute.state_amount", dispute_id, REASON, movement="txn_1", amount=15)
        with pytest.raises(NeedsSecondPerson):
            await state(world, asked)
        request = await ask_second_person(world.runtime, asked)
        assert (request.shown["amount"], request.shown["moved"]) == (15, "12 GBP")
        await world.decide(request, bob)
        act = await recorded(world.runtime.stores.acts, asked_act(ada.actor, request.request_id, "", "", ""))
        assert act.arguments == {"movement": "txn_1", "amount": 15}
        [dispute] = await world.runtime.reads.disputes(fresh_merchant, str(request.shown["payment"]))
        assert dispute.movements[1].amount == 15


async def test_a_small_amount_needs_one_person(new_database: NewDatabase, fresh_merchant: str) -> None:
    database = new_database()
    dispute_id = await lost_with_unknown_amount(database, fresh_merchant)
    async with inside_console(database, BookedProvider(), second_person_above="EUR=15") as console:
        world = World(console)
        asked = asked_act("operator:ada", None, "dispute.state_amount", dispute_id, REASON, movement="txn_1", amount=15)
        await state(world, asked)


@pytest.mark.parametrize("actor", ["key:abc", "shell:root@host"])
async def test_what_is_no_person_needs_two(new_database: NewDatabase, fresh_merchant: str, actor: str) -> None:
    """Whoever has the key, or the shell, may be the one who approves."""
    async with inside_console(new_database(), silent_provider(), second_person_above="EUR=999", **SLOW) as console:
        world = World(console)
        ada = await world.person("ada", "operator")
        _, attempt_id = await doubtful(world.runtime, fresh_merchant)
        asked = asked_act(actor, None, "attempt.resolve", attempt_id, REASON, **FINDING)
        with pytest.raises(NotDecided, match="2 other people"):
            await ask_second_person(world.runtime, asked)
        bob = await world.person("bob", "operator")
        request = await ask_second_person(world.runtime, asked)
        assert (await world.decide(request, ada)).outcome is None
        ended = (await world.decide(request, bob)).outcome
        assert ended is not None and ended.outcome == "approved"
        assert await done_for(world.runtime, asked) is not None
