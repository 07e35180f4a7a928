"""``dead-letters`` and operators' keys, on events that really died."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.verdicts import Approved
from tallystick.kit.ids import new_id
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, envelope
from tests.support.runtime import BookedProvider, runtime_of

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on the test database."""
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, database_url=database.app_url, **settings
    )


def dead_events(database: Database, merchant: str, *types: str) -> list[str]:
    """Events about payments that nobody knows, until they are dead; their ids."""

    async def die() -> list[str]:
        verdict = Approved(amount=1, currency="EUR", effect="captured")
        notice = AttemptNotice(operation="authorize", attempt_id=new_id("att"), verdict=verdict)
        events = [
            envelope(new_id("req"), notice, merchant_id=merchant, payment_id=new_id("pay"), type=kind) for kind in types
        ]
        await accept(database, events)
        async with runtime_of(database.app_url, BookedProvider(), settings=WEBHOOK_SETTINGS) as runtime:
            await drain(runtime)
        return [event.event_id for event in events]

    return asyncio.run(die())


def lane(command: Command, merchant: str, **settings: str) -> list[dict[str, object]]:
    """The lane as programs read it."""
    ran = command("dead-letters", "list", "--merchant", merchant, "--json", **settings)
    listed: list[dict[str, object]] = json.loads(ran.out)
    return listed


def test_the_lane_is_listed_with_its_owner(database: Database, fresh_merchant: str, command: Command) -> None:
    (event,) = dead_events(database, fresh_merchant, "charge.captured")
    (letter,) = lane(command, fresh_merchant, webhook_provider_owners="simulator=sim-team")
    assert (letter["event_id"], letter["tries"], letter["owner"]) == (event, 4, "sim-team")
    assert letter["last_error"] == "no such payment"
    table = command("dead-letters", "list", "--merchant", fresh_merchant)
    assert (table.code, "payments-oncall" in table.out) == (0, True)
    assert "`tallystick dead-letters replay EVENT --reason REASON`" in " ".join(table.out.split())
    overdue = command("dead-letters", "list", "--merchant", fresh_merchant, webhook_dead_letter_alarm_age_ms="0")
    assert overdue.code == 1 and "overdue" in overdue.out


def test_an_event_is_shown_with_its_way(database: Database, fresh_merchant: str, command: Command) -> None:
    (event,) = dead_events(database, fresh_merchant, "charge.captured")
    shown = command("dead-letters", "show", event)
    assert shown.code == 0
    for checkpoint in ("ingest", "validate", "dedup", "process", "reconcile"):
        assert checkpoint in shown.out
    trace = json.loads(command("dead-letters", "show", event, "--json").out)
    assert [each["result"] for each in trace["attempts"]] == ["unroutable"] * 4
    assert command("dead-letters", "show", new_id("evt")).code == 2


def test_replay_and_discard(database: Database, fresh_merchant: str, command: Command) -> None:
    events = dead_events(database, fresh_merchant, "a", "a", "b")
    mine = ("--merchant", fresh_merchant)
    one = command("dead-letters", "replay", events[0], "--reason", "routed now")
    assert one.code == 0 and one.out.startswith("1 ")
    assert command("dead-letters", "replay", events[0], "--reason", "open still").code == 2
    assert command("dead-letters", "replay", "--type", "a", *mine, "--reason", "mended").out.startswith("1 ")
    assert [letter["event_id"] for letter in lane(command, fresh_merchant)] == [events[2]]
    assert command("dead-letters", "discard", "--all", *mine, "--reason", "not ours").out.startswith("1 ")
    assert lane(command, fresh_merchant) == []
    trace = json.loads(command("dead-letters", "show", events[2], "--json").out)
    assert (trace["state"], trace["attempts"][-1]["detail"]) == ("discarded", "not ours")
    trace = json.loads(command("dead-letters", "show", events[0], "--json").out)
    assert (trace["state"], trace["attempts"][-1]["actor"]) == ("received", operator_of_shell().name)


def test_one_event_that_cannot_be_helped_stops_no_other(
    database: Database, fresh_merchant: str, command: Command
) -> None:
    first, second = dead_events(database, fresh_merchant, "a", "a")
    unknown = new_id("evt")
    ran = command("dead-letters", "discard", first, unknown, second, first, "--reason", "not ours")
    assert ran.code == 2 and unknown in ran.err and "2 others done" in ran.err
    assert lane(command, fresh_merchant) == []


@pytest.mark.parametrize("zone", ["Etc/GMT-12", "Etc/GMT+12"])
def test_dead_before_is_universal_time(
    database: Database, fresh_merchant: str, command: Command, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Wherever the operator sits."""
    dead_events(database, fresh_merchant, "a")
    asked_at = datetime.now(UTC)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for hours, count in ((-1, "0 "), (1, "1 ")):
            before = (asked_at + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")
            filters = ("--merchant", fresh_merchant, "--dead-before", before)
            assert command("dead-letters", "discard", *filters, "--reason", "old").out.startswith(count)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_what_is_meant_must_be_said(command: Command, act: str) -> None:
    assert command("dead-letters", act, "--reason", "neither").code == 2
    assert command("dead-letters", act, new_id("evt"), "--all", "--reason", "both").code == 2
    assert command("dead-letters", act, new_id("evt"), "--reason", "not there").code == 2
    assert command("dead-letters", act, "--all", "--reason", "  ").code == 2
    assert command("dead-letters", act, "--all").code == 2


def test_operators_have_keys_of_their_own(command: Command) -> None:
    made = command("keys", "create", "--operator")
    assert made.code == 0 and made.out.startswith("tsk_operators_")
    assert command("keys", "create").code == 2
    assert command("keys", "create", "--operator", "--merchant", "shop").code == 2
    listed = command("keys", "list", "--merchant", "operators").out
    assert "(operator)" in listed and "│ operators" in listed, "revoke asks for the name that the list shows"


def test_an_event_that_does_not_exist_is_one_line(command: Command) -> None:
    ran = command("dead-letters", "show", "evt_nothing")
    assert (ran.code, ran.err) == (2, "tallystick: there is no event evt_nothing\n")
