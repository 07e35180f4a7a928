"""How door and workers find their rows: by key, whatever a table held when the plan was made."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.work_lists import WORK_LISTS
from tests.support.database import Database, NewDatabase
from tests.support.filled_members import fill_members, fill_waiting

OF_EVERY_DAY = {
    f"{file} {name}": statement
    for file in (
        "journal.sql",
        "inbox.sql",
        "outbound.sql",
        "reads.sql",
        "lists.sql",
        "recovery.sql",
        "keys.sql",
        "provider_pauses.sql",
        "provider_circuits.sql",
        "trace.sql",
        "acts.sql",
        "accounts.sql",
        "approvals.sql",
        "alerts.sql",
        "numbers.sql",
        "cases.sql",
        "trends.sql",
        "work_lists.sql",
        "work_owners.sql",
        "queues.sql",
        "other_names.sql",
    )
    for name, statement in sql.load(file).items()
} | {"reconciliation_news.sql taken_back": sql.load("reconciliation_news.sql")["taken_back"]}

#: Read whole on purpose: what is due is asked of every endpoint, every account that waits or is paused is asked for,
#: what each process says of its circuits and clocks, and what alerts are about; kinds of refused webhooks are made from
#: the counts of 30 days. All are small.
SMALL_TABLES = frozenset(
    {
        "alert",
        "alert_sending",
        "contract_drift",
        "operator_bootstrap",
        "operator_pause",
        "operator_version",
        "process_clock",
        "provider_circuit",
        "provider_pause",
        "watch",
        "webhook_endpoint",
        "webhook_refusal",
        "webhook_refusal_closing",
    }
)


@pytest.mark.parametrize("name", OF_EVERY_DAY)
async def test_no_table_is_read_whole(database: Database, name: str) -> None:
    """The tables are empty: a plan made now, and kept, would otherwise read all of what they hold later."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    statement = OF_EVERY_DAY[name].rstrip().rstrip(";")
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        count = len((await connection.prepare(statement)).get_parameters())
        await connection.execute(f"PREPARE plan_of AS {statement}")
        nulls = f"({', '.join(['null'] * count)})" if count else ""
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of {nulls}"))
        assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= SMALL_TABLES, plan
        assert "hashed SubPlan" not in plan, f"it reads a whole table through an index: {plan}"
    finally:
        await connection.close()


PAGES = [
    "reads.sql payments",
    "reads.sql payments_captured",
    "reads.sql payments_in_rare_state",
    "reads.sql payments_by_reference",
    "lists.sql refunds",
    "lists.sql refunds_in_state",
    "lists.sql refunds_of_payment",
    "lists.sql disputes",
    "lists.sql disputes_in_state",
    "lists.sql disputes_of_payment",
    "lists.sql events",
    "lists.sql events_of_payment",
    "lists.sql messages",
    "outbound.sql log",
    "inbox.sql dead",
    "cases.sql resolved_cases",
    "acts.sql acts",
]


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_read_in_the_order_of_an_index(database: Database, name: str) -> None:
    """Without a sort: the cost of a page does not grow with the list."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        count = len((await connection.prepare(OF_EVERY_DAY[name])).get_parameters())
        await connection.execute(f"PREPARE plan_of AS {OF_EVERY_DAY[name]}")
        nulls = f"({', '.join(['null'] * count)})"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of {nulls}"))
        assert "Index Scan" in plan and "Sort" not in plan, plan
    finally:
        await connection.close()


PAYMENTS = 10_000

#: A sort of more rows is of a whole merchant, or of a table: a page has at most 101, and a batch 1,000.
SORTED_AT_MOST = 1_000

#: Read a created range of at most a month that has no index.
OF_A_MONTH = frozenset({"reads.sql payments_of_amount", "reads.sql payments_of_metadata"})

#: A value of each type that exists in the filled tables, or is as common as one that does.
VALUES = {
    "text": "'1'",  # some are JSON
    "text[]": "'{1}'",  # some are JSON
    "int4": "10",
    "int4[]": "'{1}'",
    "int8": "10",
    "int8[]": "'{1}'",
    "int2": "1",
    "int2[]": "'{1}'",
    "bool": "true",
    "bool[]": "'{true}'",
    "bytea": "'x'",
    "bytea[]": "'{x}'",
    "json[]": "'{{}}'",
    "json": "'{}'",
    "timestamptz": "'2025-01-01 00:10:00Z'",
    "timestamptz[]": "'{2025-01-01 00:10:00Z}'",
    "numeric[]": "'{1}'",
}


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Database:
    """With statistics: the planner knows what the tables hold."""
    database = new_database()
    prepare(database.owner_url, database.app_url)
    asyncio.run(copy_chunk(database.owner_url, 0, PAYMENTS))
    fill_members(database.owner_url)
    fill_waiting(database.owner_url)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE")
    return database


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_on_filled_tables_nothing_is_read_or_sorted_whole(filled: Database, mode: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    wrong = []
    try:
        await connection.execute(f"SET plan_cache_mode = {mode}")
        for name, statement in OF_EVERY_DAY.items():
            types = [each.name for each in (await connection.prepare(statement)).get_parameters()]
            # The first one is most often the merchant: half of the payments are this one's.
            given = ", ".join(
                "'bench'" if place == 0 and each == "text" else VALUES[each] for place, each in enumerate(types)
            )
            await connection.execute(f"PREPARE plan_of AS {statement}")
            explained = await connection.fetchval(
                f"EXPLAIN (FORMAT JSON) EXECUTE plan_of {f'({given})' if given else ''}"
            )
            await connection.execute("DEALLOCATE plan_of")
            for node in nodes(json.loads(explained)[0]["Plan"]):
                if reads_whole(node) and name not in OF_A_MONTH:
                    wrong.append((name, node["Node Type"], node.get("Relation Name"), node["Plan Rows"]))
    finally:
        await connection.close()
    assert wrong == []


#: By which a name is found, of the tables that are filled.
BY_NAME = {
    "find": {
        "transition_pkey",
        "payment_pkey",
        "instruction_pkey",
        "instruction_by_trace",
        "payment_by_provider_reference",
        "attempt_by_reference",
        "refund_pkey",
        "dispute_pkey",
    },
    "find_event": {"inbox_by_event", "inbox_pkey"},
}


@pytest.mark.parametrize("name", BY_NAME)
async def test_a_name_is_found_by_the_index_for_it(filled: Database, name: str) -> None:
    """By an operator's command, which plans anew: for every merchant in turn."""
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"PREPARE plan_of AS {sql.load('trace_find.sql')[name]}")
        given = {"find": "null, 'x', '{x}'", "find_event": "'x', '{simulator}', '{main}'"}[name]
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of ({given})"))
    finally:
        await connection.close()
    assert set(re.findall(r"(?:using|Bitmap Index Scan on) (\w+)", plan)) >= BY_NAME[name], plan
    assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= {"merchant", "webhook_endpoint"}, plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def reads_whole(node: dict[str, Any]) -> bool:
    if node["Node Type"] == "Seq Scan":
        return node["Relation Name"] not in SMALL_TABLES
    hashed = str(node.get("Subplan Name", "")).startswith("hashed")
    return hashed or (node["Node Type"] in ("Sort", "Incremental Sort") and int(node["Plan Rows"]) > SORTED_AT_MOST)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_page_of_work_is_read_by_the_index_of_what_waits(filled: Database, mode: str) -> None:
    """Of thousands of rows that wait. A plan that knows the filters reads the page alone, in order; one that knows none
    may sort what waits, and no more. Alerts are as many as conditions, and kinds of refused webhooks as accounts."""
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    given = "null, null, null, null, null, '1970-01-01Z', '', 51, null, null, null"
    try:
        await connection.execute(f"SET plan_cache_mode = {mode}")
        assert await connection.fetchval("SELECT count(*) > 1000 FROM inbox WHERE state = 'dead'")
        for name in sorted({*WORK_LISTS} - {"alerts", "refused_webhooks"}):
            await connection.execute(f"PREPARE plan_of AS {OF_EVERY_DAY[f'work_lists.sql {name}']}")
            more = ", null" if name == "cases" else ""
            explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE plan_of ({given}{more})")
            await connection.execute("DEALLOCATE plan_of")
            kinds = [each["Node Type"] for each in nodes(json.loads(explained)[0]["Plan"])]
            assert "Seq Scan" not in kinds, (name, kinds)
            assert mode == "force_generic_plan" or "Sort" not in kinds, (name, kinds)
    finally:
        await connection.close()
