"""``verify`` and the in-doubt lane, on payments made by the real core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import INVARIANTS
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.in_doubt import PATIENT, in_lane
from tests.support.ports import free_port
from tests.support.runtime import BookedProvider, Client, read, runtime_of

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on the test database."""
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, database_url=database.app_url, **settings
    )


def _paid(database: Database, merchant: str) -> str:
    """A captured payment of the merchant; its id."""

    async def pay() -> str:
        async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT) as runtime:
            return str(read(await Client(runtime, merchant).create("paid"))["id"])

    return asyncio.run(pay())


def _replay(database: Database, merchant: str) -> dict[str, Any]:
    async def again() -> dict[str, Any]:
        async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT) as runtime:
            reply = await Client(runtime, merchant).create("doubtful")
            return read(reply) | {"status": reply.status, "replayed": reply.replayed}

    return asyncio.run(again())


def _by_hand(database: Database, statement: str, *values: object) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(database.owner_url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    asyncio.run(execute())


def test_verify_exits_0_where_everything_holds_and_1_where_something_does_not(
    command: Command, database: Database, fresh_merchant: str
) -> None:
    payment_id = _paid(database, fresh_merchant)
    held = command("verify", "--merchant", fresh_merchant)
    assert held.code == 0, held
    as_json = msgspec.json.decode(command("verify", "--merchant", fresh_merchant, "--json").out)
    assert as_json["holds"] is True and as_json["checked"]["payments"] == 1
    assert {row["name"] for row in as_json["invariants"]} == {invariant.name for invariant in INVARIANTS}

    _by_hand(database, "UPDATE payment SET amount_captured = 1 WHERE payment_id = $1", payment_id)
    broken = command("verify", "--merchant", fresh_merchant)
    assert broken.code == 1 and payment_id in broken.out
    ran = command("verify", "--merchant", fresh_merchant, "--json")
    assert ran.code == 1
    assert payment_id in {violation["subject_id"] for violation in msgspec.json.decode(ran.out)["violations"]}
    _by_hand(database, "UPDATE payment SET amount_captured = amount WHERE payment_id = $1", payment_id)


def test_books_that_cannot_be_read_hide_no_finding(command: Command, database: Database, fresh_merchant: str) -> None:
    _paid(database, fresh_merchant)
    asked = ("verify", "--provider", "simulator", "--merchant", fresh_merchant)
    nowhere = f"http://127.0.0.1:{free_port()}"
    ran = command(*asked, simulator_url=nowhere)
    assert ran.code == 2 and "The record" in ran.out, ran
    assert ran.err.splitlines()[-1].startswith("tallystick: the books of simulator could not be read")
    ran = command(*asked, "--json", simulator_url=nowhere)
    assert (ran.code, ran.out) == (2, ""), "half a report is none for a program"


def test_a_parked_attempt_is_listed_shown_and_settled_as_executed(
    command: Command, database: Database, fresh_merchant: str
) -> None:
    payment_id, attempt_id = in_lane(database, fresh_merchant)
    assert _replay(database, fresh_merchant)["status"] == 202

    listed = command("in-doubt", "list", "--merchant", fresh_merchant, "--json", in_doubt_owner="night-shift")
    (row,) = msgspec.json.decode(listed.out)
    assert (listed.code, row["attempt_id"], row["payment_id"]) == (0, attempt_id, payment_id)
    assert (row["owner"], row["overdue"], row["key_taken"]) == ("night-shift", False, False)
    overdue = command("in-doubt", "list", "--merchant", fresh_merchant, "--json", in_doubt_alarm_age_ms="0")
    assert overdue.code == 1, "what waits for too long makes the command fail, so that a cron job can watch the lane"

    shown = msgspec.json.decode(command("in-doubt", "show", attempt_id).out)
    assert shown["parked"] is True and shown["payment"]["payment_id"] == payment_id
    assert [step["to_state"] for step in shown["history"]] == ["submitted", "unknown", "unknown"]

    words = ("--evidence", "statement line 7", "--reason", "provider confirmed by phone")
    unnamed = command("in-doubt", "resolve", attempt_id, "--outcome", "executed", *words)
    assert unnamed.code == 2 and "--reference" in unnamed.err, "the payment could be neither captured nor refunded"
    assert _replay(database, fresh_merchant)["status"] == 202, "and nothing was settled"
    named = (*words, "--reference", "ch_7")
    settled = command("in-doubt", "resolve", attempt_id, "--outcome", "executed", *named)
    assert settled.code == 0 and "unknown → approved" in settled.out
    assert "The payment is captured: authorized 1000, captured 1000, refunded 0 EUR." in settled.out
    answer = _replay(database, fresh_merchant)
    assert (answer["status"], answer["replayed"], answer["state"]) == (201, True, "captured")

    last = msgspec.json.decode(command("in-doubt", "show", attempt_id).out)["history"][-1]
    assert last["actor"] == operator_of_shell().name
    assert "statement line 7" in last["evidence"] and "provider confirmed by phone" in last["evidence"]
    assert command("in-doubt", "list", "--merchant", fresh_merchant).out.startswith("No attempts in doubt")
    again = command("in-doubt", "resolve", attempt_id, "--outcome", "not_executed", *words)
    assert again.code == 2 and "not in the in-doubt list" in again.err
    assert command("verify", "--merchant", fresh_merchant).code == 0


@pytest.mark.parametrize(("outcome", "state"), [("declined", "declined"), ("not_executed", "failed")])
def test_a_parked_attempt_is_settled_as_not_charged(
    command: Command, database: Database, fresh_merchant: str, outcome: str, state: str
) -> None:
    _, attempt_id = in_lane(database, fresh_merchant)
    words = ("--evidence", "not on the statement", "--reason", "month end")
    assert command("in-doubt", "resolve", attempt_id, "--outcome", outcome, *words).code == 0
    answer = _replay(database, fresh_merchant)
    assert (answer["status"], answer["replayed"], answer["state"]) == (201, True, state)
    assert command("verify", "--merchant", fresh_merchant).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--outcome", "maybe", "--evidence", "x", "--reason", "x"),
        ("--outcome", "executed", "--evidence", " ", "--reason", "x"),
        ("--outcome", "executed", "--evidence", "x"),
    ],
)
def test_a_word_without_evidence_actor_or_reason_settles_nothing(command: Command, arguments: tuple[str, ...]) -> None:
    assert command("in-doubt", "resolve", new_id("att"), *arguments).code == 2


def test_an_attempt_that_does_not_exist_is_one_line_and_exit_2(command: Command) -> None:
    ran = command("in-doubt", "show", new_id("att"))
    assert ran.code == 2 and ran.err.startswith("tallystick: there is no attempt")
