"""``demo`` and ``bench`` beside a database URL: into an empty database, or into one whose name is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick.record.postgres.embedded.server import DATABASE, OWNER_ROLE, EmbeddedPostgres
from tests.support.commands import Ran, run_here
from tests.support.database import DEEP, Database, NewDatabase

Run = Callable[..., Ran]

#: As small as they go.
JOURNAL = ("bench", "journal", "--rounds", "1", "--payments", "200", "--flows", "20", "--idle", "1", "--json")

COMMANDS = (
    ("demo", "--once"),
    ("bench", "payments"),
    JOURNAL,
    ("bench", "webhooks"),
    ("bench", "fill", "--payments", "1"),
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words, **settings: run_here(monkeypatch, capsys, *words, **settings)


@pytest.fixture(scope="module")
def empty_databases(new_database: NewDatabase, data_dir: Path) -> Iterator[Callable[[], Database]]:
    """Makes databases without a table, on the server of all suites."""
    example = new_database()
    administrator = EmbeddedPostgres(data_dir).superuser_url("postgres")
    numbers = count(1)

    def make() -> Database:
        name = f"empty_{next(numbers)}"
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE} TEMPLATE template0")
        return Database(*(url.replace(f"/{name_of(example)}?", f"/{name}?") for url in example))

    yield make


def name_of(database: Database) -> str:
    return database.app_url.partition("?")[0].rpartition("/")[2]


def urls(database: Database) -> dict[str, str]:
    return {"database_url": database.app_url, "migration_database_url": database.owner_url}


def merchants(database: Database) -> int:
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute("SELECT count(*) FROM merchant").fetchone()
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_is_not_empty_is_refused(database: Database, run: Run, command: tuple[str, ...]) -> None:
    name = name_of(database)
    ran = run(*command, **urls(database))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"tallystick: the database {name} is not empty: it has ")
    assert f"--into {name}" in ran.err
    other = run(*command, "--into", "elsewhere", **urls(database))
    assert (other.code, other.err) == (
        2,
        f"tallystick: --into names elsewhere, and the URL the database {name}; nothing was done\n",
    )
    assert merchants(database) == 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_name_without_a_database_of_ones_own_is_refused(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command, "--into", DATABASE)
    assert ran.code == 2
    assert ran.err.startswith("tallystick: --into repeats the name of a database of your own, and ")


def test_both_urls_are_asked(
    database: Database, empty_databases: Callable[[], Database], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's URL may name another database by mistake."""
    ran = run(*JOURNAL, database_url=empty_databases().app_url, migration_database_url=database.owner_url)
    assert ran.code == 2
    assert "is not empty" in ran.err


def test_a_benchmark_runs_in_an_empty_database_and_again_where_its_name_is_repeated(
    empty_databases: Callable[[], Database], run: Run
) -> None:
    database = empty_databases()
    assert run(*JOURNAL, **urls(database)).code == 0
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM payment").fetchone() == (True,)
    assert run(*JOURNAL, **urls(database)).code == 2
    if DEEP:  # that the name opens a database that is not empty is what the demonstration is tried with below
        assert run(*JOURNAL, "--into", name_of(database), **urls(database)).code == 0


@pytest.mark.parametrize("repeated", [False, True])
def test_the_demonstration_runs_in_the_database_of_the_url(
    database: Database,
    empty_databases: Callable[[], Database],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    repeated: bool,
) -> None:
    """What it then does is tried by ``make test-postgres``, and on an embedded database beside."""
    begun: list[Any] = []

    async def bring_up(settings: Any, *_: object, **__: object) -> None:
        begun.append(settings)

    monkeypatch.setattr("tallystick.cli.demo.bring_up", bring_up)
    chosen = database if repeated else empty_databases()
    words = ("--into", name_of(chosen)) if repeated else ()
    ran = run("demo", "--once", *words, **urls(chosen))
    assert ran.err == ""
    [settings] = begun
    assert (settings.database_url, settings.migration_database_url) == (chosen.app_url, chosen.owner_url)
    assert settings.data_dir in ran.out.replace("\n", ""), "the key and the logs are in a directory of its own"
