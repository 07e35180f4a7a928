"""Two servers that Patroni looks after, with etcd: both from Debian."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any, Final

from tallystick.record.postgres.embedded import cluster
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tests.failover.nodes import urls_of_both
from tests.support.database_page import prepare_two_roles
from tests.support.polling import START_S, eventually
from tests.support.ports import free_port
from tests.support.postgres_server import SUPERUSER, PostgresServer, programs_of_the_wheel
from tests.support.trials import CannotBeHad

#: Patroni of Debian was made for Debian's PostgreSQL.
DEBIANS: Final = Path("/usr/lib/postgresql/15/bin")

PROGRAMS: Final = ("patroni", "etcd")


def require_programs() -> None:
    """Raises CannotBeHad where Patroni or etcd is missing."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        raise CannotBeHad(f"{' and '.join(missing)} not found; on Debian: apt-get install patroni etcd-server")


class ByPatroni:
    """Synchronous mode: Patroni never promotes a server that lacks a commit that was answered."""

    name = "by Patroni"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._etcd_port, self._ports = free_port(), (free_port(), free_port())
        self._api_ports = free_port(), free_port()
        programs = DEBIANS if DEBIANS.is_dir() else programs_of_the_wheel()
        self._programs = programs
        self._servers = [
            PostgresServer(programs, directory / f"db{number}", port=port)
            for number, port in enumerate(self._ports, start=1)
        ]
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> DatabaseUrls:
        etcd = self._directory / "etcd"
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            "etcd",
            *("etcd", "--name", "etcd1", "--data-dir", str(etcd / "data"), "--initial-cluster", f"etcd1={peer}"),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
        )
        eventually(lambda: _answers(f"{client}/health"), within_s=START_S)
        for number in (0, 1):
            name = f"db{number + 1}"
            file = self._servers[number].directory / "patroni.yml"
            file.write_text(json.dumps(self._configuration(number)), encoding="utf-8")  # JSON is YAML
            self._run(name, "patroni", str(file))
            # The first becomes the leader before there is a second.
            role = "leader" if number == 0 else "sync"
            address = f"http://127.0.0.1:{self._api_ports[number]}/{role}"
            eventually(partial(_answers, address), within_s=START_S, interval_s=0.2)
        prepare_two_roles(self._servers[0])
        return urls_of_both(*self._ports)

    def _configuration(self, number: int) -> dict[str, Any]:
        server, host = self._servers[number], "127.0.0.1"
        return {
            "scope": "tallystick",
            "name": f"db{number + 1}",
            "restapi": {
                "listen": f"{host}:{self._api_ports[number]}",
                "connect_address": f"{host}:{self._api_ports[number]}",
            },
            "etcd3": {"hosts": f"{host}:{self._etcd_port}"},
            "bootstrap": {
                # The shortest lease that Patroni takes.
                "dcs": {"ttl": 20, "loop_wait": 2, "retry_timeout": 5, "synchronous_mode": True},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
                "pg_hba": [
                    "local all all trust",
                    f"host all all {host}/32 trust",
                    f"host replication all {host}/32 trust",
                ],
            },
            "postgresql": {
                "listen": f"{host}:{self._ports[number]}",
                "connect_address": f"{host}:{self._ports[number]}",
                "data_dir": str(server.data),
                "bin_dir": str(self._programs),
                "pgpass": str(server.directory / "pgpass"),
                "authentication": {"superuser": {"username": SUPERUSER}, "replication": {"username": SUPERUSER}},
                "parameters": {"unix_socket_directories": str(server.directory)},
            },
        }

    def _run(self, name: str, *command: str) -> None:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        user = cluster._system_user() if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
            cluster._open_passage(directory / "data", user)
        with (self._directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=directory,
                env={n: value for n, value in os.environ.items() if not n.startswith(("PG", "PYTHON"))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else [],
            )

    def lose_the_first(self) -> None:
        self._running["db1"].send_signal(signal.SIGKILL)
        self._servers[0].kill()
        self._running.pop("db1").wait()

    def second_takes_over(self) -> None:
        """Patroni promotes it, once the lease of the first has ended."""

    def stop(self) -> None:
        for name in ("db1", "db2", "etcd"):
            if process := self._running.get(name):
                process.terminate()
                process.wait()
        for server in self._servers:
            server.stop("immediate")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
