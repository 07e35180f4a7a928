"""``erase``: asked for on the command line, listed, and rows of an older release."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from tallystick.access.key_store import create_key
from tallystick.kit.ids import new_id
from tests.support.api import SEALING_KEY
from tests.support.approvals import World
from tests.support.commands import Ran, run_here
from tests.support.console import inside_console
from tests.support.database import Database, NewDatabase
from tests.support.runtime import BookedProvider, Client, read


async def _payment(database: Database, merchant: str) -> str:
    """One with a description, in a record that has two people who may approve."""
    await create_key(database.app_url, merchant)
    async with inside_console(database, BookedProvider()) as console:
        world = World(console)
        for name in ("ada", "bob"):
            await world.person(name)
        payment: str = read(await Client(world.runtime, merchant).create("one", description="private"))["id"]
        return payment


def test_a_shell_asks_and_two_people_have_to_approve(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database()
    payment = asyncio.run(_payment(database, fresh_merchant))
    urls = {"database_url": database.app_url, "migration_database_url": database.owner_url}

    def operate(*arguments: str) -> Ran:
        return run_here(monkeypatch, capsys, "erase", *arguments, **urls, sealing_keys=SEALING_KEY)

    assert operate("list").out == "Nothing was erased.\n"
    assert operate("--reason", "r").code == 2
    assert operate("--payment", "12", "--reason", "r").code == 2
    unknown = operate("--payment", new_id("pay"), "--reason", "r")
    assert unknown.code != 0 and "there is no payment" in unknown.err
    asked = operate("--payment", payment, "--reason", "r")
    assert asked.code != 0 and "2 people have to approve it" in asked.err, asked
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        kept = owner.execute("SELECT personal_key FROM payment").fetchone()
        assert kept is not None and kept[0] is not None, "nothing was erased"
        owner.execute(
            "INSERT INTO erasure VALUES (%s, %s, NULL, now(), '', 1200, 7, NULL)", (fresh_merchant, new_id("apr"))
        )
    [row] = json.loads(operate("list", "--json").out)
    assert (row["merchant_id"], row["payments"], row["events"]) == (fresh_merchant, 1200, 7)
    listed = operate("list").out
    assert "under way" in listed and max(map(len, listed.splitlines())) <= 80
    verified = run_here(monkeypatch, capsys, "verify", "--processes", "1", database_url=database.app_url)
    assert f"erased: merchant {fresh_merchant}, 1,200 payments and 7 provider events so far, by apr_" in verified.out
    moved = operate("prepare", "--json")
    assert (moved.code, json.loads(moved.out)) == (0, {"moved": 0, "left": 0})
