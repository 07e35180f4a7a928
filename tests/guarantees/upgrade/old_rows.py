"""Rows of a former release in a database of their own, migrated as far as migrations go, and checks on them."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import psycopg

from tallystick.oversight.invariants import InvariantReport, verify
from tallystick.record.postgres.embedded.server import DATABASE, OWNER_ROLE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate
from tallystick.settings.load import Settings
from tests.support.database import Database
from tests.support.old_schema import migrate_to

HERE: Final = Path(__file__).parent

#: The schema that the rows were written in.
BEFORE: Final = "0006"

#: What had a history, each in a table of its name.
SUBJECTS: Final = ("payment", "attempt", "refund", "dispute")


class OldTable(NamedTuple):
    """A table's rows as they were dumped: COPY's text, a line for each."""

    columns: list[str]
    lines: list[str]

    def without(self, left_out: frozenset[str], known: list[str]) -> tuple[list[str], Counter[tuple[str, ...]]]:
        """Only the columns that are still there and not left out."""
        kept = [number for number, name in enumerate(self.columns) if name in known and name not in left_out]
        rows = (line.split("\t") for line in self.lines)
        return [self.columns[number] for number in kept], Counter(tuple(row[n] for n in kept) for row in rows)


class Old(NamedTuple):
    """What the fixture holds."""

    tables: dict[str, OldTable]
    names: dict[str, Any]

    def count(self, table: str) -> int:
        """How many rows."""
        return len(self.tables[table].lines)


def old_rows(dump: str, names: str) -> Old:
    """A dump of data beside this file, and what a test has to know of it."""
    text = gzip.decompress((HERE / dump).read_bytes()).decode()
    found = re.finditer(r"^COPY public\.(\w+) \((.*?)\) FROM stdin;\n(.*?)^\\\.$", text, re.MULTILINE | re.DOTALL)
    tables = {each[1]: OldTable(each[2].split(", "), each[3].splitlines()) for each in found}
    return Old(tables, json.loads((HERE / names).read_text("utf-8")))


@contextmanager
def migrated(data_dir: Path, old: Old, name: str) -> Iterator[Database]:
    """The old rows in a database of their own, migrated as far as migrations go. The server of ``data_dir`` is shared
    with whoever has started it."""
    with EmbeddedPostgres(data_dir) as postgres:
        with psycopg.connect(postgres.superuser_url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
        database = Database(*(url.replace(f"/{DATABASE}?", f"/{name}?") for url in postgres.urls()))
        migrate_to(database.owner_url, BEFORE)
        with psycopg.connect(database.owner_url) as connection, connection.cursor() as cursor:
            for table_name, table in old.tables.items():
                with cursor.copy(f"COPY {table_name} ({', '.join(table.columns)}) FROM STDIN") as copy:
                    copy.write("".join(f"{line}\n" for line in table.lines))
        migrate(database.owner_url)
        yield database


async def examined(database: Database, settings: Settings) -> InvariantReport:
    """All invariants, over all that is there."""
    connection = await asyncpg.connect(database.app_url)
    try:
        return await verify(connection, settings=settings)
    finally:
        await connection.close()


async def unfolded(database: Database) -> list[str]:
    """Subjects whose stored state is not where their history ends."""
    connection = await asyncpg.connect(database.owner_url)
    wrong = []
    try:
        for machine in SUBJECTS:
            rows = await connection.fetch(
                f"SELECT s.{machine}_id FROM {machine} s LEFT JOIN"
                " (SELECT DISTINCT ON (merchant_id, subject_id) merchant_id, subject_id, version, to_state"
                "  FROM transition ORDER BY merchant_id, subject_id, version DESC) t"
                f" ON t.merchant_id = s.merchant_id AND t.subject_id = s.{machine}_id"
                " WHERE (t.version, t.to_state) IS DISTINCT FROM (s.version, s.state)"
            )
            wrong += [row[0] for row in rows]
    finally:
        await connection.close()
    return wrong
