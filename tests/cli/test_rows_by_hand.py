"""``reconciliation match`` and ``write-off`` on a real database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick.cli.context import console
from tallystick.kit.ids import new_id
from tests.support.commands import Ran, run_here
from tests.support.database import NewDatabase
from tests.support.settlement_days import Acquirer


def test_a_row_is_listed_and_written_off_once(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = new_database()
    monkeypatch.setattr(console, "width", 400)  # sentences in one piece

    def command(*arguments: str, **settings: str) -> Ran:
        return run_here(monkeypatch, capsys, *arguments, database_url=database.app_url, **settings)

    file = Acquirer()
    file.row("riddle", 77)
    written = tmp_path / "day.csv"
    written.write_text(file.text())
    assert command("settlements", "import", str(written)).code == 0
    assert command("reconciliation", "run").code == 0
    [row] = json.loads(command("reconciliation", "open", "simulator", "--json").out)["rows"]
    of_row = (row["file_id"], str(row["position"]))
    refused = command("reconciliation", "match", *of_row, new_id("pay"), "--reason", "r")
    assert refused.code != 0 and "no free posting" in refused.out + refused.err
    act = ("reconciliation", "write-off", *of_row, "--reason", "nobody knows", "--idempotency-key", "k-1")
    done = command(*act)
    assert done.code == 0 and "0.77 EUR is written off." in done.out, done
    again = command(*act)
    assert again.code == 0 and "This was done before" in again.out
    left = json.loads(command("reconciliation", "open", "simulator", "--json").out)
    assert left["rows"] == [] and [each["state"] for each in left["states"]] == ["explained"]
    explained = command("reconciliation", "explain", "simulator")
    assert explained.code == 0 and "explained: person" in explained.out
