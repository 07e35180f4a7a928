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

from tallystick.oversight.audit.report import AuditReport
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("audit_folds.sql")

_VIEW: Final = re.compile(r"^CREATE (?:OR REPLACE )?VIEW (\w+) AS\n(.*?);$", re.MULTILINE | re.DOTALL)

_MIGRATIONS: Final = "tallystick.record.postgres.migrations"

#: Of the view that is made for comparison, and is gone with its transaction.
_MADE: Final = "audit_view_as_made"


def views_as_made() -> dict[str, str]:
    """View -> its query, as the last migration that defines it has it."""
    files = sorted(
        (each for each in resources.files(_MIGRATIONS).iterdir() if each.name.endswith(".sql")),
        key=lambda each: each.name,
    )
    return {name: query for each in files for name, query in _VIEW.findall(each.read_text(encoding="utf-8"))}


async def compare_definitions(connection: asyncpg.Connection, tables: Sequence[str], report: AuditReport) -> None:
    """Tell the report which views and tables are not what the migrations made. In a transaction of its own, which is
    rolled back. Raises what the database raises."""
    views = views_as_made()
    try:
        printed = await _as_made(connection, views)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError) as error:
        report.add("definition", "views", f"they cannot be compared with the migrations: {error}")
        printed = {}
    found = {row["name"]: row for row in await connection.fetch(STATEMENTS["definitions"], [*views, *tables])}
    schema = found["transition"]["schema"]
    for name, query in printed.items():
        row = found[name]
        if row["kind"] != "v" or row["schema"] != schema or row["query"] != query:
            report.add("definition", f"view {name}", "it is not the one that the migrations made")
    for name in tables:
        for what in _oddities(found[name], schema):
            report.add("definition", f"table {name}", what)


async def _as_made(connection: asyncpg.Connection, views: Mapping[str, str]) -> dict[str, str]:
    """View -> how this server prints the query that the migrations say."""
    printed = {}
    for name, query in views.items():
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(f"CREATE TEMPORARY VIEW {_MADE} AS {query}")
            printed[name] = await connection.fetchval(STATEMENTS["view_query"], _MADE)
        except asyncpg.UndefinedTableError:
            printed[name] = ""  # a table that it reads is not there
        finally:
            await transaction.rollback()
    return printed


def _oddities(row: asyncpg.Record, schema: str) -> Iterator[str]:
    if row["kind"] not in ("r", "p") or row["schema"] != schema:
        yield "its name leads to something else than the table that the migrations made"
        return
    if row["kind"] == "r" and row["children"]:
        yield "other tables inherit from it: their rows are read as its own"
    if row["hidden"]:
        yield "a policy may hide rows of it"
    if row["triggers"] or row["rules"]:
        yield "a trigger or a rule changes what is written to it or read from it"
