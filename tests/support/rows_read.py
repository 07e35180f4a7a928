"""How many rows a statement reads, under both kinds of plans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import asyncpg

#: Values of ``plan_cache_mode``: of a prepared statement both kinds are used.
PLANS: Final = ("force_generic_plan", "force_custom_plan")


async def rows_read(connection: asyncpg.Connection, statement: str, parameters: list[Any]) -> int:
    """Rows that the scans of a statement touched, those that a filter dropped included."""
    given = ", ".join(map(_literal, parameters))
    await connection.execute(f"PREPARE measured AS {statement}")  # what is not prepared has no generic plan
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE measured ({given})")
    await connection.execute("DEALLOCATE measured")
    [plan] = json.loads(explained)
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in _nodes(plan["Plan"])
        if "Relation Name" in node  # of a bitmap, the scan of the table alone
    )


def _literal(parameter: Any) -> str:
    """As SQL; ids and keys of this suite need no escape."""
    if isinstance(parameter, list):
        return f"'{{{','.join(parameter)}}}'"
    return "null" if parameter is None else f"'{parameter}'"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
