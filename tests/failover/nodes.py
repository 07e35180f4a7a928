"""Two PostgreSQL servers of which one follows the other, by the SQL of docs/operate/database.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final, Protocol

from tallystick.record.postgres.embedded.server import DatabaseUrls
from tests.support.database_page import APP, BLOCKS, DATABASE, OWNER, PAGE, prepare_two_roles
from tests.support.polling import eventually
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer, programs_of_the_wheel

#: The page's command that makes the standby.
_COPY: Final = re.compile(r"```sh\n(pg_basebackup .*?)```", re.DOTALL)


class Nodes(Protocol):
    """What a failover is tried on."""

    name: str

    def start(self) -> DatabaseUrls:
        """Both run, commits wait for the second, and the database is prepared. Returns URLs that name both."""

    def lose_the_first(self) -> None:
        """Kill the server that takes writes, with all that looks after it, as a power failure does."""

    def second_takes_over(self) -> None:
        """What a person does so that the second server takes writes; nothing where something does it by itself."""

    def stop(self) -> None:
        """End all that runs."""


def urls_of_both(first_port: int, second_port: int) -> DatabaseUrls:
    """The page's URL of two servers, on this machine."""
    place = f"127.0.0.1:{first_port},127.0.0.1:{second_port}/{DATABASE}?target_session_attrs=read-write"
    return DatabaseUrls(f"postgresql://{OWNER}@{place}", f"postgresql://{APP}@{place}")


class ByHand:
    """Two servers from the locked wheel; the operator does what the page says."""

    name = "by hand (pg_promote)"

    def __init__(self, directory: Path) -> None:
        self._ports = free_port(), free_port()
        programs = programs_of_the_wheel()
        self._first = PostgresServer(programs, directory / "db1", port=self._ports[0])
        self._second = PostgresServer(programs, directory / "db2", port=self._ports[1])

    def start(self) -> DatabaseUrls:
        self._first.create()
        self._first.start()
        prepare_two_roles(self._first)
        self._first.sql(BLOCKS["a role and a slot for the standby"])
        self._second.run(*self._copy())
        self._second.start()
        state = "SELECT state, sync_state FROM pg_stat_replication WHERE application_name = 'tallystick_standby'"
        eventually(lambda: self._first.sql(state), until=lambda rows: [row[0] for row in rows] == ["streaming"])
        self._first.sql(BLOCKS["commits wait for the standby"])
        eventually(lambda: self._first.sql(state), until=lambda rows: rows == [("streaming", "sync")])
        return urls_of_both(*self._ports)

    def _copy(self) -> list[str]:
        """The page's command, with this machine's directory and port."""
        [command] = _COPY.findall(PAGE.read_text(encoding="utf-8"))
        for given, meant in (
            ("/var/lib/postgresql/data", "data"),
            ("host=db1 port=5432", f"host=127.0.0.1 port={self._ports[0]}"),
        ):
            assert given in command
            command = command.replace(given, meant)
        return shlex.split(command.replace("\\\n", " "))

    def lose_the_first(self) -> None:
        self._first.kill()

    def second_takes_over(self) -> None:
        assert self._second.sql(BLOCKS["on the standby, once the first server is off"]) == [(True,)]

    def stop(self) -> None:
        for server in (self._first, self._second):
            server.stop("immediate")
