"""The SQL of docs/operate/database.md works as it stands, for an owner and an application that are no superusers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tallystick.access.key_store import create_key
from tallystick.flows.assembly import open_runtime
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.settings.load import Settings
from tests.support.commands import Ran, run_here
from tests.support.database_page import (
    APP,
    BLOCKS,
    DATABASE,
    OWNER,
    PAGE,
    STANDBY_BLOCKS,
    forget,
    prepare_one_role,
    prepare_two_roles,
)
from tests.support.factories import InstantProvider
from tests.support.postgres_server import PostgresServer, programs_of_the_wheel
from tests.support.sample import Client

Run = Callable[..., Ran]

MERCHANT = "shop"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A new one, as an operator has it before the first line of the page."""
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as path:
        made = PostgresServer(programs_of_the_wheel(), Path(path) / "db1")
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words, **settings: run_here(monkeypatch, capsys, *words, **settings)


def environment(urls: DatabaseUrls, data_dir: Path) -> dict[str, str]:
    given = {"database_url": urls.app_url, "data_dir": str(data_dir)}
    return given | ({} if urls.owner_url == urls.app_url else {"migration_database_url": urls.owner_url})


async def pay(url: str, name: str, data_dir: Path) -> None:
    """One payment, captured. ``data_dir``: has the sealing key of the processes on this database."""
    settings = Settings(data_dir=str(data_dir))
    async with open_runtime(settings, url, providers={"simulator": InstantProvider()}) as runtime:
        payment_id = await Client(runtime, MERCHANT).create(name)
        found = await runtime.reads.payment(MERCHANT, payment_id)
        assert found is not None and found[0].state == "captured"


@pytest.mark.parametrize("prepare", [prepare_two_roles, prepare_one_role])
def test_the_page_leads_to_a_payment(
    server: PostgresServer, run: Run, tmp_path: Path, prepare: Callable[[PostgresServer], DatabaseUrls]
) -> None:
    forget(server)
    urls = prepare(server)
    given = environment(urls, tmp_path)
    migrated = run("migrate", **given)
    assert (migrated.code, migrated.err) == (0, "")
    assert run("migrate", **given).out == "up to date\n"
    assert server.sql("SELECT bool_or(rolsuper) FROM pg_roles WHERE rolname LIKE 'tallystick%'") == [(False,)]
    asyncio.run(create_key(urls.app_url, MERCHANT))
    asyncio.run(pay(urls.app_url, "first", tmp_path))
    assert server.sql(BLOCKS["after the migration, in the database tallystick"], DATABASE) == [(False,) * 4]
    if prepare is prepare_two_roles:
        server.sql(BLOCKS["another login of the application"])
        asyncio.run(pay(server.url(f"{APP}_2", DATABASE), "second", tmp_path))
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            server.sql("CREATE ROLE stranger LOGIN")
            psycopg.connect(server.url("stranger", DATABASE))
    doctor = run("doctor", "--json", **given)
    assert doctor.code == 0, doctor
    verified = run("verify", **given)
    assert verified.code == 0, verified


def test_the_application_may_not_change_what_happened(server: PostgresServer, run: Run, tmp_path: Path) -> None:
    """What the statement on the page says of grants, tried."""
    forget(server)
    urls = prepare_two_roles(server)
    assert run("migrate", **environment(urls, tmp_path)).code == 0
    for statement in ("UPDATE transition SET event = ''", "DELETE FROM transition", "DELETE FROM transfer"):
        with psycopg.connect(urls.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())
    server.sql("GRANT UPDATE ON transition TO tallystick_app", DATABASE)
    assert server.sql(BLOCKS["after the migration, in the database tallystick"], DATABASE)[0][0] is True


def test_every_block_of_the_page_is_run() -> None:
    """Those of the standby by ``make test-failover``."""
    assert PAGE.read_text(encoding="utf-8").count("```sql") == len(BLOCKS)
    assert set(BLOCKS) == STANDBY_BLOCKS | {
        "two roles",
        "one role, instead",
        "the database",
        "who may connect, with two roles",
        "after the migration, in the database tallystick",
        "another login of the application",
    }
    assert {OWNER, APP} <= set(PAGE.read_text(encoding="utf-8").replace(";", " ").split())
