"""A record as an older back-up has it: a copy of a database, taken at one moment and used after it."""

from __future__ import annotations

import re
from itertools import count

import psycopg

from tallystick.record.postgres.embedded.server import OWNER_ROLE
from tests.support.database import Database

_NUMBERS = count(1)


def back_up(database: Database) -> Database:
    """The record as it is now, as another database. Nobody may be connected to the first meanwhile."""
    found = re.search(r"/(test_\d+)\?", database.owner_url)
    assert found is not None
    name = f"{found[1]}_copy_{next(_NUMBERS)}"
    # The owner may not make databases; the superuser's URL differs in the role alone.
    superuser = database.owner_url.replace(OWNER_ROLE, "postgres", 1).replace(found[1], "postgres", 1)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {found[1]} OWNER {OWNER_ROLE}")
    return Database(*(url.replace(f"/{found[1]}?", f"/{name}?") for url in database))
