"""``--config`` and ``TALLYSTICK_CONFIG``: beside the environment, which wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.run.supervisor import EXIT_AWAY
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.ports import free_port

Command = Callable[..., Ran]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return lambda *arguments, **settings: run_here(monkeypatch, capsys, *arguments, **settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tallystick.toml"
    path.touch(mode=0o600)
    return path


def nowhere() -> str:
    return f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"


def test_the_file_names_the_database_wherever_it_is_named(database: Database, file: Path, command: Command) -> None:
    file.write_text(f"database_url = '{database.app_url}'\n")
    named = str(file)
    for line in (("--config", named, "keys", "list"), ("keys", "list", f"--config={named}")):
        assert json.loads(command(*line, "--json").out) == []
    assert json.loads(command("keys", "list", "--json", config=named).out) == []


def test_the_environment_wins_and_the_option_before_the_variable(
    database: Database, file: Path, tmp_path: Path, command: Command
) -> None:
    file.write_text(f"database_url = '{nowhere()}'\n")
    assert command("keys", "list", config=str(file)).code == 2
    assert command("keys", "list", config=str(file), database_url=database.app_url).code == 0
    right = tmp_path / "right.toml"
    right.touch(mode=0o600)
    right.write_text(f"database_url = '{database.app_url}'\n")
    assert command("keys", "list", "--config", str(right), config=str(file)).code == 0
    assert command("--config", str(file), "keys", "list", "--config", str(right)).code == 0


def test_a_database_in_the_file_is_one_beside_the_data_directory(file: Path, tmp_path: Path, command: Command) -> None:
    file.write_text(f"database_url = '{nowhere()}'\n")
    ran = command("verify", "--data-dir", str(tmp_path), "--config", str(file))
    assert ran.code == 2 and "--data-dir names the database in it, and TALLYSTICK_DATABASE_URL another one" in ran.err


@pytest.mark.parametrize("line", [["verify"], ["serve"], ["work"], ["bench", "journal"], ["demo", "--once"]])
def test_a_bad_file_is_one_line_and_exit_2(line: list[str], file: Path, command: Command) -> None:
    file.write_text("prot = 1\n")
    ran = command(*line, config=str(file))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"tallystick: {file}:1: prot: unknown setting; is port meant?\n"


def test_what_needs_no_settings_does_not_open_the_file(command: Command) -> None:
    assert command("settings", config="/absent.toml").code == 0
    assert "TALLYSTICK_CONFIG: it is empty" in command("verify", config="").err


def test_a_role_whose_database_is_away_may_start_later_also_with_a_file(file: Path, command: Command) -> None:
    """A program's own options stand before the command's name, by which a supervisor's roles are known."""
    file.write_text(f"database_url = '{nowhere()}'\nworker_health_port = {free_port()}\n")
    assert command("--config", str(file), "work").code == EXIT_AWAY


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_database_that_is_away_is_named_with_host_and_port(host: str, command: Command) -> None:
    ran = command("keys", "list", database_url=f"postgresql://nobody:hunter2@{host}:59/nothing")
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert f"cannot reach the database at {host}:59; nothing was done. Check that it runs" in ran.err
    assert "hunter2" not in ran.err


def test_several_hosts_are_all_named(command: Command) -> None:
    ran = command("keys", "list", database_url="postgresql://nobody@127.0.0.1:59,127.0.0.1:61/nothing")
    assert "cannot reach the database at 127.0.0.1:59, 127.0.0.1:61; nothing was done" in ran.err
