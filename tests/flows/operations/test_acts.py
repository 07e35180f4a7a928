"""An operator's act on a real database: done once for a key, recorded with its effect, answered again from the record;
another act under the key is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import psycopg
import pytest
from msgspec.structs import replace as with_fields
from psycopg.errors import InsufficientPrivilege

from tallystick.domain.operator_act import ActKeyReused, AskedAct, OperatorAct, WordsRefused
from tallystick.flows.deployments import mark_release, note_configuration
from tallystick.flows.operations import late_money, pauses
from tallystick.flows.operations.acts import NoSuchTarget, annotate, once, perform, recorded
from tallystick.flows.operations.pauses import UnknownProvider
from tallystick.flows.rejections import cases
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.dead_letters import ALL_DEAD_LETTERS, DeadLetterFilter, NotReplayable
from tallystick.kit.ids import new_id
from tests.support.acts import INES, KIM, asked, cases_of
from tests.support.database import Database
from tests.support.inbox import accept, assert_invariants, envelope, states
from tests.support.late_money import declining_provider, late
from tests.support.runtime import runtime_of


class Act(NamedTuple):
    """``prepare`` gives the target; ``do`` carries the act out; ``effects`` is how often it had its effect."""

    name: Any
    prepare: Callable[[Runtime, Database, str], Awaitable[str]]
    do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]]
    effects: Callable[[Runtime, str, str], Awaitable[int]]


async def _late(runtime: Runtime, _: Database, merchant_id: str) -> str:
    return await late(runtime, merchant_id)


async def _case(runtime: Runtime, _: Database, merchant_id: str) -> str:
    await late(runtime, merchant_id)
    [case] = await cases_of(runtime, merchant_id)
    return case.case_id


async def _dead_letter(runtime: Runtime, database: Database, merchant_id: str) -> str:
    event = envelope(new_id("req"), merchant_id=merchant_id, payment_id=new_id("pay"))
    await accept(database, [event])
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE inbox SET state = 'dead', next_try_at = NULL, closed_at = now() WHERE event_id = %s",
            (event.event_id,),
        )
    return event.event_id


async def _new_payment(_: Runtime, __: Database, ___: str) -> str:
    return new_id("pay")


async def _release(_: Runtime, __: Database, merchant_id: str) -> str:
    return f"1.0.{merchant_id}"


async def _accept(runtime: Runtime, act: AskedAct) -> OperatorAct:
    await late_money.accept(runtime, act.target, act, actor=act.operator, reason=act.reason)
    return await recorded(runtime.stores.acts, act)


async def _give_back(runtime: Runtime, act: AskedAct) -> OperatorAct:
    await late_money.give_back(runtime, act.target, act, actor=act.operator, reason=act.reason)
    return await recorded(runtime.stores.acts, act)


async def _replay(runtime: Runtime, act: AskedAct) -> OperatorAct:
    letters = runtime.stores.dead_letters
    await letters.replay(act.target, act, actor=act.operator, reason=act.reason)
    return await recorded(runtime.stores.acts, act)


async def _discard(runtime: Runtime, act: AskedAct) -> OperatorAct:
    letters = runtime.stores.dead_letters
    await letters.discard(act.target, act, actor=act.operator, reason=act.reason)
    return await recorded(runtime.stores.acts, act)


def _steps(event: str) -> Callable[[Runtime, str, str], Awaitable[int]]:
    async def count(runtime: Runtime, merchant_id: str, _: str) -> int:
        statement = "SELECT count(*) FROM history WHERE merchant_id = $1 AND event = $2"
        return int(await runtime.pool.fetchval(statement, merchant_id, event))

    return count


def _tries(result: str) -> Callable[[Runtime, str, str], Awaitable[int]]:
    async def count(runtime: Runtime, _: str, target: str) -> int:
        event = await runtime.stores.inbox.event(target)
        assert event is not None
        return sum(each.result == result for each in await runtime.stores.inbox.processing(event.name()))

    return count


async def _points(runtime: Runtime, _: str, target: str) -> int:
    return int(await runtime.pool.fetchval("SELECT count(*) FROM deployment WHERE version = $1", target))


async def _notes(runtime: Runtime, _: str, target: str) -> int:
    return len(await runtime.stores.acts.page(None, 10, target=target))


ACTS = {
    "late money is accepted": Act("late_money.accept", _late, _accept, _steps("late_money_accepted")),
    "late money is returned": Act("late_money.return", _late, _give_back, _steps("late_return_opened")),
    "a case is ignored": Act("case.ignore", _case, cases.ignore, _steps("ignore")),
    "a case is taken": Act("case.acknowledge", _case, cases.acknowledge, _steps("acknowledge")),
    "a dead letter is replayed": Act("dead_letter.replay", _dead_letter, _replay, _tries("replayed")),
    "a dead letter is discarded": Act("dead_letter.discard", _dead_letter, _discard, _tries("discarded")),
    "a release is marked": Act("release.mark", _release, mark_release, _points),
    "a note": Act("annotate", _new_payment, annotate, _notes),
}


@pytest.mark.parametrize("name", ACTS)
async def test_it_is_done_once_for_a_key(database: Database, fresh_merchant: str, name: str) -> None:
    """By four at once in two processes, and again afterwards."""
    act = ACTS[name]
    async with (
        runtime_of(database.app_url, declining_provider()) as one,
        runtime_of(database.app_url, declining_provider()) as other,
    ):
        target, key = await act.prepare(one, database, fresh_merchant), new_id("req")

        async def do(process: Runtime) -> tuple[OperatorAct, bool]:
            wanted = asked(act.name, target, key)
            return await perform(process.stores.acts, process.settings, wanted, lambda: act.do(process, wanted))

        done = [*await asyncio.gather(*map(do, (one, other, one, other))), await do(other)]
        first = done[0][0]
        assert all(each == first for each, _ in done), "the recorded act, whoever asks"
        assert sorted(repeated for _, repeated in done) == [False, True, True, True, True]
        assert await act.effects(one, fresh_merchant, target) == 1
        assert (first.operator, first.reason, first.target, first.key_kind) == (KIM, "ticket 7", target, "human")
        assert await one.stores.acts.by_id(first.act_id) == first
        [listed] = await one.stores.acts.page(None, 10, operator=KIM, act=act.name, target=target)
        assert listed == first
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("name", ACTS)
async def test_the_key_for_another_act_is_refused(database: Database, fresh_merchant: str, name: str) -> None:
    act = ACTS[name]
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        target, key = await act.prepare(runtime, database, fresh_merchant), new_id("req")
        note = asked("annotate", new_id("pay"), key)
        await once(runtime.stores.acts, note, lambda: annotate(runtime, note))
        for wanted in (asked(act.name, target, key), asked(act.name, target, key, reason="another reason")):
            with pytest.raises(ActKeyReused):
                await once(runtime.stores.acts, wanted, partial(act.do, runtime, wanted))
        assert await act.effects(runtime, fresh_merchant, target) == 0
        by_another = asked(act.name, target, key, operator=INES)
        _, repeated = await once(runtime.stores.acts, by_another, lambda: act.do(runtime, by_another))
        assert not repeated and await act.effects(runtime, fresh_merchant, target) == 1, "keys are the operator's own"


async def test_two_operators_at_once_and_one_has_it(database: Database, fresh_merchant: str) -> None:
    """Who comes second finds nothing left, and no act of theirs is recorded."""
    async with (
        runtime_of(database.app_url, declining_provider()) as one,
        runtime_of(database.app_url, declining_provider()) as other,
    ):
        payment_id = await late(one, fresh_merchant)
        acts = [asked("late_money.accept", payment_id, operator=f"{KIM}{number}") for number in range(6)]
        done = await asyncio.gather(
            *(
                once(process.stores.acts, act, partial(_accept, process, act))
                for act, process in zip(acts, (one, other) * 3, strict=True)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, tuple) for each in done) == 1
        assert len(await one.stores.acts.page(None, 10, target=payment_id)) == 1
    await assert_invariants(database, fresh_merchant)


async def test_many_dead_letters_are_one_act(database: Database, fresh_merchant: str) -> None:
    which = DeadLetterFilter(merchant_id=fresh_merchant)
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        for _ in range(3):
            await _dead_letter(runtime, database, fresh_merchant)
        letters = runtime.stores.dead_letters

        async def discard(act: AskedAct) -> OperatorAct:
            await letters.discard_all(which, act, actor=act.operator, reason=act.reason)
            return await recorded(runtime.stores.acts, act)

        key = new_id("req")
        for repeated in (False, True):
            wanted = asked("dead_letter.discard_many", ALL_DEAD_LETTERS, key, **which.arguments())
            act, was_done = await once(runtime.stores.acts, wanted, lambda wanted=wanted: discard(wanted))  # type: ignore[misc]
            assert (act.result, was_done) == ({"count": 3}, repeated)
        none_left = asked("dead_letter.discard_many", ALL_DEAD_LETTERS, **which.arguments())
        act, _ = await once(runtime.stores.acts, none_left, lambda: discard(none_left))
        assert act.result == {"count": 0}
        assert set((await states(runtime, fresh_merchant)).values()) == {"discarded"}


async def test_what_may_not_be_kept_does_nothing(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        payment_id = await late(runtime, fresh_merchant)
        for reason in ("card 4242424242424242", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", " "):
            wanted = asked("late_money.accept", payment_id, "k", reason=reason)
            with pytest.raises(WordsRefused):
                await perform(
                    runtime.stores.acts,
                    runtime.settings,
                    wanted,
                    lambda wanted=wanted: _accept(runtime, wanted),  # type: ignore[misc]
                )
        assert await runtime.stores.acts.find(KIM, "k") is None
        with pytest.raises(NoSuchTarget):
            await annotate(runtime, asked("annotate", "everything"))
        with pytest.raises(NotReplayable):
            await _replay(runtime, asked("dead_letter.replay", new_id("evt"), "k"))
        assert await runtime.stores.acts.find(KIM, "k") is None


async def test_a_paused_account_gets_no_calls(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        with pytest.raises(UnknownProvider):
            await pauses.pause(runtime, asked("provider.pause", "nobody"), "main", None)
        account = f"acct-{fresh_merchant}"
        await pauses.pause(runtime, asked("provider.pause", "simulator", account=account), account, None)
        mine = [each for each in await pauses.pauses(runtime) if each.account == account]
        assert [(each.provider, each.actor, each.until) for each in mine] == [("simulator", KIM, None)]
        await pauses.resume(runtime, asked("provider.resume", "simulator", account=account), account)
        assert not [each for each in await pauses.pauses(runtime) if each.account == account]
        await pauses.pause(runtime, asked("provider.pause", "simulator", account=account), account, 60_000)
        [timed] = [each for each in await pauses.pauses(runtime) if each.account == account]
        assert timed.until is not None and 0 < timed.left_ms <= 60_000
        await pauses.resume(runtime, asked("provider.resume", "simulator", account=account), account)


async def test_a_change_of_the_configuration_is_a_point(database: Database, fresh_merchant: str) -> None:
    role = f"role-{fresh_merchant}"
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        slower = with_fields(runtime, settings=replace(runtime.settings, api_key_cache_ms=12_345))
        other_secret = with_fields(runtime, settings=replace(runtime.settings, sealing_keys="c2VjcmV0"))
        moved = with_fields(runtime, settings=replace(runtime.settings, port=1234))
        await asyncio.gather(*(note_configuration(runtime, role) for _ in range(3)))
        for again in (runtime, other_secret, moved, slower, slower, runtime):
            await note_configuration(again, role)
        rows = await runtime.pool.fetch(
            "SELECT changed, digests::text FROM deployment WHERE role = $1 ORDER BY at, deployment_id", role
        )
    assert [row["changed"] for row in rows] == [[], ["TALLYSTICK_API_KEY_CACHE_MS"], ["TALLYSTICK_API_KEY_CACHE_MS"]]
    assert not any("12345" in row["digests"] for row in rows), "digests, and no values"


def test_the_application_can_neither_change_nor_delete_acts(database: Database) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as app:
        for table in ("operator_act", "deployment"):
            for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET act_id = 'x'", f"TRUNCATE {table}"):
                with pytest.raises(InsufficientPrivilege):
                    app.execute(statement)
