"""Migrations: plain SQL revisions applied by yoyo, as the owner of the schema."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import resources

import psycopg
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.internalmigrations import needs_upgrading
from yoyo.migrations import Migration, MigrationList, default_migration_table

from tallystick.kit.tried_address import note_tried
from tallystick.record.postgres.hosts import conninfo_for_writing, hosts_of
from tallystick.record.postgres.migration_lock import migration_lock
from tallystick.record.postgres.personal_move import Moved, SealedAlready, is_moved, move_personal_fields

#: The role that the application runs as: it may add to history and ledger, and neither change nor delete.
APP_ROLE = "tallystick_app"


def migrate(owner_url: str, announce: Callable[[str], None] = lambda _: None) -> list[str]:
    """Apply the missing revisions, move what they leave to be moved, and return their names. Safe to run from several
    processes, and again after a kill at any moment. ``announce``: says that it waits for another migration.

    Raises PooledConnection, and what the database raises.
    """
    backend = _Backend.connected(owner_url)
    try:
        folder = resources.files(__package__).joinpath("migrations")
        with resources.as_file(folder) as path:
            revisions = read_migrations(str(path))
            if not backend.has_pending(revisions) and _app_role_is_usable(backend.connection):
                with contextlib.suppress(SealedAlready):  # whoever migrated was told
                    if not is_moved(backend.connection):
                        with migration_lock(backend.connection, announce):
                            move_personal_fields(backend.connection, announce)
                return []
            with migration_lock(backend.connection, announce):
                _ensure_app_role(backend.connection)
                pending = backend.to_apply(revisions)
                backend.apply_migrations(pending)
                try:
                    move_personal_fields(backend.connection, announce)
                except SealedAlready as error:
                    announce(f"personal fields: {error}")
        return [revision.id for revision in pending]
    finally:
        backend.connection.close()


def prepare_erasure(owner_url: str, announce: Callable[[str], None] = lambda _: None) -> Moved:
    """Put personal fields under keys that processes of an older release have written since. Safe to repeat. Raises
    SealedAlready, PooledConnection, and what the database raises."""
    backend = _Backend.connected(owner_url)
    try:
        with migration_lock(backend.connection, announce):
            return move_personal_fields(backend.connection, announce, again=True)
    finally:
        backend.connection.close()


def _app_role_is_usable(connection: psycopg.Connection) -> bool:
    """Whether the application's role is there, and the owner may act as it."""
    # Since PostgreSQL 16 a membership may come without the right to act as the role (SET). An owner who creates the
    # role gets such a one, which only allows the grant. Older servers know no such right.
    privilege = acting_privilege(connection.info.server_version // 10_000)
    member = connection.execute(
        "SELECT pg_has_role(current_user, oid, %s) FROM pg_roles WHERE rolname = %s", (privilege, APP_ROLE)
    ).fetchone()
    return member is not None and bool(member[0])


def _ensure_app_role(connection: psycopg.Connection) -> None:
    """The grants of the first revision need the role. An owner without the right to create roles needs it created
    beforehand."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone() is None:
        # Roles belong to the server: a migration of another database there may create it at this moment.
        with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN")
    if not _app_role_is_usable(connection):
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
        return cls(whole, default_migration_table)

    def has_pending(self, revisions: MigrationList) -> bool:
        """Whether there is anything to do. Writes nothing."""
        return needs_upgrading(self) or bool(self.to_apply(revisions))

    @contextlib.contextmanager
    def lock(self, timeout: float = 0) -> Iterator[None]:
        """Nothing: ``migration_lock`` is held. The row that yoyo would write outlives a process that is killed."""
        yield

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        """A revision and the note that it was applied are one transaction: yoyo's own are two, and a kill between them
        would apply it a second time."""
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.log_migration(migration, "apply")
            if mark:
                self.mark_one(migration, log=False)

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection:
        url = conninfo_for_writing(dburi.args["url"])
        try:
            return psycopg.connect(url, autocommit=True)  # in a transaction only where yoyo begins one
        except psycopg.OperationalError as error:
            note_tried(error, hosts_of(dburi.args["url"]))
            raise
