"""Migrations after kills, beside each other, and through a pooler."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tallystick.record.postgres import embedded
from tallystick.record.postgres.embedded.server import OWNER_ROLE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate
from tallystick.record.postgres.migration_lock import PooledConnection, migration_lock
from tests.support.database import DEEP, NewDatabase
from tests.support.polling import eventually, until_ready
from tests.support.pooler import pooler
from tests.support.ports import free_port

#: A process that shares everything with this one, and may be killed alone.
FORKED = multiprocessing.get_context("fork")

#: So many statements are more than a start and a whole revision.
EACH = 16

#: What a schema is made of, and which revisions are noted.
FORM = """
SELECT 'column', table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
  FROM information_schema.columns WHERE table_schema = 'public' AND table_name !~ 'yoyo'
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ 'yoyo'
UNION ALL SELECT 'grant', table_name || ' ' || grantee || ' ' || privilege_type
  FROM information_schema.role_table_grants WHERE table_schema = 'public'
UNION ALL SELECT 'revision', migration_id FROM _yoyo_migration
ORDER BY 1, 2
"""


REVISIONS = tuple((Path(embedded.__file__).parent.parent / "migrations").glob("*.sql"))

#: A database with sessions is no template.
CONNECTED = "SELECT pid FROM pg_stat_activity WHERE datname = %s"


class Server:
    """The server of all suites: ``migrated`` is a database with the schema."""

    def __init__(self, admin_url: str, migrated: str) -> None:
        self._admin_url = admin_url
        self._number = 0
        self.migrated = migrated

    def empty(self) -> str:
        """The URL of a new database without a schema."""
        return self._made_of("template0")

    def copy(self, url: str) -> str:
        """The URL of a database that has all that this one has, to which nobody is connected."""
        return self._made_of(urlsplit(url).path.removeprefix("/"))

    def _made_of(self, template: str) -> str:
        self._number += 1
        name = f"to_migrate_{self._number}"
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            eventually(lambda: not connection.execute(CONNECTED, [template]).fetchall())  # a killed process's session
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER_ROLE}")
        path = urlsplit(self.migrated).path
        return self.migrated.replace(f"{path}?", f"/{name}?")

    def drop(self, url: str) -> None:
        """Away with a database that ``empty`` made."""
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {urlsplit(url).path.removeprefix('/')} WITH (FORCE)")


@pytest.fixture(scope="module")
def server(new_database: NewDatabase, data_dir: Path) -> Server:
    return Server(EmbeddedPostgres(data_dir).superuser_url("postgres"), new_database().owner_url)


def form(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(FORM).fetchall()


def left(url: str) -> tuple[Any, ...]:
    """What a killed migration left: its form, or all that there is where no revision was ever noted."""
    with psycopg.connect(url) as connection:
        noted = connection.execute("SELECT to_regclass('_yoyo_migration')").fetchone() != (None,)
        found = connection.execute(FORM if noted else "SELECT relname FROM pg_class ORDER BY 1").fetchall()
    return (noted, *found)


def holders(url: str) -> int:
    """Sessions of this database that hold the lock."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def killed_before(statement: int, url: str) -> bool:
    """Migrate in a process that is killed before its so-manieth statement; False where it has fewer of them."""

    def run() -> None:
        execute, seen = psycopg.Cursor.execute, 0

        def counted(cursor: Any, *arguments: Any, **options: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(cursor, *arguments, **options)

        psycopg.Cursor.execute = counted  # type: ignore[assignment,method-assign]  # in the forked process alone
        migrate(url)

    process = FORKED.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.timeout(1_800 if DEEP else 120)
def test_a_migration_that_is_killed_at_any_statement_is_run_again(server: Server) -> None:
    """The first revisions at each of their statements, and the others, which are alike, at every 29th. Deep, each
    revision at each statement of a run that begins with it, and a whole run from all that a kill can leave."""
    url, statement, revisions = server.empty(), 0, 0
    before = left(url)
    while killed_before(statement := statement + (1 if DEEP or statement < EACH else 29), url):
        if DEEP and (found := left(url)) != before:
            before, statement, revisions = found, 0, revisions + 1
            copy = server.copy(url)
            migrate(copy)
            assert form(copy) == form(server.migrated), (revisions, statement)
            server.drop(copy)
    assert statement > 10
    assert revisions >= (len(REVISIONS) if DEEP else 0)
    assert migrate(url) == []
    assert form(url) == form(server.migrated)


def test_migrations_at_once_wait_for_each_other(server: Server) -> None:
    url = server.empty()
    said: list[str] = []
    with ThreadPoolExecutor(2) as threads, psycopg.connect(url, autocommit=True) as other:
        with migration_lock(other, said.append):
            session = other.info.backend_pid
            runs = [threads.submit(migrate, url, said.append) for _ in range(2)]
            eventually(lambda: len(said) == 2)
        applied = [run.result() for run in runs]
    assert all(f"another migration of this database is running (session {session} " in line for line in said), said
    assert [] in applied and applied != [[], []]
    assert form(url) == form(server.migrated)


def test_nothing_pending_takes_no_lock(server: Server) -> None:
    """A start of `up` must not wait for whoever migrates, nor need a connection that only a migration needs."""
    said: list[str] = []
    with psycopg.connect(server.migrated, autocommit=True) as other, migration_lock(other, said.append):
        assert migrate(server.migrated, said.append) == []
    with pooler(server.migrated) as pooled:
        assert migrate(pooled, said.append) == []
    assert said == []


def test_the_lock_row_that_an_earlier_release_left_is_harmless(server: Server) -> None:
    url = server.empty()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE yoyo_lock (locked int DEFAULT 1 PRIMARY KEY, ctime timestamp, pid int)")
        connection.execute("INSERT INTO yoyo_lock VALUES (1, now(), 4711)")
    said: list[str] = []
    assert migrate(url, said.append) != []
    assert said == []


def test_a_statement_of_a_killed_migration_holds_the_lock_for_seconds_only(server: Server) -> None:
    """The server would finish the statement, however long it takes, and keep the lock for so long."""
    url = server.empty()

    def run() -> None:
        with psycopg.connect(url, autocommit=True) as connection, migration_lock(connection, print):
            connection.execute("SELECT pg_sleep(3600)")

    process = FORKED.Process(target=run)
    process.start()
    eventually(lambda: holders(url))
    process.kill()
    process.join()
    assert migrate(url) != []


def test_through_a_pooler_it_says_what_it_needs(server: Server) -> None:
    """What it asks is what two sessions of one connection would show; nothing is applied, and no lock left."""
    url = server.empty()
    with pooler(url) as pooled, pytest.raises(PooledConnection, match=r"direct connection .*_MIGRATION_DATABASE_URL"):
        migrate(pooled)
    assert holders(url) == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('payment'), to_regclass('_yoyo_migration')").fetchone() == (
            None,
            None,
        )


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
def test_pgbouncer_is_such_a_pooler(server: Server, own_dir: Path) -> None:
    url, port = server.empty(), free_port()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    config = own_dir / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{parts['dbname']} = host={parts['host']} port={parts['port']} user={OWNER_ROLE}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
        "unix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
    )
    own_dir.chmod(0o711)
    config.chmod(0o644)
    owner = Path(str(parts["host"])).stat()
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    pooled = f"postgresql://{OWNER_ROLE}@127.0.0.1:{port}/{parts['dbname']}?sslmode=disable"
    with subprocess.Popen(["pgbouncer", "-q", str(config)], **user) as process:
        try:
            until_ready(process, lambda: _connect(pooled))
            with pytest.raises(PooledConnection):
                migrate(pooled)
            assert holders(url) == 0
        finally:
            process.terminate()


def _connect(url: str) -> None:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        raise ConnectionError(str(error)) from error
