"""Migrations: plain SQL revisions applied by yoyo, as the owner of the schema."""

from __future__ import annotations

from importlib import resources
from typing import Final

import psycopg
from yoyo import get_backend, read_migrations

#: The role that the application runs as: it may add to history and ledger, and neither change nor delete.
APP_ROLE = "tallystick_app"

#: The first server whose memberships have the option SET, as libpq numbers versions.
SET_OPTION_SINCE: Final = 160_000


def migrate(owner_url: str) -> list[str]:
    """Apply the missing revisions, and return their names. Safe to run from several processes.

    Raises what the database raises.
    """
    _ensure_app_role(owner_url)
    backend = get_backend(_yoyo_url(owner_url))
    try:
        folder = resources.files(__package__).joinpath("migrations")
        with resources.as_file(folder) as path:
            revisions = read_migrations(str(path))
            with backend.lock():
                pending = backend.to_apply(revisions)
                backend.apply_migrations(pending)
        return [revision.id for revision in pending]
    finally:
        backend.connection.close()


def _ensure_app_role(owner_url: str) -> None:
    """The grants of the first revision need the role. An owner without the right to create roles needs it created
    beforehand."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone()
        if found is None:
            connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN")
        # Since PostgreSQL 16 a membership may come without the right to act as the role (SET). An owner who creates the
        # role gets such a one, which only allows the grant. Older servers know no such right.
        right = "SET" if connection.info.server_version >= SET_OPTION_SINCE else "MEMBER"
        may_act = connection.execute("SELECT pg_has_role(current_user, %s, %s)", (APP_ROLE, right)).fetchone()
        if may_act is not None and not may_act[0]:
            connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER")


def _yoyo_url(url: str) -> str:
    """yoyo selects the driver by the scheme: this one means psycopg 3."""
    return "postgresql+psycopg" + url[url.index(":") :]
