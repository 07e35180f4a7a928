"""Migrations as an owner who is no superuser, and by URLs as PostgreSQL's own library reads them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import psycopg
import pytest

from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.embedded.server import APP_ROLE, DATABASE, OWNER_ROLE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate
from tallystick.run.exponents_check import require_unchanged_exponents_as_owner
from tests.support.clusters import Clusters
from tests.support.commands import run_here
from tests.support.old_schema import migrate_to, revisions

#: Bounds failure alone.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def server(clusters: Clusters) -> Iterator[EmbeddedPostgres]:
    """A server of its own: roles belong to a whole server."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    clusters.put_into(path)
    with EmbeddedPostgres(path) as postgres:
        yield postgres
    shutil.rmtree(path)


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def url_of(server: EmbeddedPostgres, role: str, database: str) -> str:
    return server.superuser_url(database).replace("://postgres@", f"://{role}@", 1)


async def acts_as_application(url: str) -> bool:
    """Whether a connection of the platform by this URL has the application's rights alone."""
    connection = await connect(url, command_timeout_ms=PATIENCE_MS)
    try:
        assert await connection.fetchval("SELECT count(*) FROM payment") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM transition")
        return bool(await connection.fetchval("SELECT current_user::text") == APP_ROLE)
    finally:
        await connection.close()


async def test_an_owner_who_may_create_roles_needs_no_superuser(server: EmbeddedPostgres) -> None:
    """From PostgreSQL 16 on, who creates a role may grant it, and may not yet act as it."""
    run(server.superuser_url("postgres"), f"DROP DATABASE {DATABASE}", f"DROP ROLE {APP_ROLE}")
    run(server.superuser_url("postgres"), "CREATE ROLE plain LOGIN CREATEROLE", "CREATE DATABASE plain OWNER plain")
    url = url_of(server, "plain", "plain")
    assert migrate(url) != []
    assert await acts_as_application(url)
    assert migrate(url) == []


async def test_an_owner_gets_the_right_to_act_as_the_application(server: EmbeddedPostgres) -> None:
    """The role was there before: somebody else's grant lets the owner grant it, and not act as it."""
    run(
        server.superuser_url("postgres"),
        "CREATE ROLE second LOGIN",
        f"GRANT {APP_ROLE} TO second WITH ADMIN TRUE, SET FALSE, INHERIT FALSE",
        "CREATE DATABASE second OWNER second",
    )
    url = url_of(server, "second", "second")
    migrate(url)
    assert await acts_as_application(url)


#: What comes before the first question mark, and what after it; {up} is the server's directory, {down} one without any.
MULTI_HOST = {
    "hosts with ports": ("{down}:5433,{up}:5432", ""),
    "hosts without ports": ("{down},{up}", ""),
    "the primary of them": ("{up}:5432,{down}:5433", "?target_session_attrs=read-write"),
    "hosts as parameters": ("", "?host={down},{up}&port=5433,5432"),
    "one host": ("{up}", ""),
}


@pytest.fixture(scope="module")
def all_but_one(server: EmbeddedPostgres) -> str:
    """A database that lacks the newest revision alone, which is sooner made than fifty."""
    run(server.superuser_url("postgres"), f"CREATE DATABASE all_but_one OWNER {OWNER_ROLE}")
    run(server.superuser_url("postgres"), f"GRANT {APP_ROLE} TO {OWNER_ROLE}")
    migrate_to(url_of(server, OWNER_ROLE, "all_but_one"), revisions()[-2])
    return "all_but_one"


def multi_host(server: EmbeddedPostgres, form: tuple[str, str], database: str) -> str:
    """A URL of more hosts than one, as libpq has them: a socket's directory may stand for a host."""
    up = dict(part.split("=") for part in urlsplit(server.superuser_url()).query.split("&"))["host"]
    hosts, query = (part.format(up=quote(up, safe=""), down=quote("/no/server/here", safe="")) for part in form)
    return f"postgresql://{OWNER_ROLE}@{hosts}/{database}{query}"


@pytest.mark.parametrize("form", MULTI_HOST)
async def test_a_url_may_name_several_hosts(server: EmbeddedPostgres, all_but_one: str, form: str) -> None:
    name = form.replace(" ", "_")
    run(server.superuser_url("postgres"), f"CREATE DATABASE {name} OWNER {OWNER_ROLE} TEMPLATE {all_but_one}")
    url = multi_host(server, MULTI_HOST[form], name)
    await require_unchanged_exponents_as_owner(url)
    assert migrate(url) == revisions()[-1:]
    assert await acts_as_application(url)


def test_the_commands_take_such_a_url(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`up` migrates by the same steps."""
    run(server.superuser_url("postgres"), f"CREATE DATABASE by_command OWNER {OWNER_ROLE}")
    url = multi_host(server, MULTI_HOST["hosts with ports"], "by_command")
    migrated = run_here(monkeypatch, capsys, "migrate", database_url=url)
    assert (migrated.code, "0001_schema" in migrated.out) == (0, True), migrated
    checked = run_here(monkeypatch, capsys, "verify", database_url=url)
    assert checked.code == 0, checked
