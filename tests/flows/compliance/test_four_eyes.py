"""A second person's word: who may give it, what voids it, and that of those who race one counts. On a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tallystick.access.accounts import AccountRefused, Granted
from tallystick.access.sessions import SignInRefused
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.four_eyes import Approvable, Approval, NotDecided
from tallystick.flows.operations import operators
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.record.postgres.approvals import Decision, end_request
from tests.support.approvals import AUDITOR, World
from tests.support.console import PASSWORD, SECOND_FACTOR, code_now, inside_console
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider


@asynccontextmanager
async def _world(new_database: NewDatabase) -> AsyncIterator[World]:
    async with inside_console(new_database(), BookedProvider()) as console:
        yield World(console, ACTS)


async def _nothing(_: Runtime, target: str, shown: Any) -> dict[str, Any]:
    return {"target": target, **shown}


PERFORMED: list[str] = []


async def _perform(_: Runtime, approval: Approval) -> None:
    PERFORMED.append(approval.request.request_id)


ACTS = {
    "test.pay": Approvable(act="test.pay", look=_nothing, perform=_perform),
    "test.pay_merchant": Approvable(act="test.pay_merchant", look=_nothing, perform=_perform, of_merchant=True),
}


async def _ends(*tries: Any) -> list[str]:
    """What came of each."""
    found = await asyncio.gather(*tries, return_exceptions=True)
    return [type(each).__name__ if isinstance(each, Exception) else "done" for each in found]


async def test_two_begin_alone_and_nobody_after_them(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        names = [f"op{number}" for number in range(5)]
        ends = await _ends(
            *(operators.add(world.runtime, name, AUDITOR, actor="shell:root@host", reason="begin") for name in names)
        )
        assert ends.count("done") <= 2
        for name in names:  # whoever lost the race tries again
            await _ends(operators.add(world.runtime, name, AUDITOR, actor="shell:root@host", reason="begin"))
        assert len(await world.runtime.stores.accounts.newest()) == 2
        with pytest.raises(NotDecided, match="other people"):
            await operators.add(world.runtime, "third", AUDITOR, actor="shell:root@host", reason="more")


async def test_who_may_decide(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, eve = [await world.person(name) for name in ("ada", "bob", "eve")]
        request = await world.asked(ada.actor)
        with pytest.raises(NotDecided, match="somebody else"):
            await world.decide(request, ada)
        reader = await world.person("reader", "viewer")
        with pytest.raises(NotDecided, match="may not approve"):
            await world.decide(request, reader)
        late = await world.person("late")
        with pytest.raises(NotDecided, match="younger"):
            await world.decide(request, late)
        limited = await world.person("limited", merchants=["shop"])
        with pytest.raises(NotDecided, match="limited"):
            await world.decide(request, limited)
        change = await operators.change(
            world.runtime, "eve", Granted(roles=["admin", "operator"]), actor=bob.actor, reason="on call"
        )
        assert change.request is not None
        with pytest.raises(NotDecided, match="about you"):
            await world.decide(change.request, eve)
        with pytest.raises(NotDecided, match="shown"):
            await world.decide(request, bob, seen_hash=b"another")
        approval = await world.decide(request, bob)
        assert approval.outcome is not None and approval.outcome.outcome == "approved"
        assert approval.approvers == ["operator:bob"]
        with pytest.raises(NotDecided, match="ended"):
            await world.decide(request, eve)


async def test_of_two_deciders_at_once_one_carries_it_out(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, *others = [await world.person(name) for name in ("ada", "bob", "eve", "joe")]
        request = await world.asked(ada.actor)
        ends = await _ends(*(world.decide(request, other) for other in others), world.decide(request, others[0]))
        assert "done" in ends
        assert set(ends) <= {"done", "NotDecided"}
        assert await world.count("operator_version") == 1
        assert await world.count("operator_act") == 1


async def test_an_approval_and_a_rejection_at_once_end_it_one_way(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, eve = [await world.person(name) for name in ("ada", "bob", "eve")]
        for _ in range(5):
            request = await world.asked(ada.actor)
            await _ends(world.decide(request, bob), world.decide(request, eve, approves=False))
            ended = await world.runtime.stores.approvals.outcome(request.request_id)
            assert ended is not None
            assert await world.count("operator_version") == (ended.outcome == "approved")
            if ended.outcome == "approved":
                break
        PERFORMED.clear()
        paid = await four_eyes.ask(
            world.runtime, ACTS["test.pay"], "pay", {}, requested_by=ada.actor, reason="the money is theirs"
        )
        await _ends(world.decide(paid, eve, approves=False), world.decide(paid, bob))
        ended = await world.runtime.stores.approvals.outcome(paid.request_id)
        assert ended is not None
        assert bool(PERFORMED) == (ended.outcome == "approved")


async def test_a_rejection_between_the_approval_and_the_end_counts(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is one row: whoever writes it second has not ended anything, and nothing is done."""
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, eve = [await world.person(name) for name in ("ada", "bob", "eve")]
        paid = await four_eyes.ask(
            world.runtime, ACTS["test.pay"], "pay", {}, requested_by=ada.actor, reason="the money is theirs"
        )

        async def after_a_rejection(connection: Any, request_id: str, outcome: Any, *said: Any) -> None:
            if outcome == "approved":
                await world.decide(paid, eve, approves=False)
            await end_request(connection, request_id, outcome, *said)

        monkeypatch.setattr("tallystick.flows.compliance.four_eyes.end_request", after_a_rejection)
        PERFORMED.clear()
        with pytest.raises(NotDecided, match="otherwise"):
            await world.decide(paid, bob)
        assert PERFORMED == []
        ended = await world.runtime.stores.approvals.outcome(paid.request_id)
        assert ended is not None and ended.outcome == "rejected"


async def test_a_rejection_counts_whose_end_was_never_written(new_database: NewDatabase) -> None:
    """The process of who rejected it died between their word and its end. Whoever approves afterwards does nothing."""
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, eve = [await world.person(name) for name in ("ada", "bob", "eve")]
        paid = await four_eyes.ask(
            world.runtime, ACTS["test.pay"], "pay", {}, requested_by=ada.actor, reason="the money is theirs"
        )
        word = Decision(
            decided_by=eve.actor, approves=False, shown_hash=paid.shown_hash, reason="no", at=world.runtime.clock.now()
        )
        await world.runtime.stores.approvals.decide(paid.request_id, word)
        PERFORMED.clear()
        with pytest.raises(NotDecided, match="operator:eve has rejected it"):
            await world.decide(paid, bob)
        ended = await world.runtime.stores.approvals.outcome(paid.request_id)
        assert ended is not None and (ended.outcome, ended.detail) == ("rejected", "operator:eve: no")
        assert PERFORMED == []


async def test_money_of_a_merchant_is_decided_by_those_limited_to_it(new_database: NewDatabase) -> None:
    """What is of no merchant, and other merchants' money, is not theirs to decide."""
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, _ = await world.person("ada"), await world.person("bob")
        own, other = await world.person("own", merchants=["shop"]), await world.person("other", merchants=["other"])

        async def asked(act: str, merchant: str | None) -> four_eyes.ApprovalRequest:
            shown = {"merchant": merchant}
            return await four_eyes.ask(world.runtime, ACTS[act], "pay", shown, requested_by=ada.actor, reason="theirs")

        of_shop = await asked("test.pay_merchant", "shop")
        assert of_shop.merchant_id == "shop"
        for request, viewer in (
            (of_shop, other),
            (await asked("test.pay", "shop"), own),
            (await asked("test.pay_merchant", None), own),
        ):
            with pytest.raises(NotDecided, match="limited"):
                await world.decide(request, viewer)
        done = await world.decide(of_shop, own)
        assert done.outcome is not None and done.outcome.outcome == "approved"


async def test_what_changed_since_it_was_shown_is_void(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, _ = [await world.person(name) for name in ("ada", "bob", "eve")]
        more = Granted(roles=["admin", "operator"])
        change = await operators.change(world.runtime, "eve", more, actor=ada.actor, reason="on call")
        assert change.request is not None
        fewer = Granted(roles=["admin"])
        await operators.change(world.runtime, "eve", fewer, actor=ada.actor, reason="again the same")
        with pytest.raises(NotDecided, match="changed"):
            await world.decide(change.request, bob)
        ended = await world.runtime.stores.approvals.outcome(change.request.request_id)
        assert ended is not None and ended.outcome == "void"
        with pytest.raises(NotDecided, match="void"):
            await world.decide(change.request, bob)


async def test_what_changes_while_it_is_decided_is_void(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last look: the operator's version is the guard."""
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, _ = [await world.person(name) for name in ("ada", "bob", "eve")]
        more = Granted(roles=["admin", "operator"])
        change = await operators.change(world.runtime, "eve", more, actor=ada.actor, reason="on call")
        reset = await operators.reset(world.runtime, "eve", actor=ada.actor, reason="lost it")
        assert change.request is not None and reset.request is not None

        async def not_looked(*_: Any) -> None:
            return None

        await operators.change(world.runtime, "eve", Granted(roles=["admin"]), actor=ada.actor, reason="again")
        await world.runtime.pool.execute("UPDATE operator_credential SET version = version + 1")
        monkeypatch.setattr(four_eyes, "_require_unchanged", not_looked)
        for request in (change.request, reset.request):
            with pytest.raises(NotDecided):
                await world.decide(request, bob)
            ended = await world.runtime.stores.approvals.outcome(request.request_id)
            assert ended is not None and ended.outcome == "void"
        found = await world.runtime.stores.accounts.find("eve")
        assert found is not None and list(found.roles) == ["admin"]


async def test_two_of_three_and_only_who_still_may(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob, eve, joe = [await world.person(name) for name in ("ada", "bob", "eve", "joe")]
        PERFORMED.clear()
        request = await four_eyes.ask(
            world.runtime, ACTS["test.pay"], "pay", {}, requested_by=ada.actor, reason="a lot", needed=2
        )
        assert (await world.decide(request, bob)).outcome is None
        assert (await world.decide(request, bob)).outcome is None, "the same word again is the same word"
        with pytest.raises(NotDecided, match="before"):
            await world.decide(request, bob, approves=False)
        await operators.disable(world.runtime, "bob", actor=ada.actor, reason="left")
        assert (await world.decide(request, eve)).outcome is None, "one of the two may no longer"
        assert (await world.decide(request, joe)).outcome is not None
        assert [request.request_id] == PERFORMED
        await four_eyes.finish(world.runtime, ACTS, request.request_id)
        with pytest.raises(NotDecided, match="other people"):
            await four_eyes.ask(
                world.runtime, ACTS["test.pay"], "pay", {}, requested_by=ada.actor, reason="a lot", needed=3
            )


async def test_a_request_expires(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada, bob = [await world.person(name) for name in ("ada", "bob")]
        request = await world.asked(ada.actor)
        world.runtime.clock.shift_ms = 8 * 86_400_000
        with pytest.raises(NotDecided, match="expired"):
            await world.decide(request, bob)
        assert await world.count("operator_version") == 0


async def test_a_reset_opens_after_the_approval_and_ends_sessions(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        await world.bootstrap()
        ada = await world.person("ada")
        bob = await world.person("bob")
        eve = await world.console.signed_in("operator", operator_id="eve")
        token, sessions = eve.http.cookies[SESSION_COOKIE], world.console.process.sessions
        invited = await operators.reset(world.runtime, "eve", actor=ada.actor, reason="lost the telephone")
        assert invited.request is not None
        given = ("eve", invited.invitation, PASSWORD, SECOND_FACTOR)
        with pytest.raises(SignInRefused):
            await sessions.first_sign_in(*given, code_now(), "192.0.2.1")
        assert await sessions.viewer(token) is not None
        await world.decide(invited.request, bob)
        assert await sessions.viewer(token) is None
        assert await sessions.first_sign_in(*given, code_now(), "192.0.2.1")
        with pytest.raises(SignInRefused):
            await sessions.first_sign_in(*given, code_now(), "192.0.2.1")


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (Granted(roles=["viewer"]), Granted(roles=["operator"]), True),
        (Granted(roles=["operator"]), Granted(roles=["viewer"]), False),
        (Granted(roles=["operator", "viewer"]), Granted(roles=["viewer"]), False),
        (Granted(roles=["viewer"]), Granted(roles=["viewer"], raw_evidence=True), True),
        (Granted(roles=["viewer"], raw_evidence=True), Granted(roles=["viewer"]), False),
        (Granted(roles=["viewer"], merchants=["a"]), Granted(roles=["viewer"]), True),
        (Granted(roles=["viewer"], merchants=["a"]), Granted(roles=["viewer"], merchants=["a", "b"]), True),
        (Granted(roles=["viewer"], merchants=["a", "b"]), Granted(roles=["viewer"], merchants=["a"]), False),
        (Granted(roles=["viewer"]), Granted(roles=["viewer"], merchants=["a"]), False),
    ],
)
def test_what_gives_more(before: Granted, after: Granted, more: bool) -> None:
    assert operators.gives_more(before, after) is more


async def test_what_is_refused_as_an_operator(new_database: NewDatabase) -> None:
    async with _world(new_database) as world:
        for name, granted in (
            ("Ada", AUDITOR),
            ("4111111111111111", AUDITOR),
            ("ada", Granted(roles=[])),
            ("ada", Granted(roles=["viewer"], merchants=[])),
            ("ada", Granted(roles=["viewer"], merchants=["Not a merchant"])),
        ):
            with pytest.raises(AccountRefused):
                await operators.add(world.runtime, name, granted, actor="shell:root@host", reason="try")
