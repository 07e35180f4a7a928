"""``late-money``: listed, accepted once, and refused where nothing waits."""

from __future__ import annotations

import asyncio
import json

import pytest

from tallystick.kit.ids import new_id
from tests.support.commands import run_here
from tests.support.database import Database
from tests.support.late_money import late_payment
from tests.support.ports import free_port


def test_list_and_accept(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        ran = run_here(monkeypatch, capsys, "late-money", *arguments, database_url=database.app_url)
        return ran.code, ran.out, ran.err

    payment_id = asyncio.run(late_payment(database, fresh_merchant))
    code, out, _ = run("list", "--merchant", fresh_merchant, "--json")
    assert code == 0
    table = run("list", "--merchant", fresh_merchant)[1]
    assert all(word in table for word in ("1000 EUR", fresh_merchant, "declined", "late-money accept")), table
    assert "accept PAYMENT --reason REASON" in " ".join(table.split()), "a command as it has to be typed"
    [row] = json.loads(out)
    assert (row["payment_id"], row["waiting"], row["currency"]) == (payment_id, 1_000, "EUR")
    words = ("--reason", "ticket 7")
    assert run("accept", payment_id, "--reason", " ")[0] == 2
    code, out, _ = run("accept", payment_id, *words)
    steps = f"payment {payment_id}: late_money_accepted"
    given = f"{steps}\n1000 EUR were given to merchant {fresh_merchant}.\nRecorded as opa_"
    assert code == 0 and out.startswith(given)
    code, _, err = run("return", payment_id, *words)
    assert code == 2 and "has no late money that waits: 1000 EUR accepted for the merchant" in err
    unknown = new_id("pay")
    code, _, err = run("return", unknown, *words)
    assert code == 2 and f"there is no payment {unknown} that ever had late money" in err
    code, out, _ = run("list", "--merchant", fresh_merchant, "--json")
    assert (code, json.loads(out)) == (0, [])


def test_a_return_without_an_answer_says_that_it_goes_on(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    payment_id = asyncio.run(late_payment(database, fresh_merchant))
    returned = ("late-money", "return", payment_id, "--reason", "ticket 7")
    settings = {"database_url": database.app_url, "simulator_url": f"http://127.0.0.1:{free_port()}"}
    ran = run_here(monkeypatch, capsys, *returned, **settings)
    assert ran.code == 0 and "Recovery asks the provider; do not repeat." in ran.out
    again = run_here(monkeypatch, capsys, *returned, **settings)
    assert again.code == 2 and "1000 EUR on its way back to the payer, which recovery finishes" in again.err
