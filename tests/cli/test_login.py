"""``login``: commands act as who signed in, until the session is over; and the file that it is kept in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.access.roles import Role
from tallystick.cli.session_file import session_file
from tallystick.kit.ids import new_id
from tests.support.api import SEALING_KEY
from tests.support.commands import Ran, run_here
from tests.support.console import PASSWORD, InsideConsole, code_now, inside_console
from tests.support.database import DEEP, Database, NewDatabase
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import Acquirer, settled

#: What a person who may not do it is told, before anything is looked at.
_OVER = "your session is over"


class Terminal(NamedTuple):
    """Somebody's command line on one database."""

    database: Database
    run: Callable[..., Ran]
    typed: dict[str, str]

    def sign_in(self, name: str = "ada", *, steps: int = 0, password: str = PASSWORD) -> Ran:
        """``login``. A code is used once: a later sign-in gives a later one."""
        self.typed.update({"Password": password, "Code": code_now(steps=steps)})
        return self.run("login", name)

    def note(self) -> tuple[int, str]:
        """Act: how it ended, and as whom; or what was said."""
        ran = self.run("acts", "annotate", new_id("pay"), "--reason", "looked at it", "--json")
        return (0, json.loads(ran.out)["act"]["operator"]) if ran.code == 0 else (ran.code, ran.err)

    def sql(self, statement: str) -> None:
        """As the database's owner."""
        self.asked(statement)

    def asked(self, statement: str) -> list[Any]:
        """The first column of what it returns, as the database's owner."""

        async def done() -> list[Any]:
            owner = await asyncpg.connect(self.database.owner_url)
            try:
                return [row[0] for row in await owner.fetch(statement)]
            finally:
                await owner.close()

        return asyncio.run(done())


@pytest.fixture
def terminal(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Terminal:
    database = new_database()
    typed: dict[str, str] = {}
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def answer(question: str, **_: object) -> str:
        return next(said for beginning, said in typed.items() if question.startswith(beginning))

    monkeypatch.setattr("tallystick.cli.login.typer.prompt", answer)

    def run(*arguments: str, **settings: str) -> Ran:
        given = {"database_url": database.app_url, "sealing_keys": SEALING_KEY} | settings
        return run_here(monkeypatch, capsys, *arguments, **given)

    return Terminal(database, run, typed)


def people(terminal: Terminal, *roles: Role, **granted: Any) -> None:
    """Ada, who has signed in at a browser once."""

    async def made(console: InsideConsole) -> None:
        await console.signed_in(*roles, operator_id="ada", **granted)

    in_console(terminal, made)


def in_console(terminal: Terminal, do: Callable[[InsideConsole], Awaitable[None]]) -> None:
    async def done() -> None:
        async with inside_console(terminal.database, BookedProvider()) as console:
            await do(console)

    asyncio.run(done())


def test_commands_act_as_who_signed_in_until_they_sign_out(terminal: Terminal) -> None:
    people(terminal, "operator")
    assert terminal.note() == (0, operator_of_shell().name)
    refused = terminal.sign_in(password="not it")
    assert refused.code == 2 and "password or the code is wrong" in refused.err
    assert not session_file().exists() and terminal.note() == (0, operator_of_shell().name)
    ran = terminal.sign_in()
    token = session_file().read_text().strip()
    assert ran.code == 0 and "signed in as ada" in ran.out and token not in ran.out + ran.err
    assert PASSWORD not in ran.out + ran.err
    assert terminal.note() == (0, "operator:ada")
    assert terminal.run("keys", "create", "--merchant", "of-ada").code == 0
    assert terminal.asked("SELECT actor FROM api_key_act WHERE merchant_id = 'of-ada'") == ["operator:ada"]
    assert terminal.run("login", "--out").code == 0
    assert not session_file().exists() and terminal.note() == (0, operator_of_shell().name)
    session_file().write_text(token)  # a copy that somebody had taken
    code, said = terminal.note()
    assert code == 2 and _OVER in said


def test_its_file_is_its_owners_alone_and_another_sign_in_ends_the_session(terminal: Terminal) -> None:
    people(terminal, "operator")
    file = session_file()
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text("an older one")
    file.chmod(0o644)
    assert terminal.sign_in().code == 0
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o077 == 0
    taken = file.read_text()
    assert terminal.sign_in(steps=1).code == 0
    assert file.read_text() != taken and [each.name for each in file.parent.iterdir()] == [file.name]
    file.write_text(taken)
    code, said = terminal.note()
    assert code == 2 and _OVER in said


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operator_session SET used_at = used_at - interval '31 minutes'",
        "UPDATE operator_session SET signed_in_at = signed_in_at - interval '10 hours 1 minute'",
        "UPDATE operator_credential SET version = version + 1",
        "INSERT INTO operator_version (operator_id, version, state, roles, raw_evidence, actor, at)"
        " VALUES ('ada', 2, 'disabled', '{operator}', false, 'test', now())",
    ],
    ids=["unused", "old", "reset", "disabled"],
)
def test_a_session_that_is_over_acts_no_more(terminal: Terminal, statement: str) -> None:
    """Nor does the command go on as the shell: whoever signed in is told."""
    people(terminal, "operator")
    assert terminal.sign_in().code == 0 and terminal.note() == (0, "operator:ada")
    terminal.sql(statement)
    code, said = terminal.note()
    assert code == 2 and _OVER in said
    approve = terminal.run("operators", "approve", new_id("apr"), "--reason", "fine")
    assert approve.code == 2 and _OVER in approve.err


def test_money_needs_a_recent_sign_in_and_notes_do_not(terminal: Terminal) -> None:
    people(terminal, "operator")
    assert terminal.sign_in().code == 0
    accept = ("late-money", "accept", new_id("pay"), "--reason", "ticket 7")
    assert "recent sign-in" not in terminal.run(*accept).err
    terminal.sql("UPDATE operator_session SET signed_in_at = signed_in_at - interval '6 minutes'")
    late = terminal.run(*accept)
    assert late.code == 2 and "recent sign-in" in late.err
    assert terminal.note() == (0, "operator:ada")


@pytest.mark.parametrize(
    ("roles", "granted", "said"),
    [
        (("viewer",), {}, "lacks the right act"),
        (("auditor",), {}, "lacks the right act"),
        (("operator",), {"merchants": ["shop"]}, "limited to merchants"),
    ],
)
def test_who_lacks_the_right_does_not_act(
    terminal: Terminal, roles: tuple[Role, ...], granted: dict[str, Any], said: str
) -> None:
    people(terminal, *roles, **granted)
    assert terminal.sign_in().code == 0
    code, words = terminal.note()
    assert code == 2 and said in words


def test_whoever_is_limited_to_merchants_manages_nothing(terminal: Terminal) -> None:
    """What gives less is done at once: one person could end everybody else."""

    async def made(console: InsideConsole) -> None:
        await console.signed_in("admin", operator_id="ada", merchants=["shop"])
        await console.invite("admin", operator_id="grace", invitation="grace")

    in_console(terminal, made)
    assert terminal.sign_in().code == 0
    for act in (("disable", "grace"), ("change", "grace", "--role", "viewer"), ("reset", "grace")):
        refused = terminal.run("operators", *act, "--reason", "mine")
        assert refused.code == 2 and "limited to merchants" in refused.err, act
    listed = {each["operator"]: each for each in json.loads(terminal.run("operators", "list", "--json").out)}
    grace = listed["grace"]
    assert (grace["state"], grace["roles"], grace["version"]) == ("active", ["admin"], 1)


@pytest.mark.skipif(not DEEP, reason="deep: two people sign in, and six commands open the record")
def test_two_people_withdraw_a_file(terminal: Terminal, tmp_path: Path) -> None:
    """One asks, and cannot approve it; the other one does."""

    async def made(console: InsideConsole) -> None:
        for name in ("ada", "bob"):
            await console.signed_in("operator", operator_id=name)
        file = Acquirer()
        file.row("riddle", 77)
        await settled(console.process.runtime, file.text(), tmp_path)

    in_console(terminal, made)
    [file_id], above = terminal.asked("SELECT file_id FROM settlement_file"), {"second_person_above": "EUR=76"}
    assert terminal.sign_in("ada").code == 0
    words = ("--reason", "a wrong account")
    asked = terminal.run("settlements", "withdraw", file_id, *words, **above)
    [request_id] = terminal.asked("SELECT request_id FROM approval_request")
    assert asked.code == 2 and "A second person has to approve it" in " ".join(asked.err.split())
    approve = ("operators", "approve", request_id, "--reason", "the letter says so")
    own = terminal.run(*approve, **above)
    assert own.code == 2 and "somebody else decides" in " ".join(own.err.split())
    assert terminal.asked("SELECT state FROM settlement_file") == ["imported"]
    assert terminal.sign_in("bob").code == 0
    assert terminal.run(*approve, **above).code == 0
    assert terminal.asked("SELECT state FROM settlement_file") == ["withdrawn"]
    assert terminal.asked("SELECT operator FROM operator_act WHERE target LIKE 'stl_%'") == ["operator:ada"]


def test_a_shell_never_approves(terminal: Terminal) -> None:
    ran = terminal.run("operators", "approve", new_id("apr"), "--reason", "fine")
    assert ran.code == 2 and "sign in first" in ran.err
