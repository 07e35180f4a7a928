"""Migrations as an owner who is no superuser, and by URLs as PostgreSQL's own library reads them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.embedded.server import APP_ROLE, DATABASE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate

#: Bounds failure alone.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server of its own: roles belong to a whole server."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    with EmbeddedPostgres(path) as postgres:
        yield postgres
    shutil.rmtree(path)


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]  # literals of this file


def url_of(server: EmbeddedPostgres, role: str, database: str) -> str:
    return server.superuser_url(database).replace("://postgres@", f"://{role}@", 1)


async def acts_as_application(url: str) -> bool:
    """Whether a connection of the platform by this URL has the application's rights alone."""
    connection = await connect(url, command_timeout_ms=PATIENCE_MS)
    try:
        assert await connection.fetchval("SELECT count(*) FROM payment") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM transition")
        return await connection.fetchval("SELECT current_user::text") == APP_ROLE
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
