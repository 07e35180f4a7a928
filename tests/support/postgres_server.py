"""A PostgreSQL as an operator has one: programs of any version, a data directory, a port or a socket alone.

Unlike the embedded server it has several of a kind beside each other, can be killed, and can follow another one.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from tallystick.record.postgres.embedded import cluster
from tests.support.polling import eventually

SUPERUSER: Final = "postgres"

#: Only the file of the socket has it where there is no TCP.
SOCKET_PORT: Final = 5432


def programs_of_the_wheel() -> Path:
    """PostgreSQL 18, from the locked requirements."""
    return cluster._wheel_directory() / "bin"


class PostgresServer:
    """``directory``: of this server alone, with a short path. ``port``: on the loopback; without it there is only a
    socket. ``settings``: of postgresql.conf."""

    def __init__(
        self, programs: Path, directory: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = port
        self._programs = programs
        self._settings = dict(settings or {})
        directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = cluster._system_user()
            os.chown(directory, user.pw_uid, user.pw_gid)
            cluster._open_passage(directory / "data", user)
            cluster._open_passage(programs / "postgres", user)

    def create(self) -> None:
        """An empty data directory. Anyone on this machine may log in as any role, as long as it runs."""
        self.run(
            "initdb", "-D", "data", "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--no-locale"
        )

    def copy_of(self, *connection: str) -> None:
        """A base backup of another server: arguments of pg_basebackup."""
        self.run("pg_basebackup", "--pgdata=data", *connection)

    def start(self) -> None:
        """Until it accepts connections."""
        given = {
            "unix_socket_directories": f"'{self.directory}'",
            "listen_addresses": "''" if self.port is None else "'127.0.0.1'",
            "port": str(self.port or SOCKET_PORT),
            **self._settings,
        }
        # Of this server alone: a copy of another one has that one's file.
        text = "".join(f"{name} = {value}\n" for name, value in given.items())
        (self.data / "own.conf").write_text(text, encoding="utf-8")
        configuration = self.data / "postgresql.conf"
        line = "include 'own.conf'\n"
        if line not in (text := configuration.read_text(encoding="utf-8")):
            configuration.write_text(text + line, encoding="utf-8")
        self.run("pg_ctl", "start", "-D", "data", "-l", "server.log", "-w", "-t", "120")

    def stop(self, mode: str = "fast") -> None:
        """Stop it where it runs."""
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "stop", "-D", "data", "-m", mode, "-w", "-t", "120")

    def kill(self) -> None:
        """Kill every process of it, as a power failure does. The data directory is as a crash leaves it."""
        processes = cluster.PostgresCluster(self.data)._server_processes
        pids = processes()
        assert pids, "it does not run"
        for pid in pids:
            with suppress(ProcessLookupError):  # it ended with its postmaster
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not processes())
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def url(self, role: str = SUPERUSER, database: str = "postgres") -> str:
        """By its port, or by its socket."""
        if self.port is None:
            return f"postgresql://{role}@/{database}?host={self.directory}&port={SOCKET_PORT}"
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def sql(self, statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """As an administrator, statement by statement, as psql does. The rows of the last one."""
        rows: list[tuple[object, ...]] = []
        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            for statement in filter(None, map(str.strip, statements.split(";"))):
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def run(self, program: str, *arguments: str) -> None:
        """One of the server's programs, in its directory, as the owner of the data."""
        owner = self.directory.stat()
        as_owner = os.geteuid() == 0
        with (self.directory / "programs.log").open("a+b") as output:  # a started server keeps it: no pipe
            ended = subprocess.run(
                [str(self._programs / program), *arguments],
                check=False,
                cwd=self.directory,
                env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=owner.st_uid if as_owner else None,
                group=owner.st_gid if as_owner else None,
                extra_groups=[] if as_owner else None,
            )
        if ended.returncode != 0:
            said = (self.directory / "programs.log").read_text(errors="replace")[-2_000:]
            log = self.directory / "server.log"
            raise AssertionError(
                f"{program}: {said}\n{log.read_text(errors='replace')[-2_000:] if log.exists() else ''}"
            )
