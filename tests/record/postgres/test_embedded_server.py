"""The embedded PostgreSQL: shared by count, safe against kills, private, and silent about what clients send."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from tallystick.record.postgres.embedded import cluster
from tallystick.record.postgres.embedded.keeper import kept_running
from tallystick.record.postgres.embedded.server import (
    DatabaseUnavailable,
    DatabaseUrls,
    EmbeddedPostgres,
    resolve_database,
)
from tallystick.settings.load import Settings
from tests.support.clusters import Clusters
from tests.support.commands import is_gone
from tests.support.polling import eventually

#: A process that holds the server until its standard input ends.
HOLDER = """
import sys
from functools import partial
from pathlib import Path
from tallystick.record.postgres.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])):
    print("up", flush=True)
    sys.stdin.read()
"""

#: Nobody calls a column so: where it turns up, it was written by us.
MARK = "zanzibar"


@pytest.fixture(scope="module")
def made(clusters: Clusters) -> Iterator[Path]:
    """A data directory whose cluster is made, and not running."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    clusters.put_into(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def stands_on(made: Path) -> dict[str, str]:
    """Its settings, by name."""
    with EmbeddedPostgres(made) as postgres, psycopg.connect(postgres.urls().app_url) as connection:
        return {name: setting for name, setting, _ in connection.execute("SHOW ALL").fetchall()}


@pytest.fixture
def fresh() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path)


@contextmanager
def holder(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server; on leaving it lets go."""
    command = [sys.executable, "-c", HOLDER, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def runs(data_dir: Path) -> bool:
    return (data_dir / "postgres" / "postmaster.pid").exists()


def test_the_database_belongs_to_its_owner_and_the_application_to_nobody(made: Path) -> None:
    with EmbeddedPostgres(made) as postgres:
        owner_url, app_url = postgres.urls()
        assert value(owner_url, "SELECT current_user || ' ' || current_database()") == "tallystick_owner tallystick"
        assert value(app_url, "SELECT current_user || ' ' || current_database()") == "tallystick_app tallystick"
        supers = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tallystick%' AND (rolsuper OR rolcreaterole)"
        assert value(owner_url, supers) == 0
        with psycopg.connect(owner_url) as connection:
            connection.execute("CREATE TABLE t (a int)")
            connection.rollback()
        with psycopg.connect(app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE t (a int)")
        with psycopg.connect(app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET ROLE tallystick_owner")


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("max_wal_size", "4GB"),
        ("log_min_messages", "log"),
        ("server_encoding", "UTF8"),
    ],
)
def test_what_it_stands_on(stands_on: dict[str, str], setting: str, wanted: str) -> None:
    assert stands_on[setting] == wanted
    assert stands_on["server_version"].startswith("18.")


def test_it_is_nobody_elses(made: Path) -> None:
    with EmbeddedPostgres(made):
        cluster = made / "postgres"
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        assert stat.S_IMODE((cluster / ".s.PGSQL.5432").stat().st_mode) == 0o700
        assert cluster.stat().st_uid != 0  # root included: PostgreSQL runs as someone without rights


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives passage to the server's user")
def test_root_opens_private_directories_for_passage_only() -> None:
    outer = Path(tempfile.mkdtemp(prefix="tally-"))
    inner = outer / "inner"
    inner.mkdir(mode=0o700)
    try:
        with EmbeddedPostgres(inner):
            assert [stat.S_IMODE(path.stat().st_mode) for path in (outer, inner)] == [0o701, 0o701]
    finally:
        shutil.rmtree(outer)


def test_the_last_one_out_stops_the_server(made: Path) -> None:
    with holder(made):
        pid = server_pid(made)
        with EmbeddedPostgres(made):
            assert server_pid(made) == pid
        assert runs(made)
    assert not runs(made)


def test_the_first_one_out_leaves_it_to_the_others(made: Path) -> None:
    postgres = EmbeddedPostgres(made)
    with holder(made):
        urls = postgres.start()
    assert value(urls.app_url, "SELECT 1") == 1
    postgres.stop()
    assert not runs(made)


def test_start_and_stop_twice_are_once(made: Path) -> None:
    postgres = EmbeddedPostgres(made)
    assert postgres.start() == postgres.start()
    postgres.stop()
    assert not runs(made)
    postgres.stop()
    assert value(postgres.start().app_url, "SELECT 1") == 1
    postgres.stop()
    assert not runs(made)


def test_what_a_killed_process_leaves_is_adopted_and_stopped(made: Path) -> None:
    with holder(made) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        pid = server_pid(made)
        with EmbeddedPostgres(made) as postgres:
            assert server_pid(made) == pid
            assert value(postgres.urls().app_url, "SELECT 1") == 1
    assert not runs(made)


def test_processes_that_start_at_once_share_one_new_server(fresh: Path) -> None:
    commands = [[sys.executable, "-c", HOLDER, str(fresh)]] * 3
    started = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for each in commands]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
        for process in started:
            process.communicate(timeout=60)
            assert process.returncode == 0
        assert not runs(fresh)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_commits_survive_a_killed_server(made: Path) -> None:
    postgres = EmbeddedPostgres(made)
    owner_url, _ = postgres.start()
    with psycopg.connect(owner_url) as connection:
        connection.execute("CREATE TABLE survivor (a int)")
        connection.execute("INSERT INTO survivor VALUES (7)")
    pid = server_pid(made)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    postgres.stop()
    with EmbeddedPostgres(made) as again:
        assert value(again.urls().owner_url, "SELECT a FROM survivor") == 7


def test_a_server_number_that_is_now_another_programs_is_no_server(made: Path) -> None:
    """As after a reboot: the file stayed, and the number was given out again, to a program of the same user."""
    with EmbeddedPostgres(made):
        lines = (made / "postgres" / "postmaster.pid").read_text().splitlines()
    owner = (made / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as other:
        (made / "postgres" / "postmaster.pid").write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        try:
            with EmbeddedPostgres(made) as postgres:
                assert server_pid(made) != other.pid
                assert value(postgres.urls().app_url, "SELECT 1") == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_of_several_processes_that_watch_one_server_one_starts_it_again(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.kit.backoff.RESTART_FIRST_MS", 1)
    said: list[str] = []
    with (
        EmbeddedPostgres(made) as one,
        EmbeddedPostgres(made) as other,
        kept_running(one, said.append),
        kept_running(other, said.append),
    ):
        for _ in range(2):
            family = [first := psutil.Process(server_pid(made)), *first.children(recursive=True)]
            first.kill()
            eventually(partial(are_gone, family))
            eventually(lambda: one.runs() and other.runs())
            eventually(lambda: accepts(one.urls().app_url))  # what is killed while it starts could not be started
    assert not runs(made), "the last one out stops what was started again"
    assert all(line.startswith("database exited; restarting in") for line in said), said


def are_gone(processes: list[psutil.Process]) -> bool:
    return all(is_gone(process) for process in processes)


def accepts(url: str) -> bool:
    try:
        return value(url, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def test_files_of_a_crashed_server_that_name_other_programs_keep_nobody_from_starting(made: Path) -> None:
    """As after a crash and a reboot: the numbers were given out again, to programs of the same user."""
    cluster = made / "postgres"
    with EmbeddedPostgres(made):
        os.kill(server_pid(made), signal.SIGKILL)
    owner = cluster.stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as program:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            lines = (cluster / name).read_text().splitlines()
            (cluster / name).write_text("\n".join([str(program.pid), *lines[1:]]) + "\n")
        try:
            with EmbeddedPostgres(made) as postgres:
                assert value(postgres.urls().app_url, "SELECT 1") == 1
        finally:
            program.kill()


def test_a_creation_that_was_cut_short_is_begun_again(fresh: Path) -> None:
    unfinished = fresh / "postgres.unfinished"
    (unfinished / "base").mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(fresh) as postgres:
        assert value(postgres.urls().app_url, "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_path_too_long_for_a_socket_gets_a_private_one_elsewhere(fresh: Path) -> None:
    deep = fresh / ("x" * 60) / ('it\'s "deep", ' + "y" * 60)
    with EmbeddedPostgres(deep) as postgres:
        url = postgres.urls().app_url
        assert value(url, "SELECT 1") == 1
        directory = Path(str(value(postgres.superuser_url(), "SHOW unix_socket_directories")).strip('"'))
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert directory.stat().st_uid == (deep / "postgres").stat().st_uid
    os.rmdir(directory)


def test_what_clients_send_does_not_reach_the_servers_log(made: Path) -> None:
    statements = (
        f"SELECT '{MARK}'::int",  # the error's text quotes the value
        f"SELECT * FROM {MARK}",
        f"DO $$BEGIN RAISE WARNING '{MARK}'; END$$",
        f"DO $$BEGIN RAISE EXCEPTION 'no' USING DETAIL = '{MARK}'; END$$",
    )
    with EmbeddedPostgres(made) as postgres, psycopg.connect(postgres.urls().app_url, autocommit=True) as connection:
        for statement in statements:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                assert error.sqlstate is not None, statement
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT %s::text::int", (MARK,))
        connection.execute("SELECT pg_sleep(0)")
    log = (made / "postgres" / "server.log").read_text()
    assert "database system is shut down" in log
    assert MARK not in log


def test_where_it_cannot_be_it_says_so(fresh: Path) -> None:
    (fresh / "file").write_text("")
    with pytest.raises(DatabaseUnavailable, match="file"):
        EmbeddedPostgres(fresh / "file").start()


def test_why_a_server_does_not_start_is_said(fresh: Path, clusters: Clusters) -> None:
    clusters.put_into(fresh)
    (fresh / "postgres" / "PG_VERSION").write_text("9.6\n")
    postgres = EmbeddedPostgres(fresh)
    with pytest.raises(DatabaseUnavailable, match="incompatible with server"):
        postgres.start()
    (fresh / "postgres" / "PG_VERSION").write_text("18\n")
    assert value(postgres.start().app_url, "SELECT 1") == 1
    postgres.stop()


def test_a_server_that_hangs_is_said_to_hang_and_a_kill_mends_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SILENCE_LIMIT_S", 0.5)
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 2)  # the shortest that libpq keeps
    with holder(made):
        pid = server_pid(made)
        frozen = [pid, *(child.pid for child in psutil.Process(pid).children())]
        for each in frozen:
            os.kill(each, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match=f"kill -9 {pid}"):
                EmbeddedPostgres(made).start()
            assert time.monotonic() - began < 30
        finally:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        postgres = EmbeddedPostgres(made)
        assert value(postgres.start().app_url, "SELECT 1") == 1
        postgres.stop()


def test_a_database_of_your_own_is_used_as_it_is(fresh: Path) -> None:
    url, owner_url = "postgresql://app@db/pay", "postgresql://owner@db/pay"
    with resolve_database(Settings(data_dir=str(fresh), database_url=url)) as urls:
        assert urls == DatabaseUrls(url, url)
    with resolve_database(Settings(data_dir=str(fresh), database_url=url, migration_database_url=owner_url)) as urls:
        assert urls == DatabaseUrls(owner_url, url)
    assert list(fresh.iterdir()) == []


def test_without_one_the_embedded_is_used(made: Path) -> None:
    with resolve_database(Settings(data_dir=str(made))) as urls:
        assert value(urls.app_url, "SELECT 1") == 1
    assert not runs(made)
