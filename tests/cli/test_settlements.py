"""The commands on a real database: imported, listed, shown, withdrawn; and the published form of a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from tallystick.cli.context import console
from tallystick.domain.settlement_row import SettlementRow
from tallystick.domain.settlement_views import evidence_schema, row_schema, row_view
from tallystick.kit.ids import new_id
from tests.support.bank_statements import camt053
from tests.support.commands import Ran, run_here
from tests.support.database import Database, NewDatabase
from tests.support.settlement_files import expected_of, golden_file, golden_names, options_of, read_bytes

Command = Callable[..., Ran]


@pytest.mark.parametrize("name", golden_names())
def test_rows_are_as_the_published_schema_says(name: str) -> None:
    validator = jsonschema_rs.validator_for(row_schema())
    wanted = expected_of(name)["format"]
    for item in read_bytes(golden_file(name).read_bytes(), options_of(name), wanted):
        if isinstance(item, SettlementRow):
            item.position = 1
            document = json.loads(msgspec.json.encode(row_view(item)))
            assert validator.is_valid(document), [str(each) for each in validator.iter_errors(document)]


def test_the_schema_refuses_what_is_no_row() -> None:
    validator = jsonschema_rs.validator_for(row_schema())
    item = next(iter(read_bytes(golden_file("simulator").read_bytes())))
    assert isinstance(item, SettlementRow)
    item.position = 1
    document = json.loads(msgspec.json.encode(row_view(item)))
    for name, wrong in (("net", "9.70"), ("kind", "riddle"), ("currency", "EURO"), ("row_key", "")):
        assert not validator.is_valid({**document, name: wrong}), name
    del document["gross"]
    assert not validator.is_valid(document)


@pytest.fixture
def command(new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on a database of this test alone."""
    database: Database = new_database()
    monkeypatch.setattr(console, "width", 400)  # sentences in one piece
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, database_url=database.app_url, **settings
    )


def document(ran: Ran) -> Any:
    assert ran.code in (0, 1), ran
    return json.loads(ran.out)


def test_a_file_is_imported_listed_shown_and_withdrawn(command: Command) -> None:
    golden = str(golden_file("simulator"))
    ran = command("settlements", "import", golden)
    assert ran.code == 0 and "6 rows" in ran.out and "balanced" in ran.out, ran
    again = command("settlements", "import", golden, "--format", "simulator")
    assert again.code == 0 and "already imported" in again.out
    [listed] = document(command("settlements", "list", "--provider", "simulator", "--json"))
    assert (listed["state"], listed["rows"], listed["actor"][:6]) == ("imported", 6, "shell:")
    assert listed["id"] in command("settlements", "list").out
    shown = document(command("settlements", "show", listed["id"], "--json"))
    assert [(each["batch"], each["state"]) for each in shown["batches"]] == [("b_1", "balanced")]
    assert "b_1" in command("settlements", "show", listed["id"]).out
    done = document(command("settlements", "withdraw", listed["id"], "--reason", "a wrong account", "--json"))
    assert done["settlement_file"] == listed["id"]
    [listed] = document(command("settlements", "list", "--json"))
    assert (listed["state"], listed["detail"]) == ("withdrawn", "a wrong account")
    assert command("settlements", "list", "--state", "imported").out == "No settlement file.\n"
    assert command("settlements", "show", new_id("stl")).code == 2


def test_several_files_are_imported_and_what_is_wrong_is_said_of_each(command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("not a settlement file\n")
    names = [str(golden_file("stripe_payout_reconciliation")), str(other), str(tmp_path / "none"), str(tmp_path)]
    ran = command("settlements", "import", *names)
    assert ran.code == 1
    assert "line 11: too_fine" in ran.out and "other.txt: not imported: no format knows it" in ran.out
    assert "none: not imported: No such file" in ran.out
    found = document(command("settlements", "import", *names, "--json"))
    assert [each.get("refused") or each["already_imported"] for each in found] == [
        True,
        "format_unknown",
        "unreadable",
        "unreadable",
    ]


def test_accounts_say_how_their_files_are_read(command: Command, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(
        '[[account]]\nprovider = "adyen"\naccount = "eu"\nzone = "Europe/Amsterdam"\n'
        '[[account]]\nprovider = "psp"\naccount = "main"\nformat = "generic_csv"\nmapping = "mapping.toml"\n'
    )
    (tmp_path / "mapping.toml").write_text(
        'decimal_mark = ","\nthousands_mark = "."\ndate_format = "%d.%m.%Y"\n'
        '[columns]\nbooked_at = "Datum"\ntype = "Art"\ngross = "Betrag"\ncurrency = "Währung"\nid = "Beleg"\n'
        '[kinds]\nZahlung = "charge"\n'
    )
    adyen, mapped = str(golden_file("adyen_settlement_details")), str(golden_file("generic_csv"))
    assert "the account needs a zone" in command("settlements", "import", adyen).out
    settings = {"settlement_accounts": str(accounts)}
    assert command("settlements", "import", adyen, "--account", "eu", **settings).code == 0
    ran = command("settlements", "import", mapped, "--provider", "psp", **settings)
    assert "4 rows" in ran.out and "line 6: not_an_amount" in ran.out, ran
    ran = command("settlements", "import", mapped, "--provider", "other", "--format", "generic_csv", **settings)
    assert "needs a mapping file" in ran.out


def test_a_banks_balance_is_explained(command: Command, tmp_path: Path) -> None:
    """The first statement opens with 5.00, and nothing explains its entry of 10.00."""
    assert "Neither files nor postings of bank" in command("reconciliation", "explain", "bank").out
    (tmp_path / "day.xml").write_text(camt053([(1_000, "somebody")], 500))
    assert command("settlements", "import", str(tmp_path / "day.xml"), "--provider", "bank").code == 0
    assert command("reconciliation", "run").code == 0
    ran = command("reconciliation", "explain", "bank")
    assert ran.code == 0 and "stated_balance: bank:main, EUR" in ran.out and "before_first" in ran.out, ran
    said = json.loads(command("reconciliation", "explain", "bank", "--json").out)
    assert said["differences"] == [] and {each["layer"] for each in said["layers"]} == {"stated_balance", "entries"}
    assert [(each["theirs"], each["ours"]) for each in said["layers"]] == [(1_500, 1_000), (1_000, 0)]
    assert all(each["unexplained_remainder"] == 0 for each in said["layers"])


def test_a_file_shows_whether_its_payout_is_at_the_bank(command: Command, tmp_path: Path) -> None:
    """Sent on 3 March 2026, and long overdue by its account's calendar; then the bank's statement has it."""
    command("settlements", "import", str(golden_file("simulator")))
    [listed] = document(command("settlements", "list", "--json"))
    due = {"settlement_due": "simulator/main=target-v1+2"}

    def at_bank() -> dict[str, Any]:
        [batch] = document(command("settlements", "show", listed["id"], "--json", **due))["batches"]
        found: dict[str, Any] = batch["at_bank"]
        return found

    assert at_bank() == {"state": "overdue", "sent": 965, "arrived": 0, "entries": 0, "due": "2026-03-06T00:00:00Z"}
    shown = command("settlements", "show", listed["id"])
    assert "at the bank: expected, 0.00 of 9.65 EUR arrived" in shown.out, "no calendar, so nothing is overdue"
    (tmp_path / "day.xml").write_text(camt053([(965, "payout po_1")], 0))
    assert command("settlements", "import", str(tmp_path / "day.xml"), "--provider", "bank").code == 0
    assert command("reconciliation", "run").code == 0
    assert at_bank() == {"state": "matched", "sent": 965, "arrived": 965, "entries": 1, "due": None}


def test_a_report_shows_what_its_rows_came_to(command: Command) -> None:
    """Its payments are not in this record: both rows are nobody's."""
    golden = str(golden_file("adyen_accounting"))
    assert command("settlements", "import", golden, "--zone", "Europe/Amsterdam").code == 0
    [listed] = document(command("settlements", "list", "--json"))
    assert document(command("settlements", "show", listed["id"], "--json"))["report"] is None, "not compared yet"
    assert command("reconciliation", "run").code == 0
    report = document(command("settlements", "show", listed["id"], "--json"))["report"]
    assert report["counts"] == [{"status": "unexplained", "reason": "not_in_record", "rows": 2}]
    assert [(each["line"], each["kind"], each["gross"]) for each in report["exceptions"]] == [
        (4, "charge", 500),
        (5, "dispute", -100),
    ]
    shown = command("settlements", "show", listed["id"]).out
    assert "unexplained: not_in_record" in shown and "line 5: unexplained: not_in_record: dispute -1.00 EUR" in shown


def test_the_schema_is_printed_without_a_database(command: Command) -> None:
    ran = command("settlements", "schema")
    assert ran.code == 0 and json.loads(ran.out) == json.loads(json.dumps(row_schema()))
    ran = command("settlements", "schema", "--evidence")
    assert ran.code == 0 and json.loads(ran.out) == json.loads(json.dumps(evidence_schema()))
