"""The SQL of docs/operate/database.md, block by block, as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tallystick.record.postgres.embedded.server import DatabaseUrls
from tests.support.postgres_server import PostgresServer

PAGE: Final = Path(__file__).parents[2] / "docs" / "operate" / "database.md"

_BLOCK: Final = re.compile(r"```sql\n-- ([^\n]+)\n(.*?)```", re.DOTALL)

#: Each block by its first line.
BLOCKS: Final = dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))

#: Two servers need them: the failover is tried with them.
STANDBY_BLOCKS: Final = {
    "a role and a slot for the standby",
    "commits wait for the standby",
    "on the standby, once the first server is off",
}

OWNER: Final = "tallystick_owner"
APP: Final = "tallystick_app"
DATABASE: Final = "tallystick"


def prepare_two_roles(server: PostgresServer) -> DatabaseUrls:
    """As the page says: the owner, and the application."""
    for block in ("two roles", "the database", "who may connect, with two roles"):
        server.sql(BLOCKS[block])
    return DatabaseUrls(server.url(OWNER, DATABASE), server.url(APP, DATABASE))


def prepare_one_role(server: PostgresServer) -> DatabaseUrls:
    """As the page says: one URL for everything, of an owner who is no superuser."""
    for block in ("one role, instead", "the database"):
        server.sql(BLOCKS[block])
    return DatabaseUrls(server.url(OWNER, DATABASE), server.url(OWNER, DATABASE))


def forget(server: PostgresServer) -> None:
    """As if nothing had been prepared. The application's role may own nothing."""
    server.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    roles = (
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'tallystick%' OR rolname = 'stranger' ORDER BY rolname DESC"
    )
    for (role,) in server.sql(roles):
        server.sql(f"DROP ROLE {role}")
