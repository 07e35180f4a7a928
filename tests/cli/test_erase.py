"""``erase``: asked for on the command line, approved by two others, and listed."""

from __future__ import annotations

import json

import pytest

from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.kit.ids import new_id
from tests.flows.compliance.test_four_eyes import World
from tests.support.api import SEALING_KEY
from tests.support.commands import Ran, run_here
from tests.support.console import inside_console
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider, Client, read


async def test_a_shell_asks_and_two_people_approve(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database()

    async def operate(*arguments: str) -> Ran:
        import asyncio

        urls = {"database_url": database.app_url, "migration_database_url": database.owner_url}
        settings = {**urls, "sealing_keys": SEALING_KEY}
        return await asyncio.to_thread(run_here, monkeypatch, capsys, "erase", *arguments, **settings)

    async with inside_console(database, BookedProvider()) as console:
        world = World(console)
        people = [await world.person(name) for name in ("ada", "bob")]
        payment = read(await Client(world.runtime, fresh_merchant).create("one", description="private"))["id"]
        assert (await operate("list")).out == "Nothing was erased.\n"
        assert (await operate("--reason", "r")).code == 2
        assert (await operate("--payment", "12", "--reason", "r")).code == 2
        unknown = await operate("--payment", new_id("pay"), "--reason", "r")
        assert unknown.code == 1 and "there is no payment" in unknown.err
        asked = await operate("--payment", payment, "--reason", "r", "--idempotency-key", "ticket-7")
        assert asked.code == 1 and "2 people have to approve it" in asked.err
        request = asked.err[asked.err.index("apr_") :].split()[0].rstrip(".")
        for person in people:
            seen = await four_eyes.read(world.runtime, request)
            assert seen is not None
            assert seen.request.shown["fields"] == ["description"]
            words = {"seen_hash": seen.request.shown_hash, "reason": "so be it"}
            await four_eyes.decide(world.runtime, APPROVABLE, request, person, approves=True, **words)
        [row] = json.loads((await operate("list", "--json")).out)
        assert (row["payment_id"], row["payments"], row["finished_at"] is None) == (payment, 1, False)
        listed = (await operate("list")).out
        assert payment in listed.replace("\n", "") and max(map(len, listed.splitlines())) <= 80
        done = await operate("--payment", payment, "--reason", "r", "--idempotency-key", "ticket-7")
        assert done.code == 0 and "It was approved" in done.out
        moved = await operate("prepare", "--json")
        assert (moved.code, json.loads(moved.out)) == (0, {"moved": 0, "left": 0})
