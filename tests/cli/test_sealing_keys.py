"""``sealing-keys``: what an operator sees of the keys, and giving one up."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable

import asyncpg
import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.flows.assembly import open_runtime
from tallystick.record.sealing import KEY_BYTES, sealer_of, secret_row
from tallystick.settings.load import Settings
from tests.support.commands import Ran, run_here
from tests.support.database import Database, NewDatabase

KEYS = {letter: base64.b64encode(letter.encode() * KEY_BYTES).decode() for letter in "ab"}

WORDS = ("--reason", "the disk is gone")

Command = Callable[..., Ran]


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """One in which key a is registered, and has sealed a secret."""
    database = new_database()

    async def begin() -> None:
        async with open_runtime(Settings(sealing_keys=KEYS["a"]), database.app_url) as runtime:
            sealed = runtime.sealer.seal(b"whsec_", secret_row("m", "we", "sec"))
            await runtime.pool.execute("INSERT INTO webhook_secret VALUES ('m', 'we', 'sec', $1, now())", sealed)

    asyncio.run(begin())
    return database


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``tallystick sealing-keys …`` on a machine that has key b."""
    return lambda *arguments: run_here(
        monkeypatch, capsys, "sealing-keys", *arguments, database_url=database.app_url, sealing_keys=KEYS["b"]
    )


def name(letter: str) -> str:
    [found] = sealer_of(Settings(sealing_keys=KEYS[letter])).names()
    return found.key_id.hex()


def test_a_key_is_listed_by_its_fingerprint_and_given_up_in_clear_words(command: Command, database: Database) -> None:
    listed = command("list", "--json")
    [row] = json.loads(listed.out)
    assert (row["key_id"], row["state"], row["here"]) == (name("a"), "registered", False)
    assert len(row["fingerprint"]) == 64
    assert KEYS["a"] not in listed.out
    table = command("list")
    assert table.code == 0 and name("a") in table.out and "registered by host:" in table.out

    refused = command("retire", name("a"), *WORDS)
    assert refused.code == 2
    counts = (
        "sealed 1 endpoint secrets, 0 kept provider events, 0 kept provider answers, 0 next actions"
        " and 0 providers' names of charges"
    )
    assert counts in refused.err
    assert json.loads(command("list", "--json").out)[0]["state"] == "registered"

    once = ("retire", name("a"), "--lose-what-it-sealed", *WORDS, "--idempotency-key", "ticket-7")
    done = command(*once)
    assert done.code == 0 and "is retired" in done.out and "secret_unreadable" in done.out
    twice = command(*once)
    act_id = re.findall(r"Recorded as (opa_\w+)\.", done.out)[0]
    assert twice.code == 0 and f"This was done before ({act_id}" in twice.out
    [row] = json.loads(command("list", "--json").out)
    assert (row["state"], f"retired by {operator_of_shell().name}: the disk is gone" in row["history"][1]) == (
        "retired",
        True,
    )
    again = command("retire", name("a"), "--lose-what-it-sealed", *WORDS)
    assert again.code == 2 and "is retired already" in again.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("00000000", *WORDS), "the record knows no key 00000000"),
        (("abc", *WORDS), "expected eight hexadecimal digits"),
        (("00000000", "--reason", ""), "must not be empty"),
        (("00000000", "--actor", "jo", "--reason", "x"), "No such option"),
    ],
)
def test_what_names_no_key_or_no_person_retires_nothing(
    command: Command, database: Database, arguments: tuple[str, ...], says: str
) -> None:
    ran = command("retire", *arguments)
    assert ran.code == 2 and says in ran.err
    assert len(json.loads(command("list", "--json").out)) == 1


def test_a_new_record_has_no_key(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_database().app_url
    ran = run_here(monkeypatch, capsys, "sealing-keys", "list", database_url=url, sealing_keys=KEYS["a"])
    assert (ran.code, "No key is registered yet" in ran.out) == (0, True)


def test_events_are_read_again_with_the_record_s_keys_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The events' next actions could not be opened, and would be lost."""
    for key, code in (("b", 2), ("a", 0)):
        reread = ("webhooks", "reread", "--type", "x", "--yes", "--reason", "the disk is gone")
        ran = run_here(monkeypatch, capsys, *reread, database_url=database.app_url, sealing_keys=KEYS[key])
        assert (ran.code, "of the record is not here" in ran.err) == (code, code == 2)


async def _acts(database: Database) -> int:
    connection = await asyncpg.connect(database.owner_url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM sealing_key_act"))
    finally:
        await connection.close()


def test_a_command_that_opens_the_record_registers_nothing(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs wherever an operator is."""
    database = new_database()
    commands = (("late-money", "list"), ("webhooks", "reread", "--type", "x"), ("recover", "--since", "2026-01-01"))
    for arguments in commands:
        run_here(monkeypatch, capsys, *arguments, database_url=database.app_url, sealing_keys=KEYS["b"])
        assert asyncio.run(_acts(database)) == 0, arguments
