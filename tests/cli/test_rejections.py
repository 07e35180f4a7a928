"""``rejections``, ``acts``, ``providers`` and ``release``: who acts is known by credentials, and acts are done once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tallystick.access.api_key import parse_key
from tallystick.access.key_store import OPERATORS, create_key, revoke_key
from tallystick.access.operator import operator_of_shell
from tallystick.domain.api_keys import declaration
from tallystick.kit.ids import new_id
from tests.support.acts import colleague_in
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.late_money import late_payment

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on the test database."""
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, database_url=database.app_url, **settings
    )


async def colleague(database: Database, merchant: str) -> str:
    """An enabled operator of this merchant."""
    async with asyncpg.create_pool(database.app_url, min_size=1, max_size=1) as pool:
        return await colleague_in(pool, merchant)


def document(ran: Ran) -> Any:
    assert ran.code in (0, 1), ran
    return json.loads(ran.out)


def case_of(command: Command, merchant: str) -> dict[str, Any]:
    [case] = document(command("rejections", "list", "--merchant", merchant, "--json"))
    return dict(case)


def test_a_case_is_shown_taken_handed_on_and_ignored(database: Database, fresh_merchant: str, command: Command) -> None:
    payment_id = asyncio.run(late_payment(database, fresh_merchant))
    case = case_of(command, fresh_merchant)
    listed = command("rejections", "list", "--merchant", fresh_merchant)
    assert listed.code == 0 and case["id"] in listed.out and "nobody" in listed.out
    shown = command("rejections", "show", case["id"])
    assert payment_id in shown.out and "late" in shown.out
    evidence = shown.out.partition("evidence")[2]
    assert evidence.count("\n") > 3, "one member a line"
    assert "wait" in command("rejections", "groups").out
    taken = command("rejections", "acknowledge", case["id"], "--reason", "mine")
    assert f"{operator_of_shell().name} has it." in taken.out
    assert case_of(command, fresh_merchant)["owner"] == operator_of_shell().name
    nobody = command("rejections", "escalate", case["id"], "--to", "treasury", "--reason", "not mine")
    assert nobody.code == 2 and "owner_unknown" in nobody.err
    grace = asyncio.run(colleague(database, fresh_merchant))
    on = command("rejections", "escalate", case["id"], "--to", grace, "--reason", "not mine")
    assert f"operator:{grace} has it." in on.out
    back = command("rejections", "give-back", case["id"], "--reason", "she is away")
    assert "Nobody has it." in back.out and case_of(command, fresh_merchant)["owner"] is None
    ignored = command("rejections", "ignore", case["id"], "--reason", "settled by telephone")
    assert "The case is resolved." in ignored.out
    assert command("rejections", "ignore", case["id"], "--reason", "again").code == 2
    assert document(command("rejections", "list", "--merchant", fresh_merchant, "--json")) == []
    steps = document(command("rejections", "show", case["id"], "--json"))["steps"]
    assert [step["event"] for step in steps] == ["reject", "acknowledge", "escalate", "give_back", "ignore"]


def test_other_work_is_taken_handed_on_and_given_back(
    database: Database, fresh_merchant: str, command: Command
) -> None:
    payment_id = asyncio.run(late_payment(database, fresh_merchant))
    taken = document(command("late-money", "take", payment_id, "--reason", "mine", "--json"))
    assert taken["owner"] == operator_of_shell().name
    grace = asyncio.run(colleague(database, fresh_merchant))
    on = command("late-money", "hand-on", payment_id, "--to", f"operator:{grace}", "--reason", "she knows the shop")
    assert f"operator:{grace} has it." in on.out
    refused = command("late-money", "take", payment_id, "--reason", "mine again")
    assert refused.code == 2 and f"operator:{grace} has it" in refused.err
    assert "Nobody has it." in command("late-money", "give-back", payment_id, "--reason", "done").out
    assert command("late-money", "give-back", payment_id, "--reason", "twice").code == 2


def test_the_same_act_is_done_once(database: Database, fresh_merchant: str, command: Command) -> None:
    asyncio.run(late_payment(database, fresh_merchant))
    case, key = case_of(command, fresh_merchant)["id"], new_id("req")
    act = ("rejections", "ignore", case, "--reason", "ticket 7", "--idempotency-key", key)
    first, second = document(command(*act, "--json")), document(command(*act, "--json"))
    assert (first["act"]["repeated"], second["act"]["repeated"]) == (False, True)
    assert first["act"]["id"] == second["act"]["id"] and first["case"] == second["case"]
    assert "This was done before" in command(*act).out
    other = command("acts", "annotate", case, "--reason", "ticket 7", "--idempotency-key", key)
    assert other.code == 2 and "another act" in other.err
    shown = document(command("acts", "show", first["act"]["id"], "--json"))
    assert (shown["operator"], shown["act"], shown["target"]) == (operator_of_shell().name, "case.ignore", case)
    listed = document(command("acts", "list", "--target", case, "--json"))
    assert [each["id"] for each in listed] == [first["act"]["id"]]


def test_who_acts_is_known_by_a_key(database: Database, fresh_merchant: str, command: Command) -> None:
    def key_of(*declared: Any, merchant: str = OPERATORS, operator: bool = True) -> str:
        return asyncio.run(
            create_key(database.app_url, merchant, operator=operator, declared=declaration("human", *declared))
        )

    target, whole = new_id("pay"), key_of()
    note = ("acts", "annotate", target, "--reason", "seen", "--json")
    parsed = parse_key(whole)
    assert parsed is not None
    done = document(command(*note, operator_key=whole))
    assert done["act"]["operator"] == f"key:{parsed.key_id}"
    for wrong, why in (
        (key_of(["acts:read"]), "lacks the scope acts:write"),
        (key_of(merchant=fresh_merchant, operator=False), "merchant's key"),
        (whole[:-1] + ("a" if whole[-1] != "a" else "b"), "no valid API key"),
        ("nonsense", "no valid API key"),
    ):
        refused = command(*note, operator_key=wrong)
        assert refused.code == 2 and why in refused.err and wrong not in refused.err
    asyncio.run(revoke_key(database.app_url, OPERATORS, parsed.key_id))
    assert command(*note, operator_key=whole).code == 2
    assert len(document(command("acts", "list", "--target", target, "--json"))) == 1


@pytest.mark.parametrize(
    "reason", ["", " ", "x" * 501, "card 4242424242424242", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
)
def test_reasons_that_are_refused(database: Database, fresh_merchant: str, command: Command, reason: str) -> None:
    asyncio.run(late_payment(database, fresh_merchant))
    case = case_of(command, fresh_merchant)["id"]
    ran = command("rejections", "ignore", case, "--reason", reason)
    assert ran.code == 2 and (not reason.strip() or reason not in ran.err)
    assert case_of(command, fresh_merchant)["state"] == "open"
    assert document(command("acts", "list", "--target", case, "--json")) == []


def test_malformed_arguments(command: Command) -> None:
    for wrong in (
        ("rejections", "show", "case_1"),
        ("rejections", "list", "--state", "closed"),
        ("rejections", "list", "--category", "odd"),
        ("rejections", "ignore", new_id("case"), "--reason", "r", "--idempotency-key", "a, b"),
        ("acts", "list", "--act", "sing"),
        ("acts", "annotate", "everything", "--reason", "r"),
        ("providers", "pause", "nobody", "--reason", "r"),
        ("providers", "pause", "simulator", "--for", "2 days", "--reason", "r"),
        ("release", "mark", "a b"),
    ):
        assert command(*wrong).code == 2, wrong


def test_releases_and_pauses(fresh_merchant: str, command: Command) -> None:
    name, account = f"1.0-{fresh_merchant}", f"acct-{fresh_merchant}"
    first = command("release", "mark", name)
    assert f"Release {name} is marked." in first.out and "Recorded as opa_" in first.out
    again = command("release", "mark", name, "--reason", "somebody else says so too")
    assert again.code == 0 and f"Release {name} was marked before, at " in again.out and "one point" in again.out
    assert [each["version"] for each in document(command("release", "list", "--json"))].count(name) == 1
    pause = ("providers", "pause", "simulator", "--account", account, "--reason", "audit")
    paused = command(*pause, "--for", "10m").out
    assert re.search(r"gets no calls until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.\nRecorded as opa_", paused)
    until = re.findall(r"until (\S+ \S+) UTC", paused)[0]
    assert account in command("providers", "list").out and until in command("providers", "list").out
    assert "gets no calls until it is resumed." in command(*pause).out
    resume = ("providers", "resume", "simulator", "--account", account, "--reason", "done")
    assert "gets calls again" in command(*resume).out
    assert account not in command("providers", "list").out
