"""The contract, the settings, and how a command says that it cannot run."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tallystick import __version__
from tallystick.contract.document import RECOVERY_SETTINGS, render_contract
from tallystick.contract.webhooks import INBOX_SETTINGS, OUTBOX_SETTINGS
from tallystick.decisions.provider_events.dispositions import DISPOSITIONS
from tallystick.domain.errors import ERRORS
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.lab.acquirer.control_table import CONTROLS
from tallystick.lab.acquirer.scripts import SCRIPTS
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.supervisor import EXIT_AWAY, EXIT_MISCONFIGURED
from tallystick.settings.load import Settings, describe_settings
from tests.support.commands import Ran, run_here, run_process
from tests.support.database import DEEP, Database
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


def test_the_contract_on_disk_is_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "contract")
    assert ran.code == 0
    assert ran.out == (ROOT / "docs" / "reference" / "contract.md").read_text(encoding="utf-8"), (
        "docs/reference/contract.md is out of date: tallystick contract > docs/reference/contract.md"
    )


def test_the_page_of_settings_on_disk_is_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "settings", "--markdown")
    assert ran.code == 0
    assert ran.out == (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8"), (
        "docs/reference/settings.md is out of date: tallystick settings --markdown > docs/reference/settings.md"
    )


def test_the_page_of_numbers_on_disk_is_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "metrics", "--markdown")
    assert ran.code == 0
    assert ran.out == (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8"), (
        "docs/reference/metrics.md is out of date: tallystick metrics --markdown > docs/reference/metrics.md"
    )


def test_the_contract_holds_every_edge_error_and_recovery_setting() -> None:
    contract = render_contract()
    for machine in MACHINES.values():
        for state, event, edge in machine.live_edges():
            assert f"| `{state}` | `{event}` | `{edge.to}` |" in contract
            if edge.told is not None:
                lines = [line for line in contract.splitlines() if line.startswith(f"| `{edge.told}` |")]
                assert any(f"`{machine.name}: {event}`" in line for line in lines)
    for code, kind in ERRORS.items():
        assert f"| `{code}` | {kind.status} |" in contract
    for name in (*RECOVERY_SETTINGS, *INBOX_SETTINGS, *OUTBOX_SETTINGS):
        assert f"`TALLYSTICK_{name.upper()}` | {getattr(Settings(), name) or ''} |" in contract
    for name, meaning in DISPOSITIONS.items():
        assert f"| `{name}` | {meaning} |" in contract


def test_the_contract_shows_the_postings_of_every_event() -> None:
    contract = render_contract()
    posting = {
        f"{machine.name}: {event}"
        for machine in MACHINES.values()
        for _, event, edge in machine.live_edges()
        if edge.posts is not None
    }
    assert {step for step in posting if f"| `{step}` |" not in contract} == set()
    assert len(posting) > 15


def test_the_contract_names_every_script_of_the_test_acquirer() -> None:
    contract = render_contract()
    assert all(f"| `{method}` |" in contract for method in SCRIPTS)


def test_the_contract_has_every_control_of_the_test_acquirer_as_a_call() -> None:
    contract = render_contract()
    assert all(f"| `{control.name}` | {control.does} |" in contract for control in CONTROLS)
    assert all(f"`POST {control.path}`" in contract for control in CONTROLS)


def test_settings_are_all_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_here(monkeypatch, capsys, "settings", "--json")
    rows = msgspec.json.decode(ran.out)
    assert rows == [msgspec.to_builtins(row) for row in describe_settings(CONNECTOR_SETTINGS)]
    assert all(row["unit"] and row["reason"] for row in rows)
    plain = run_here(monkeypatch, capsys, "settings")
    assert all(f"{row['variable']}={row['default']}" in plain.out for row in rows)


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_here(monkeypatch, capsys, "--version")
    assert (ran.code, ran.out.strip()) == (0, __version__)


@pytest.mark.parametrize("command", [["up"], ["serve"], ["work"], ["verify"], ["keys", "list"], ["in-doubt", "list"]])
def test_a_bad_setting_is_one_line_and_exit_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, *command, send_window_ms="soon", no_such_thing="1")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "TALLYSTICK_SEND_WINDOW_MS" in ran.err
    assert "TALLYSTICK_NO_SUCH_THING" in ran.err


@pytest.mark.parametrize("command", [["migrate"], ["verify"], ["keys", "list"]])
def test_an_unreachable_database_is_one_line_and_exit_2(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, *command, database_url=_nowhere())
    _is_one_line(ran)
    assert re.search(r"cannot reach the database at 127\.0\.0\.1:\d+; nothing was done", ran.err)
    assert "TALLYSTICK_DATABASE_URL" in ran.err


#: In processes of their own. In this one ``test_doctor`` starts both roles on both.
AWAY, REFUSED = (["serve", "work"], ["serve", "work"]) if DEEP else (["serve"], ["work"])


@pytest.mark.parametrize("role", AWAY)
def test_a_role_without_its_database_is_one_line_and_may_start_later(role: str) -> None:
    _is_one_line_of_the_log(run_process(role, database_url=_nowhere(), port=str(free_port())), EXIT_AWAY)


@pytest.mark.parametrize("role", REFUSED)
def test_a_role_that_its_database_refuses_does_not_start_later(role: str, database: Database) -> None:
    absent = database.app_url.replace("@/", "@/no_such_", 1)
    _is_one_line_of_the_log(run_process(role, database_url=absent, port=str(free_port())), EXIT_MISCONFIGURED)


def _nowhere() -> str:
    return f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"


def _is_one_line_of_the_log(ran: Ran, code: int) -> None:
    """What a role writes where no terminal is."""
    assert ran.code == code, ran
    assert ran.err.count("\n") == 1
    assert msgspec.json.decode(ran.err)["exit_code"] == code


def _is_one_line(ran: Ran) -> None:
    assert ran.code == EXIT_MISCONFIGURED, ran
    assert ran.err.startswith("tallystick: ")
    assert ran.err.count("\n") == 1


def test_a_host_without_an_address_is_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "verify", database_url="postgresql://nobody@no-such-host.invalid/nothing")
    _is_one_line(ran)
    assert "cannot reach the database" in ran.err


def test_a_database_that_refuses_is_not_away(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = database.app_url.replace("@/", "@/no_such_", 1)
    ran = run_here(monkeypatch, capsys, "verify", database_url=absent)
    _is_one_line(ran)
    assert "the database refused: " in ran.err and "no_such_" in ran.err


def test_a_commit_whose_completion_is_unknown_is_no_refusal(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def connect(*_: object, **__: object) -> None:
        raise asyncpg.StatementCompletionUnknownError("the primary was lost")

    monkeypatch.setattr("tallystick.cli.verify.connect", connect)
    ran = run_here(monkeypatch, capsys, "verify", database_url=database.app_url)
    _is_one_line(ran)
    assert "does not know whether it has committed" in ran.err


def test_a_migration_by_the_wrong_role_says_which_is_right(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "migrate", database_url=database.app_url)
    _is_one_line(ran)
    assert "the owner, in TALLYSTICK_MIGRATION_DATABASE_URL" in ran.err


def test_asking_about_a_database_does_not_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(monkeypatch, capsys, "verify", "--data-dir", str(tmp_path / "typo"))
    assert ran.code == 2
    assert "there is no database in" in ran.err
    assert not (tmp_path / "typo").exists()
