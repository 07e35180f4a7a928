"""PostgreSQL without installing it: one server per data directory, shared by all processes that need it.

Each process holds a shared lock on a file while it needs the server. A process that can lock the file exclusively on
leaving is the last one, and stops the server. Locks end with their process: a killed process leaves at most a running
server, which the next one uses and stops.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

import psycopg

from tallystick.record.postgres.embedded.cluster import SUPERUSER, PostgresCluster
from tallystick.record.postgres.embedded.cluster import DatabaseUnavailable as DatabaseUnavailable
from tallystick.record.postgres.embedded.keeper import Announce, kept_running
from tallystick.settings.load import Settings

DATABASE: Final = "tallystick"

#: Owns the schema; migrations run as this role. Not a superuser.
OWNER_ROLE: Final = "tallystick_owner"

#: The role of the application; migrations grant its rights.
APP_ROLE: Final = "tallystick_app"


class DatabaseUrls(NamedTuple):
    """The URLs of one database: for the owner of its schema, and for the application."""

    owner_url: str
    app_url: str


class EmbeddedPostgres:
    """The server of one data directory. Use as a context manager, or ``start`` and ``stop``.

    In ``data_dir``: ``postgres/`` is the cluster, ``postgres.lock`` is locked by every process that uses it, and
    ``postgres.turn`` by the one process that starts or stops it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._cluster = PostgresCluster(self._data_dir / "postgres")
        self._in_use: IO[bytes] | None = None

    def start(self) -> DatabaseUrls:
        """Start the server or use the running one; create the database and its roles if they are missing.

        Starting twice has no further effect. Raises DatabaseUnavailable.
        """
        if self._in_use is not None:
            return self.urls()
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            with self._turn():
                self._in_use = (self._data_dir / "postgres.lock").open("wb")
                fcntl.flock(self._in_use, fcntl.LOCK_SH)
                self._cluster.start()
                self._create_database()
        except (OSError, psycopg.Error) as error:
            self._release()
            raise DatabaseUnavailable(f"cannot start PostgreSQL in {self._data_dir}: {error}") from error
        except BaseException:
            self._release()
            raise
        return self.urls()

    def stop(self) -> None:
        """Release the server; the last process stops it. Stopping twice has no further effect. Raises
        DatabaseUnavailable."""
        if self._in_use is None:
            return
        try:
            with self._turn():
                if self._is_last_user():
                    self._cluster.stop()
        finally:
            self._release()

    def runs(self) -> bool:
        """Whether the server is there; it may still be starting."""
        return self._cluster.runs()

    def revive(self) -> None:
        """Start the server again after it has ended, for all who use it, unless another of them was faster. Raises
        DatabaseUnavailable."""
        try:
            with self._turn():
                if self._in_use is not None and not self._cluster.runs():
                    self._cluster.start()
        except (OSError, psycopg.Error) as error:
            raise DatabaseUnavailable(f"cannot start PostgreSQL in {self._data_dir}: {error}") from error

    def urls(self) -> DatabaseUrls:
        """The URLs of the database while the server runs."""
        return DatabaseUrls(self._cluster.url(OWNER_ROLE, DATABASE), self._cluster.url(APP_ROLE, DATABASE))

    def superuser_url(self, database: str = DATABASE) -> str:
        """The superuser's URL. The platform itself never needs it after the start."""
        return self._cluster.url(SUPERUSER, database)

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with (self._data_dir / "postgres.turn").open("wb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def _is_last_user(self) -> bool:
        # Trying the exclusive lock releases the shared one in any case; no process can start meanwhile.
        assert self._in_use is not None
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(self) -> None:
        if self._in_use is not None:
            self._in_use.close()
            self._in_use = None

    def _create_database(self) -> None:
        with psycopg.connect(self.superuser_url("postgres"), autocommit=True) as connection:
            for role in (OWNER_ROLE, APP_ROLE):
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                    connection.execute(f"CREATE ROLE {role} LOGIN")
            # The owner may act as the application; never the other way round.
            connection.execute(f"GRANT {APP_ROLE} TO {OWNER_ROLE}")
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")


@contextmanager
def resolve_database(settings: Settings, keep: Announce | None = None) -> Iterator[DatabaseUrls]:
    """The database of the settings: your own, or the embedded one for as long as it is needed. With ``keep``, which
    says so, the embedded one is started again whenever it has ended.

    Raises DatabaseUnavailable.
    """
    if settings.database_url is not None:
        yield DatabaseUrls(settings.migration_database_url or settings.database_url, settings.database_url)
        return
    with (
        EmbeddedPostgres(Path(settings.data_dir)) as postgres,
        nullcontext() if keep is None else kept_running(postgres, keep),
    ):
        yield postgres.urls()
