"""A URL of several hosts: whichever of them takes writes is found, whatever has become of the others."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg
import pytest

from tallystick.record.postgres import connections, hosts
from tallystick.record.postgres.connections import connect, connect_journal, open_pool
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.hosts import hosts_of
from tallystick.record.postgres.migrate import migrate
from tallystick.record.postgres.server_facts import read_server_facts
from tallystick.run.exponents_check import require_unchanged_exponents_as_owner
from tallystick.settings.load import Settings
from tests.support.commands import run_here
from tests.support.database import Database

#: What a connection may take altogether. Without a second host it would be spent on the first one.
TIMEOUT_MS = 20_000


def several(url: str, *before: Path, attributes: str | None = "read-write") -> str:
    """The URL with these directories of sockets before its own."""
    [own] = parse_qs(urlsplit(url).query)["host"]
    directories = ",".join([*map(str, before), own])
    ending = "" if attributes is None else f"&target_session_attrs={attributes}"
    return f"{url.partition('?')[0]}?host={directories}&port={','.join(['5432'] * (len(before) + 1))}{ending}"


@contextmanager
def silent(directory: Path) -> Iterator[Path]:
    """A host that takes a connection and never answers, as one that hangs."""
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / ".s.PGSQL.5432"))
        server.listen(64)
        yield directory


@pytest.fixture
def hosts_before(own_dir: Path) -> Iterator[tuple[Path, Path]]:
    """One that hangs and one that is not there."""
    with silent(own_dir / "hangs") as hangs:
        yield hangs, own_dir / "gone"


async def test_a_command_that_may_take_minutes_learns_soon_that_its_server_hangs(
    own_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "OPEN_LIMIT_S", 0.2)
    with silent(own_dir / "hangs") as hangs:
        async with asyncio.timeout(10):
            with pytest.raises(DATABASE_AWAY):
                await connect(f"postgresql://someone@/tallystick?host={hangs}", command_timeout_ms=600_000)


@pytest.mark.parametrize("attributes", ["read-write", "primary", None])
async def test_every_connection_finds_the_host_that_answers(
    database: Database, hosts_before: tuple[Path, Path], attributes: str | None
) -> None:
    url = several(database.app_url, *hosts_before, attributes=attributes)
    began = time.monotonic()
    connection = await connect(url, command_timeout_ms=TIMEOUT_MS)
    assert await connection.fetchval("SELECT current_user") == "tallystick_app"
    await connection.close()
    journal = await connect_journal(url, command_timeout_ms=TIMEOUT_MS)
    assert await journal.fetch("SELECT current_user::text") == [("tallystick_app",)]
    await journal.close()
    pool = await open_pool(url, Settings(journal_commit_timeout_ms=TIMEOUT_MS))
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    assert (await read_server_facts(url, TIMEOUT_MS)).app_role_exists
    await require_unchanged_exponents_as_owner(several(database.owner_url, *hosts_before, attributes=attributes))
    assert time.monotonic() - began < TIMEOUT_MS / 1000, "no more than moments at the host that hangs"


def test_a_migration_finds_it_too(
    database: Database, hosts_before: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "OWNER_CONNECT_TIMEOUT_S", 2)
    assert migrate(several(database.owner_url, *hosts_before, attributes=None)) == []


def test_commands_find_it(
    database: Database,
    hosts_before: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = several(database.app_url, *hosts_before)
    for words in (("verify",), ("doctor", "--json"), ("in-doubt", "list")):
        ran = run_here(monkeypatch, capsys, *words, database_url=url, data_dir=str(tmp_path))
        assert ran.code == 0, (words, ran)


@pytest.mark.parametrize("attributes", ["read-write", None])
async def test_a_host_that_takes_no_writes_is_passed_over(
    database: Database, own_dir: Path, attributes: str | None
) -> None:
    """As long as there is no other one, the database is away: nothing is written where it cannot stay."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        name = owner.info.dbname
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            for opened in (connect, connect_journal):
                with pytest.raises(DATABASE_AWAY) as refused:
                    await opened(
                        several(database.app_url, own_dir, attributes=attributes), command_timeout_ms=TIMEOUT_MS
                    )
                assert isinstance(refused.value, asyncpg.TargetServerAttributeNotMatched)
        finally:
            owner.execute("SET default_transaction_read_only = off")
            owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def test_where_no_host_answers_the_time_is_for_all_of_them(database: Database, own_dir: Path) -> None:
    with silent(own_dir / "one") as one, silent(own_dir / "two") as two:
        url = f"{database.app_url.partition('?')[0]}?host={one},{two}&port=5432,5432"
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await connect(url, command_timeout_ms=600)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://u@db1:5433,db2:5434/t", [("db1", 5433), ("db2", 5434)]),
        ("postgresql://u:p@db1,db2:5434/t", [("db1", 5432), ("db2", 5434)]),
        ("postgresql://u@db1,db2/t?port=6000", [("db1", 6000), ("db2", 6000)]),
        ("postgresql://u@[::1]:5433,db2/t", [("::1", 5433), ("db2", 5432)]),
        ("postgresql:///t?host=/a,/b&port=5432,5433", [("/a", 5432), ("/b", 5433)]),
        ("postgresql://db1/t", [("db1", 5432)]),
        ("postgresql:///t", []),
    ],
)
def test_hosts_are_read_as_libpq_reads_them(url: str, found: list[tuple[str, int]]) -> None:
    assert hosts_of(url) == found
