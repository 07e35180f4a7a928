"""PostgreSQL without installing it: one server per data directory, shared by all processes that need it.

Each process holds a shared lock on a file while it needs the server, and whoever can take that lock alone on
leaving stops the server. Locks vanish with their process, however it ends: one that was killed leaves at most a
server behind, which the next user adopts and stops.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

import psycopg

from tallystick.record.postgres.embedded.cluster import SUPERUSER, PostgresCluster
from tallystick.record.postgres.embedded.cluster import DatabaseUnavailable as DatabaseUnavailable
from tallystick.settings.load import Settings

DATABASE: Final = "tallystick"

#: Owns the schema; migrations run as this role. Not a superuser.
OWNER_ROLE: Final = "tallystick_owner"

#: What the application runs as; the migrations grant it what it needs.
APP_ROLE: Final = "tallystick_app"


class DatabaseUrls(NamedTuple):
    """One database: as the owner of its schema, and as the application."""

    owner_url: str
    app_url: str


class EmbeddedPostgres:
    """The server of one data directory. Use as a context manager, or ``start`` and ``stop``.

    In ``data_dir``: ``postgres/`` is the cluster, ``postgres.lock`` is held shared by whoever uses it, and
    ``postgres.turn`` by the one process that starts or stops it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._cluster = PostgresCluster(self._data_dir / "postgres")
        self._in_use: IO[bytes] | None = None

    def start(self) -> DatabaseUrls:
        """Start the server, or join the one that runs; create database and roles where they are missing.

        Starting twice is once. Raises DatabaseUnavailable.
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
            self._let_go()
            raise DatabaseUnavailable(f"cannot start PostgreSQL in {self._data_dir}: {error}") from error
        except BaseException:
            self._let_go()
            raise
        return self.urls()

    def stop(self) -> None:
        """Let go; the last one out stops the server. Stopping twice is once. Raises DatabaseUnavailable."""
        if self._in_use is None:
            return
        try:
            with self._turn():
                if self._is_last_user():
                    self._cluster.stop()
        finally:
            self._let_go()

    def urls(self) -> DatabaseUrls:
        """Where owner and application find the database while the server runs."""
        return DatabaseUrls(self._cluster.url(OWNER_ROLE, DATABASE), self._cluster.url(APP_ROLE, DATABASE))

    def superuser_url(self, database: str = DATABASE) -> str:
        """For what neither owner nor application may do. The platform itself never needs it after the start."""
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
        # Taking the lock alone gives up the shared one, whether it succeeds or not; nobody starts meanwhile.
        assert self._in_use is not None
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _let_go(self) -> None:
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
def resolve_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """The database that the settings name: one of yours, or the embedded one for as long as it is needed.

    Raises DatabaseUnavailable.
    """
    if settings.database_url is not None:
        yield DatabaseUrls(settings.migration_database_url or settings.database_url, settings.database_url)
        return
    with EmbeddedPostgres(Path(settings.data_dir)) as postgres:
        yield postgres.urls()
