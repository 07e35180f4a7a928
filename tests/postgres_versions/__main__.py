"""Runs the demonstration and ``verify`` on PostgreSQL 15 to 18, each in three ways of having roles."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallystick.record.postgres.embedded.server import DatabaseUrls
from tests.postgres_versions.programs import SUPPORTED, Programs, programs_of
from tests.support.commands import Ran, run_process
from tests.support.database_page import DATABASE, forget, prepare_one_role, prepare_two_roles
from tests.support.postgres_server import PostgresServer
from tests.support.trials import CannotBeHad, Missing, Trial, exit_code, summary

#: A run of the demonstration on a busy machine; it bounds failure alone.
TIMEOUT_S: Final = 900

#: Of a failed command's output: its checks are at the end.
TAIL: Final = 3_000


def _superuser(server: PostgresServer) -> DatabaseUrls:
    """One URL, of a superuser: what a first try on a laptop has."""
    server.sql(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    return DatabaseUrls(server.url(database=DATABASE), server.url(database=DATABASE))


WAYS: Final[Mapping[str, Callable[[PostgresServer], DatabaseUrls]]] = {
    "owner and application, no superuser": prepare_two_roles,
    "one URL, an owner who is no superuser": prepare_one_role,
    "one URL, a superuser": _superuser,
}


@contextmanager
def _running(programs: Programs) -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as directory:
        server = PostgresServer(programs.directory, Path(directory) / "db")
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


def _failure(urls: DatabaseUrls, payments: int) -> str | None:
    """What goes wrong from the migration to the last check; None where nothing does."""
    given = {"database_url": urls.app_url}
    if urls.owner_url != urls.app_url:
        given["migration_database_url"] = urls.owner_url
    with tempfile.TemporaryDirectory(prefix="tally-") as directory:
        given["data_dir"] = directory
        demo = ("demo", "--once", "--payments", str(payments), "--into", DATABASE)
        for words in (("migrate",), demo, ("verify",)):
            ran = run_process(*words, timeout_s=TIMEOUT_S, **given)
            if ran.code != 0:
                return f"tallystick {words[0]} ended with {ran.code}\n{_said(ran)}"
    return None


def _said(ran: Ran) -> str:
    return (ran.out + ran.err)[-TAIL:]


def main() -> int:
    """Try what was asked for. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make test-postgres")
    parser.add_argument("--only", type=int, choices=SUPPORTED, help="one version; the result is then incomplete")
    parser.add_argument("--payments", type=int, default=200, help="payments of each demonstration (default: 200)")
    wanted = parser.parse_args()
    trials: list[Trial] = []
    missing: list[Missing] = []
    for major in SUPPORTED:
        if wanted.only not in (None, major):
            missing.append(Missing(f"PostgreSQL {major}", "not asked for"))
            continue
        try:
            programs = programs_of(major)
        except CannotBeHad as reason:
            missing.append(Missing(f"PostgreSQL {major}", str(reason)))
            continue
        with _running(programs) as server:
            [(version,)] = server.sql("SHOW server_version")
            for way, prepare in WAYS.items():
                forget(server)
                failure = _failure(prepare(server), wanted.payments)
                trials.append(Trial(f"PostgreSQL {major}", way, failure))
                result = "passed" if failure is None else "FAILED"
                print(f"PostgreSQL {version} ({programs.origin}), {way}: {result}", flush=True)
    print("\n".join(summary(trials, missing)))
    return exit_code(trials, missing)


if __name__ == "__main__":
    sys.exit(main())
