"""What a database server says of itself, and what the role that logs in may do: read before anything is done there."""

from __future__ import annotations

from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.hosts import open_connection
from tallystick.record.postgres.migrate import APP_ROLE, acting_privilege

_STATEMENTS: Final = sql.load("doctor.sql")


class ServerFacts(Struct, frozen=True, kw_only=True):
    """``version_number``: as PostgreSQL counts, 150004 for 15.4. ``login``: the role that the URL logs in as.
    ``may_act_as_app``: whether it may take the application's role. ``has_admin_option``: whether it may grant that
    role. ``schema``: where it would create tables, None where it has none. ``server_connections``: for ordinary roles;
    the database and the role may have limits of their own."""

    name: str
    version_number: int
    version: str
    encoding: str
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    read_only: bool
    server_connections: int
    database_limit: int | None
    login_limit: int | None
    login: str
    may_create_roles: bool
    app_role_exists: bool
    may_act_as_app: bool
    has_admin_option: bool
    schema: str | None
    may_create_tables: bool


async def read_server_facts(url: str, timeout_ms: int) -> ServerFacts:
    """As the role that logs in, which may not be the application's yet. Raises what asyncpg raises."""
    timeout_s = timeout_ms / 1000
    connection = await open_connection(url, timeout=timeout_s, command_timeout=timeout_s)
    try:
        version = connection.get_server_version().major
        row = await connection.fetchrow(_STATEMENTS["server"], APP_ROLE, acting_privilege(version))
        assert row is not None, "every connection has a role"
        return ServerFacts(**dict(row))
    finally:
        await connection.close()


async def merchant_defaults(connection: asyncpg.Connection) -> dict[str, int]:
    """How many merchants have each default provider. Raises what asyncpg raises."""
    rows = await connection.fetch(_STATEMENTS["merchant_defaults"])
    return {row["default_provider"]: row["merchants"] for row in rows}
