"""Every row of every table as text: what somebody who has a copy of the database can read."""

from __future__ import annotations

import asyncpg

from tests.support.database import Database


class Dump:
    """A copy of a database. ``in`` finds a text as it is, and as bytes in a column of bytes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __contains__(self, what: str) -> bool:
        return what in self.text or what.encode().hex() in self.text


async def dump(database: Database) -> Dump:
    """All of it, as the owner of the tables sees it."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        tables = await connection.fetch("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                                        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")  # fmt: skip
        assert tables
        rows = [row[0] for table in tables for row in await connection.fetch(f"SELECT t::text FROM {table[0]} t")]
    finally:
        await connection.close()
    return Dump("\n".join(rows))
