"""``disputes``: unknown amounts are listed, named by ``verify``, and stated once, whoever is quicker."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.decisions.stated_amounts import NotStateable
from tallystick.flows.operations.disputed_money import state
from tallystick.oversight.invariants import verify
from tests.support.commands import run_here
from tests.support.database import Database, NewDatabase
from tests.support.disputes import lost_with_unknown_amount
from tests.support.inbox import WEBHOOK_SETTINGS
from tests.support.runtime import BookedProvider, runtime_of


async def violations(database: Database, merchant_id: str) -> list[str]:
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=WEBHOOK_SETTINGS, merchant_id=merchant_id)
    finally:
        await connection.close()
    return [f"{each.invariant}: {each.detail}" for each in report.violations]


def test_list_and_state(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        ran = run_here(monkeypatch, capsys, "disputes", *arguments, database_url=database.app_url)
        return ran.code, ran.out, ran.err

    dispute_id = asyncio.run(lost_with_unknown_amount(database, fresh_merchant))
    [named] = asyncio.run(violations(database, fresh_merchant))
    assert named == "disputed_money_is_known: 12 GBP returned (txn_1): what that is in EUR is not known"
    code, out, _ = run("unknown-amounts", "--merchant", fresh_merchant, "--json")
    [row] = json.loads(out)
    assert (code, row["dispute_id"], row["movement"], row["most"]) == (0, dispute_id, "txn_1", 1_000)
    assert "12 GBP returned (txn_1)" in run("unknown-amounts", "--merchant", fresh_merchant)[1]
    said = ("state-amount", dispute_id, "--movement", "txn_1", "--amount")
    words = ("--reason", "their statement")
    assert run(*said, "15", "--reason", " ")[0] == 2
    assert run(*said, "0", *words)[0] == 2
    code, _, err = run(*said, "1001", *words)
    assert code == 2 and "1000 EUR remain of the dispute" in err
    code, out, _ = run(*said, "15", *words)
    assert code == 0 and out.splitlines()[0] == f"dispute {dispute_id}: late_movement"
    code, _, err = run(*said, "15", *words)
    assert code == 2 and "is known: 15 EUR" in err
    assert asyncio.run(violations(database, fresh_merchant)) == []
    assert json.loads(run("unknown-amounts", "--merchant", fresh_merchant, "--json")[1]) == []
    asyncio.run(_kept(database, dispute_id))


async def _kept(database: Database, dispute_id: str) -> None:
    connection = await asyncpg.connect(database.owner_url)
    try:
        row = await connection.fetchrow(
            "SELECT actor, cause, evidence FROM history WHERE subject_id = $1 ORDER BY version DESC LIMIT 1",
            dispute_id,
        )
    finally:
        await connection.close()
    assert row is not None and (row["actor"], row["cause"]) == (operator_of_shell().name, "operator")
    evidence = {"operator": {"reason": "their statement", "movement": "txn_1", "amount": 15}}
    assert json.loads(row["evidence"]) == evidence


async def test_two_operators_state_it_once(database: Database, fresh_merchant: str) -> None:
    dispute_id = await lost_with_unknown_amount(database, fresh_merchant)
    async with runtime_of(database.app_url, BookedProvider(), settings=WEBHOOK_SETTINGS) as runtime:
        acts = [state(runtime, dispute_id, "txn_1", 15, actor=f"op-{n}", reason="ticket 7") for n in range(5)]
        done = await asyncio.gather(*acts, return_exceptions=True)
        assert sum(isinstance(each, NotStateable) for each in done) == 4
        with pytest.raises(NotStateable, match="no dispute dp_none"):
            await state(runtime, "dp_none", "txn_1", 15, actor="kim", reason="ticket 7")
    assert await violations(database, fresh_merchant) == []


def test_above_an_amount_it_asks_for_other_people(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database()
    dispute_id = asyncio.run(lost_with_unknown_amount(database, fresh_merchant))

    def run(*arguments: str) -> tuple[int, str, str]:
        settings = {"database_url": database.app_url, "second_person_above": "EUR=14"}
        ran = run_here(monkeypatch, capsys, *arguments, **settings)
        return ran.code, ran.out, ran.err

    said = ("disputes", "state-amount", dispute_id, "--movement", "txn_1", "--amount", "15", "--reason", "statement")
    code, _, err = run(*said)
    assert code == 2 and "2 other people would have to approve this, and 0 could" in err
    for name in ("ada", "bob"):
        assert run("operators", "add", name, "--role", "operator", "--reason", "first two")[0] == 0
    code, _, err = run(*said)
    assert code == 2 and "2 people have to approve it: tallystick operators approve apr_" in " ".join(err.split())
    assert json.loads(run("disputes", "unknown-amounts", "--json")[1]), "nothing was stated"
