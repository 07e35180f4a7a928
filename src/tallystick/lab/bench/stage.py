"""The environment of a benchmark: its own or a given database, and servers in separate processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil
import psycopg
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.lab.bench.provider_latency import DEFAULT, VARIABLE, ProviderLatency
from tallystick.lab.bench.workload import PROVIDER
from tallystick.record.postgres.embedded.server import DatabaseUrls, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate
from tallystick.run.supervisor import child_environment
from tallystick.settings.load import Settings

HOST: Final = "127.0.0.1"

#: A first start on a slow disk takes a few seconds.
READY_WITHIN_S: Final = 60

#: How long a server may take to drain before it is killed.
END_WITHIN_S: Final = 20


class StageFailed(TallystickError):
    """A server of the benchmark did not start; its log says why."""


class Database(Struct, frozen=True, kw_only=True):
    """A migrated database. ``server_pid``: the process whose CPU time is counted, None on another machine.
    ``data_dir``: an embedded one's; None for one's own, whose keys are where the settings say."""

    owner_url: str
    app_url: str
    server_pid: int | None
    data_dir: Path | None = None

    def settings_for(self, settings: Settings) -> Settings:
        """The settings of a process on it: the sealing key is kept with the database that it is registered in."""
        data_dir = settings.data_dir if self.data_dir is None else str(self.data_dir)
        return replace(settings, data_dir=data_dir, database_url=self.app_url)


class Server(Struct, frozen=True, kw_only=True):
    """A running HTTP server."""

    port: int
    pid: int


def process_trees(server: Server, database: Database) -> dict[str, int]:
    """The root processes that CPU time is counted for, by name."""
    database_pid = database.server_pid
    return {"api": server.pid} | ({} if database_pid is None else {"postgres": database_pid})


@contextmanager
def open_database(data_dir: Path | None, own: DatabaseUrls | None = None) -> Iterator[Database]:
    """A database of one's own; else the embedded one in ``data_dir``, or an empty one that is removed afterwards.
    Raises DatabaseUnavailable, and what the database raises."""
    if own is not None:
        migrate(own.owner_url)
        yield Database(owner_url=own.owner_url, app_url=own.app_url, server_pid=_postmaster_pid(own.owner_url))
        return
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            # Short: the path of a Unix socket is at most 107 bytes long.
            data_dir = Path(tempfile.mkdtemp(prefix="tsb-"))
            stack.callback(shutil.rmtree, data_dir, ignore_errors=True)
        postgres = stack.enter_context(EmbeddedPostgres(data_dir))
        urls = postgres.urls()
        migrate(urls.owner_url)
        yield Database(
            owner_url=urls.owner_url,
            app_url=urls.app_url,
            server_pid=_postmaster_pid(urls.owner_url),
            data_dir=data_dir,
        )


@contextmanager
def open_server(
    kind: str,
    settings: Settings,
    database: Database,
    log: Path,
    *,
    default_provider: str = PROVIDER,
    latency: ProviderLatency = DEFAULT,
) -> Iterator[Server]:
    """A server of ``bench.server`` on a free port, ready to answer. ``latency``: of the in-process provider. Raises
    StageFailed."""
    port = free_port()
    settings = replace(database.settings_for(settings), host=HOST, port=port, default_provider=default_provider)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick.lab.bench.server", kind, str(os.getpid())],
            env=child_environment(settings) | {VARIABLE: latency.text()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with until_ready(process, port, log):
        yield Server(port=port, pid=process.pid)


@contextmanager
def until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> Iterator[None]:
    """A process that answers ``/readyz``; leaving ends it. Raises StageFailed."""
    try:
        _wait_until_ready(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    tail = " ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
    raise StageFailed(f"a server of the benchmark did not start: {tail}")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _postmaster_pid(url: str) -> int | None:
    """The parent of the backend that answers; its tree is the whole server. None where it is not on this machine: its
    number is another program's here, or nobody's."""
    with psycopg.connect(url) as connection, contextlib.suppress(psutil.Error):
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        backend = psutil.Process(int(row[0]))
        parent = backend.parent()
        if parent is not None and {backend.name(), parent.name()} == {"postgres"}:
            return parent.pid
    return None
