"""How the door finds its rows: by key, whatever a table held when the plan was made."""

from __future__ import annotations

import re

import pytest

from tallystick.record.batch import STATEMENTS
from tallystick.wiring import connect
from tests.conftest import Database

_PARAMETER = re.compile(r"\$(\d+)::(\w+(?:\[\])?)")


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_table_is_read_whole(database: Database, name: str) -> None:
    """The tables are empty: a plan made now, and kept, would otherwise read all of what they hold later."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        types = {int(number): kind for number, kind in _PARAMETER.findall(STATEMENTS[name])}
        kinds = [types[number] for number in sorted(types)]
        await connection.execute(f"PREPARE plan_of ({', '.join(kinds)}) AS {STATEMENTS[name].rstrip().rstrip(';')}")
        values = ", ".join("'{}'" if kind.endswith("[]") else "0" for kind in kinds)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of ({values})"))
        assert "Function Scan" in plan
        assert "Seq Scan" not in plan and "Hash Join" not in plan
    finally:
        await connection.close()
