"""Migrations: plain SQL revisions applied by yoyo, as the owner of the schema."""

from __future__ import annotations

from importlib import resources

import psycopg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from tallystick.record.postgres.hosts import conninfo_for_writing

#: The role that the application runs as: it may add to history and ledger, and neither change nor delete.
APP_ROLE = "tallystick_app"


def migrate(owner_url: str) -> list[str]:
    """Apply the missing revisions, and return their names. Safe to run from several processes.

    Raises what the database raises.
    """
    _ensure_app_role(owner_url)
    backend = _Backend.connected(owner_url)
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
    with psycopg.connect(conninfo_for_writing(owner_url), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone()
        if found is None:
            connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN")
        # Since PostgreSQL 16 a membership may come without the right to act as the role (SET). An owner who creates the
        # role gets such a one, which only allows the grant. Older servers know no such right.
        privilege = acting_privilege(connection.info.server_version // 10_000)
        member = connection.execute("SELECT pg_has_role(current_user, %s, %s)", (APP_ROLE, privilege)).fetchone()
        if member is not None and not member[0]:
            connection.execute(f"GRANT {APP_ROLE} TO CURRENT_USER")


def newest_revision() -> str:
    """The number of the last revision of this release."""
    folder = resources.files(__package__).joinpath("migrations")
    return max(file.name for file in folder.iterdir() if file.name.endswith(".sql")).partition("_")[0]


def acting_privilege(server_version: int) -> str:
    """What pg_has_role is asked where one role is to act as another. Since PostgreSQL 16 a member may lack that right:
    who creates a role becomes its member, with the admin option alone."""
    return "SET" if server_version >= 16 else "MEMBER"


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """yoyo on a connection that libpq makes of the whole URL. yoyo's own parser knows one host, and no directory of a
    socket in its place."""

    @classmethod
    def connected(cls, url: str) -> _Backend:
        """Raises what connecting raises."""
        whole = DatabaseURI("postgresql+psycopg", None, None, None, None, None, args={"url": url})
        backend = cls(whole, default_migration_table)
        backend.init_database()
        return backend

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection:
        url = conninfo_for_writing(dburi.args["url"])
        return psycopg.connect(url, autocommit=True)  # in a transaction only where yoyo begins one
