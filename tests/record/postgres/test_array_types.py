"""What we tell asyncpg of array types is what the server says, and it asks no more."""

from __future__ import annotations

from typing import Any

import pytest
from asyncpg.connection import Connection

from tallystick.record.postgres.array_types import ARRAYS
from tallystick.record.postgres.connections import connect
from tests.support.database import Database

#: Of each type the array of one value, as the server reads it.
VALUES = {
    "bool": "true",
    "bytea": "'\\x00'",
    "int8": "1",
    "int2": "1",
    "int4": "1",
    "json": "'{}'",
    "float8": "1.5",
    "varchar": "'one'",
    "date": "'2026-01-02'",
    "timestamp": "'2026-01-02 03:04:05'",
    "timestamptz": "'2026-01-02 03:04:05Z'",
    "interval": "'1 day'",
    "numeric": "1.10",
    "uuid": "'00000000-0000-0000-0000-000000000001'",
    "jsonb": "'{}'",
}


async def test_arrays_go_to_the_server_and_back_and_nothing_is_asked_about_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(database.app_url, command_timeout_ms=60_000)
    try:
        rows = await connection.fetch(
            "SELECT e.typname::text, e.oid::bigint, e.typarray::bigint, e.typdelim::text"
            " FROM pg_type e JOIN pg_namespace n ON n.oid = e.typnamespace"
            " WHERE n.nspname = 'pg_catalog' AND e.typname::text = ANY ($1::text[])",
            list(ARRAYS),
        )
        assert {name: (element, array) for name, element, array, _ in rows} == ARRAYS
        assert {delimiter for *_, delimiter in rows} == {","}

        async def asked(self: Any, types: Any, timeout: Any) -> Any:
            raise AssertionError(f"asked about {types}")

        monkeypatch.setattr(Connection, "_introspect_types", asked)
        for name, value in VALUES.items():
            sent = await connection.fetchval(f"SELECT ARRAY[{value}::{name}]")
            assert len(sent) == 1
            assert await connection.fetchval(f"SELECT $1::{name}[]", sent) == sent
        assert VALUES.keys() == ARRAYS.keys()
    finally:
        await connection.close()
