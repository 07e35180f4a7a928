"""``--data-dir`` beside a database URL: two databases are named, and a command must not choose one in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tallystick.cli.command import app
from tallystick.cli.context import settings_from, settings_on_own_or_new_database
from tallystick.kit.ids import new_id
from tallystick.settings.load import SettingsError
from tests.support.commands import run_here

URL = "postgresql://nobody@db.invalid/elsewhere"

#: Required arguments whose type alone does not say what is well-formed.
WELL_FORMED = {
    "key": "00000000",
    "since": "2026-01-01",
    "from_head": "1",
    "amount": "1",
    "provider": "stripe",
    "outcome": "executed",
    "payment": new_id("pay"),
    "refund": new_id("re"),
    "dispute": new_id("dp"),
    "event": new_id("evt"),
    "endpoint": new_id("we"),
    "case": new_id("case"),
    "act": new_id("opa"),
    "alert": new_id("alr"),
    "request": new_id("apr"),
    "role": "viewer",
    "file": new_id("stl"),
    "group": "1",
    "head": "1",
    "schedule": __file__,
    "row": "1",
    "subject": new_id("pay"),
}

#: Of each list: the id of one of its rows.
ITEMS = {
    "dead-letters": new_id("evt"),
    "in-doubt": new_id("att"),
    "late-money": new_id("pay"),
    "webhook-refusals": new_id("wrf"),
    "alerts": new_id("alr"),
    "rejections": new_id("case"),
}

#: Words that are not required one by one, but of which a command needs some.
SOME: dict[tuple[str, ...], tuple[str, ...]] = {
    ("keys", "create"): ("--operator",),
    ("dead-letters", "replay"): ("evt_x",),
    ("dead-letters", "discard"): ("evt_x",),
    ("webhooks", "resend"): ("--since", "2026-01-01"),
}


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with a ``--data-dir``, with the path to it."""
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))
    elif any("--data-dir" in parameter.opts for parameter in command.params):
        yield path, command


COMMANDS = dict(commands(typer.main.get_command(app), ()))


def required(path: tuple[str, ...]) -> Iterator[str]:
    """Values for all that the command needs."""
    command = COMMANDS[path]
    for parameter in command.params:
        if parameter.required and "--data-dir" not in parameter.opts:
            option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            known = "x" if option else ITEMS.get(path[0], "x")
            yield from (*option, WELL_FORMED.get(parameter.name, known))


def test_there_are_many_such_commands() -> None:
    assert {("up",), ("serve",), ("migrate",), ("verify",), ("demo",), ("bench", "fill"), ("keys", "list")} < set(
        COMMANDS
    )


@pytest.mark.parametrize("variable", ["database_url", "migration_database_url"])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_two_databases_are_refused(
    path: tuple[str, ...],
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (*path, *required(path), *SOME.get(path, ()), "--data-dir", str(tmp_path / "d"))
    ran = run_here(monkeypatch, capsys, *words, **{variable: URL})
    assert ran.code == 2, ran
    assert ran.err.startswith("tallystick: --data-dir names the database in it, and TALLYSTICK_"), ran
    assert "db.invalid" not in ran.err
    assert not (tmp_path / "d").exists()


def test_the_case_of_a_variable_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_Database_Url", URL)
    with pytest.raises(SettingsError, match="TALLYSTICK_DATABASE_URL"):
        settings_from(tmp_path)


def test_a_directory_in_the_environment_goes_with_a_database_of_your_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the sealing key and the first API key."""
    monkeypatch.setenv("TALLYSTICK_DATABASE_URL", URL)
    monkeypatch.setenv("TALLYSTICK_DATA_DIR", str(tmp_path))
    settings = settings_from()
    assert (settings.database_url, settings.data_dir) == (URL, str(tmp_path))


def test_a_command_that_makes_a_database_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration without a directory."""
    monkeypatch.setenv("TALLYSTICK_MIGRATION_DATABASE_URL", URL)  # of no use without the other one
    monkeypatch.setenv("TALLYSTICK_DATA_DIR", str(tmp_path / "of-up"))
    settings = settings_on_own_or_new_database(tmp_path)
    assert (settings.database_url, settings.migration_database_url) == (None, None)
    assert settings.data_dir == str(tmp_path)
    monkeypatch.setenv("TALLYSTICK_DATABASE_URL", URL)
    settings = settings_on_own_or_new_database(tmp_path)
    assert (settings.database_url, settings.migration_database_url) == (URL, URL)
    assert settings.data_dir == str(tmp_path / "of-up"), "it may have the sealing key of what is in the database"
    monkeypatch.delenv("TALLYSTICK_DATA_DIR")
    assert settings_on_own_or_new_database(tmp_path).data_dir == str(tmp_path)
