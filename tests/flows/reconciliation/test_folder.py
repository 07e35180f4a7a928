"""The watched folder: what rests is taken once, by one worker, and is moved where its result says."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.flows.reconciliation import folder as room
from tallystick.flows.reconciliation.files import ImportAsked, Imported, import_file
from tallystick.flows.reconciliation.folder import WatchedFolder
from tallystick.flows.runtime import Runtime
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_files import golden_file
from tests.support.settlement_imports import everything, stripe_rows

RESTING = replace(SETTINGS, settlement_rest_ms=100)


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Of each test alone: files are the platform's."""
    return new_database()


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[Runtime]:
    async with runtime_of(database.app_url, BookedProvider(), settings=RESTING) as opened:
        yield opened


@pytest.fixture
def account(tmp_path: Path) -> Path:
    made = tmp_path / "folder" / "stripe" / "main"
    made.mkdir(parents=True)
    return made


def put(path: Path, content: str | bytes, *, age_s: float = 60.0) -> None:
    """A file that was renamed in, as old as this."""
    draft = path.with_name(f"{path.name}.part")
    draft.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.utime(draft, (time.time() - age_s,) * 2)
    draft.rename(path)


def names(within: Path) -> list[str]:
    return sorted(each.name for each in within.iterdir()) if within.exists() else []


async def test_a_file_that_was_renamed_in_is_taken_at_once(runtime: Runtime, account: Path) -> None:
    put(account / "a.csv", stripe_rows(3))
    folder = WatchedFolder(runtime, account.parents[1])
    assert await folder.round() == 1
    assert (names(account / "done"), names(account / ".taken")) == (["a.csv"], [])
    ((provider, name, *_, state, rows),) = [row[:6] for row in (await everything(runtime.pool))["files"]]
    assert (provider, name, state, rows) == ("stripe", "main", "imported", 3)
    put(account / "a.csv", stripe_rows(3))
    assert await folder.round() == 1
    assert len(names(account / "done")) == 2, "the same bytes again are through too"
    assert len((await everything(runtime.pool))["files"]) == 1


async def test_a_file_that_grows_waits_until_it_rests(runtime: Runtime, account: Path) -> None:
    whole = stripe_rows(3)
    path = account / "grows.csv"
    folder = WatchedFolder(runtime, account.parents[1])
    for end in range(0, len(whole), 40):
        path.write_text(whole[:end])
        assert await folder.round() == 0, "it changes between two looks"
    path.write_text(whole)
    await eventually_async(folder.round)
    assert [row[5] for row in (await everything(runtime.pool))["files"]] == [3]


async def test_links_hidden_files_and_other_names_are_left_alone(runtime: Runtime, account: Path) -> None:
    outside = account.parents[2] / "outside.csv"
    put(outside, stripe_rows(3))
    (account / "link.csv").symlink_to(outside)
    os.utime(account / "link.csv", (1, 1), follow_symlinks=False)
    (account.parent / "linked").symlink_to(outside.parent)
    os.mkfifo(account / "pipe.csv")
    for name in (".hidden.csv", "written.csv.part", "written.tmp"):
        (account / name).write_text(stripe_rows(3))
        os.utime(account / name, (1, 1))
    before = names(account)
    assert await WatchedFolder(runtime, account.parents[1]).round() == 0
    assert names(account) == before
    assert (await everything(runtime.pool))["files"] == []


async def test_what_is_refused_lies_with_its_reason(runtime: Runtime, account: Path) -> None:
    put(account / "letter.txt", "Dear customer")
    put(account / "stripe.csv", stripe_rows(3))
    put(account / "stripe2.csv", stripe_rows(3, amount="11.00"))
    folder = WatchedFolder(runtime, account.parents[1])
    assert await folder.round() == 3
    assert names(account / "done") == ["stripe.csv"]
    assert names(account / "failed") == [
        "letter.txt",
        "letter.txt.reason.txt",
        "stripe2.csv",
        "stripe2.csv.reason.txt",
    ]
    assert "no format knows it" in (account / "failed" / "letter.txt.reason.txt").read_text()
    assert "conflict" in (account / "failed" / "stripe2.csv.reason.txt").read_text()


async def test_several_workers_import_each_file_once(
    runtime: Runtime, database: Database, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    async def counted(runtime: Runtime, asked: ImportAsked) -> Imported:
        calls.append(asked.name)
        return await import_file(runtime, asked)

    monkeypatch.setattr(room, "import_file", counted)
    for number in range(8):
        put(account / f"{number}.csv", stripe_rows(3, payout=f"po_{number}"))
    async with runtime_of(database.app_url, BookedProvider(), settings=RESTING) as other:
        folders = [WatchedFolder(each, account.parents[1]) for each in (runtime, other, runtime)]
        for _ in range(3):
            await asyncio.gather(*(each.round() for each in folders))
    assert sorted(calls) == [f"{number}.csv" for number in range(8)]
    assert len(names(account / "done")) == 8


async def test_what_a_dead_worker_had_taken_is_taken_up(
    runtime: Runtime, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(account / "a.csv", stripe_rows(3))
    folder = WatchedFolder(runtime, account.parents[1])

    async def dies(*_: object) -> None:
        raise ConnectionError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(room, "import_file", dies)
        with pytest.raises(ConnectionError):
            await folder.round()
    assert names(account / ".taken") == ["a.csv"]
    assert await WatchedFolder(runtime, account.parents[1]).round() == 1
    assert names(account / "done") == ["a.csv"]


async def test_the_folder_s_names_say_whose_a_file_is(runtime: Runtime, account: Path) -> None:
    bank = account.parents[1] / "bank" / "NL-1"
    bank.mkdir(parents=True)
    put(bank / "statement.xml", golden_file("camt053_v8").read_bytes())
    assert await WatchedFolder(runtime, account.parents[1]).round() == 1
    assert [row[:2] for row in (await everything(runtime.pool))["files"]] == [("bank", "NL-1")]


async def test_what_fails_about_one_account_or_file_keeps_no_other_one(
    runtime: Runtime, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first account cannot be written; the first file of the second one fails the import, again and again."""
    closed = account.parents[1] / "adyen" / "main"
    closed.mkdir(parents=True)
    (closed / ".taken").write_text("no directory")
    put(closed / "a.csv", stripe_rows(1))
    put(account / "a.csv", stripe_rows(3))
    put(account / "b.csv", stripe_rows(3, payout="po_2"))

    async def fails(runtime: Runtime, asked: ImportAsked) -> Imported:
        if asked.name == "a.csv":
            raise ValueError("a defect")
        return await import_file(runtime, asked)

    monkeypatch.setattr(room, "import_file", fails)
    monkeypatch.setattr(room, "_A_ROUND", 1)
    folder = WatchedFolder(runtime, account.parents[1])
    for _ in range(3):
        await folder.round()
    assert names(account / "done") == ["b.csv"]
    assert names(account / ".taken") == ["a.csv"], "it is taken up again"
    assert names(closed) == [".taken", "a.csv"]


async def test_a_name_that_is_no_utf_8_is_imported(runtime: Runtime, account: Path) -> None:
    put(account / "umsätze.csv", stripe_rows(3))
    os.rename(account / "umsätze.csv", os.fsencode(account) + b"/ums\xe4tze.csv")
    put(account / "z.csv", stripe_rows(3, payout="po_2"))
    assert await WatchedFolder(runtime, account.parents[1]).round() == 2
    stored = await runtime.pool.fetch("SELECT name FROM settlement_file ORDER BY name")
    assert [row["name"] for row in stored] == ["ums?tze.csv", "z.csv"]
    assert len(names(account / "done")) == 2


async def test_a_file_of_another_provider_is_refused(runtime: Runtime, account: Path) -> None:
    put(account / "adyen.csv", golden_file("adyen_settlement_details").read_bytes())
    assert await WatchedFolder(runtime, account.parents[1]).round() == 1
    assert "a file of adyen, and not of stripe" in (account / "failed" / "adyen.csv.reason.txt").read_text()
    assert (await everything(runtime.pool))["rows"] == []
