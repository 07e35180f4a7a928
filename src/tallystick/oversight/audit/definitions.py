"""Compares what the database calls views and tables with what the migrations made.

The record is compared from its tables. People read some of it through views: a view that was put in place of another
one shows something else. The server prints both, the one that is there and the one that the migrations say, so nothing
depends on how it prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Final

import asyncpg

from tallystick.oversight.audit.report import KEPT, AuditReport
from tallystick.record.postgres import sql
from tallystick.record.postgres.audit_heads import OWN_NAMES

STATEMENTS: Final = sql.load("audit_folds.sql")

_VIEW: Final = re.compile(r"^CREATE (?:OR REPLACE )?VIEW (\w+) AS\n(.*?);$", re.MULTILINE | re.DOTALL)

_MIGRATIONS: Final = "tallystick.record.postgres.migrations"

#: Of the view that is made for comparison, and is gone with its transaction.
_MADE: Final = "audit_view_as_made"

_NAMESAKE: Final = "a statement may take it for the system's: no migration made it"


def views_as_made() -> dict[str, str]:
    """View -> its query, as the last migration that defines it has it."""
    files = sorted(
        (each for each in resources.files(_MIGRATIONS).iterdir() if each.name.endswith(".sql")),
        key=lambda each: each.name,
    )
    return {name: query for each in files for name, query in _VIEW.findall(each.read_text(encoding="utf-8"))}


async def compare_definitions(connection: asyncpg.Connection, tables: Sequence[str], report: AuditReport) -> None:
    """Tell the report which views and tables are not what the migrations made, and what could be taken for a function,
    an operator or a cast of the system. In a transaction of its own. Raises what the database raises."""
    views = views_as_made()
    names = [*views, *tables]
    async with connection.transaction():
        # As whoever reads them finds them; from there on names are the system's, and the record's.
        elsewhere = {row["name"]: row["oid"] for row in await connection.fetch(STATEMENTS["names"], names)}
        await connection.execute(OWN_NAMES)
        try:
            printed = await _as_made(connection, views)
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
            report.add("definition", "views", f"they cannot be compared with the migrations: {error}")
            printed = {}
        found = {row["name"]: row for row in await connection.fetch(STATEMENTS["definitions"], names)}
        namesakes = await connection.fetch(STATEMENTS["namesakes"], KEPT)
    for name, query in printed.items():
        row = found[name]
        if row["oid"] != elsewhere[name] or row["kind"] != "v" or row["query"] != query:
            report.add("definition", f"view {name}", "it is not the one that the migrations made")
    for name in tables:
        for what in _oddities(found[name], elsewhere[name]):
            report.add("definition", f"table {name}", what)
    for row in namesakes:
        report.add("definition", f"{row['what']} {row['name']}", _NAMESAKE)


async def _as_made(connection: asyncpg.Connection, views: Mapping[str, str]) -> dict[str, str]:
    """View -> how this server prints the query that the migrations say."""
    printed = {}
    for name, query in views.items():
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"CREATE TEMPORARY VIEW {_MADE} AS {query}")
            printed[name] = await connection.fetchval(STATEMENTS["view_query"], _MADE)
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            printed[name] = ""  # something that it reads is not there
        finally:
            await transaction.rollback()
    return printed


def _oddities(row: asyncpg.Record, elsewhere: int | None) -> Iterator[str]:
    if row["kind"] not in ("r", "p") or row["oid"] != elsewhere:
        yield "its name leads to something else than the table that the migrations made"
        return
    if row["kind"] == "r" and row["children"]:
        yield "other tables inherit from it: their rows are read as its own"
    if row["hidden"]:
        yield "a policy may hide rows of it"
    if row["triggers"] or row["rules"]:
        yield "a trigger or a rule changes what is written to it or read from it"
    if not row["keyed"]:
        yield "it has no primary key: a row of it may be there twice"
    if row["typed"]:
        yield "a column of it has a type that is not the system's: it may be printed and compared in another way"
