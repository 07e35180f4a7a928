"""Revision 0023 drops the columns that it moves, and what PostgreSQL drops with a column is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg

from tallystick.record.postgres import migrate
from tallystick.record.postgres.embedded.server import OWNER_ROLE, EmbeddedPostgres
from tests.support.database import Database

MIGRATIONS: Final = Path(migrate.__file__).parent / "migrations"
MOVES: Final = "0023_columns_that_change_come_last"

#: What payments and attempts are made of, but for the order of their columns.
FORM: Final = """
SELECT table_name, 'column', column_name, concat_ws(' ', data_type, is_nullable, column_default)
  FROM information_schema.columns WHERE table_name IN ('payment', 'attempt')
UNION ALL SELECT conrelid::regclass::text, 'constraint', conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE conrelid IN ('payment'::regclass, 'attempt'::regclass)
UNION ALL SELECT tablename, 'index', indexname, indexdef FROM pg_indexes WHERE tablename IN ('payment', 'attempt')
UNION ALL SELECT table_name, 'grant', grantee || ' ' || column_name, privilege_type
  FROM information_schema.column_privileges WHERE table_name IN ('payment', 'attempt')
ORDER BY 1, 2, 3, 4
"""


def test_moved_columns_keep_their_checks_indexes_and_rights(database: Database, data_dir: Path) -> None:
    with psycopg.connect(EmbeddedPostgres(data_dir).superuser_url("postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE before_0023 TEMPLATE template0 OWNER {OWNER_ROLE}")
    with psycopg.connect(database.owner_url, dbname="before_0023") as connection:
        for file in sorted(MIGRATIONS.glob("*.sql")):
            if file.stem < MOVES:
                connection.execute(file.read_bytes())
        before = _form(connection)
        connection.execute((MIGRATIONS / f"{MOVES}.sql").read_bytes())
        assert _form(connection) == before
    assert len(before) > 100


def _form(connection: psycopg.Connection[Any]) -> list[Any]:
    return connection.execute(FORM).fetchall()
