"""On tables that are filled, each row of a trace is found by a key of its own; without one of the indexes it is not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import FIND_BY_KEY, KEEP_PLANS
from tests.support.database import Database, NewDatabase
from tests.support.filled_members import fill_members

PAYMENTS = 2_000

#: Keys by which tables are shared out: what is found by these alone is all of a merchant's, or of a provider's account.
#: There are few of them, so that the server may also skip from one to the next.
SHARED_OUT_BY = frozenset({"merchant_id", "endpoint_id", "provider", "account"})

#: Read as a whole, or a merchant's whole: who there is, what endpoints a merchant has, and what is not dispatched.
READ_ON_PURPOSE = frozenset({"merchant", "webhook_endpoint", "outbox_waiting"})

STATEMENTS = {
    f"{file} {name}": statement
    for file in ("trace.sql", "trace_find.sql")
    for name, statement in sql.load(file).items()
    if name != "count_replays"
}

#: Without its index a statement reads all of a merchant's rows, or of the table.
WITHOUT = [
    ("payment_by_provider_reference", "trace_find.sql find"),
    ("attempt_by_reference", "trace_find.sql find"),
    ("instruction_by_trace", "trace_find.sql find"),
    ("message_delivery_by_message", "trace_find.sql find"),
    ("inbox_by_event", "trace_find.sql find_event"),
    ("rejected_case_of_stream", "trace.sql of_payment"),
    ("rejected_case_of_stream", "trace.sql events_of_payment"),
    ("operator_act_by_id", "trace_find.sql find_act"),
    ("operator_act_on_payment", "trace.sql events_of_payment"),
    ("operator_act_on_target", "trace.sql events_of_payment"),
]

#: A row for each payment in the tables that a fill leaves empty.
_MORE = (
    "INSERT INTO webhook_endpoint (merchant_id, endpoint_id, url, state, created_at)"
    " SELECT merchant_id, 'we_1', 'https://hooks.example', 'deleted', now() FROM merchant",
    "INSERT INTO message_delivery (merchant_id, endpoint_id, payment_id, version, subject_id, message_id, type, state,"
    " tries, resends, dispatched_at) SELECT merchant_id, 'we_1', payment_id, 2, payment_id, 'msg_' || md5(payment_id),"
    " 'payment.captured', 'delivered', 1, 0, created_at FROM payment",
    "INSERT INTO message_try (merchant_id, endpoint_id, message_id, try_id, number, resends, started_at, duration_ms,"
    " result) SELECT merchant_id, endpoint_id, message_id, 'try_1', 1, 0, dispatched_at, 1, 'delivered'"
    " FROM message_delivery",
    "INSERT INTO message_lane (merchant_id, endpoint_id, payment_id, rung, next_try_at)"
    " SELECT merchant_id, endpoint_id, payment_id, 1, dispatched_at FROM message_delivery",
    "INSERT INTO delivery (provider, account, provider_event_id, delivery_id, received_at, validated_at, recorded_at,"
    " result, digest, sealed) SELECT provider, account, provider_event_id, 'dlv_1', received_at, received_at,"
    " received_at, 'new', 'x', 'x' FROM inbox",
    "INSERT INTO processing (provider, account, provider_event_id, try_id, number, started_at, ended_at, result)"
    " SELECT provider, account, provider_event_id, 'try_1', 1, received_at, received_at, 'applied' FROM inbox",
    "INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)"
    " SELECT provider, 'main', provider_reference, merchant_id, payment_id FROM payment"
    " WHERE provider_reference IS NOT NULL",
    "INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, payment_id, arguments, fingerprint,"
    " reason, result, at) SELECT 'op', payment_id, 'act_' || payment_id, 'annotate', 'evt_' || payment_id, payment_id,"
    " '{}', 'x', 'asked', '{}', created_at FROM payment",
    "INSERT INTO rejection (merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause,"
    " actor, origin, reason, alert, at) SELECT merchant_id, payment_id, 'rej_' || payment_id, payment_id, 'payment',"
    " 'captured', 2, 'capture', 'webhook', 'provider', 'x', 'x', true, created_at FROM payment",
    "INSERT INTO rejected_case (merchant_id, case_id, rejection_id, from_stream_id, subject, subject_id, subject_state,"
    " subject_version, event, tried_by, origin, category, reason, created_at, version, state, escalations,"
    " reprocessings, updated_at) SELECT merchant_id, 'case_' || subject_id, rejection_id, subject_id, subject,"
    " subject_id, state, version, event, cause, origin, 'late', reason, at, 1, 'open', 0, 0, at FROM rejection",
    "INSERT INTO instruction_replay (merchant_id, idempotency_key, kind, n, first_at, last_at)"
    " SELECT merchant_id, idempotency_key, 'replayed', 1, now(), now() FROM instruction",
)


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Database:
    """With statistics: the planner knows what the tables hold."""
    database = new_database()
    prepare(database.owner_url, database.app_url)
    asyncio.run(copy_chunk(database.owner_url, 0, PAYMENTS))
    fill_members(database.owner_url)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for statement in _MORE:
            owner.execute(statement)
        owner.execute("VACUUM ANALYZE")
    return database


def plan_of(owner: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    """As the command's connection plans it."""
    statement = STATEMENTS[name].rstrip().rstrip(";")
    nulls = ", ".join(["null"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    settings = (f"SET {setting} = {value}" for setting, value in (FIND_BY_KEY | KEEP_PLANS).items())
    for each in (*settings, "DEALLOCATE ALL", f"PREPARE plan_of AS {statement}"):
        owner.execute(each)
    row = owner.execute(f"EXPLAIN (FORMAT JSON) EXECUTE plan_of ({nulls})").fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def nodes(plan: dict[str, Any], under: str | None = None) -> Iterator[dict[str, Any]]:
    """``Relation Name`` of what finds rows for a bitmap is that of its parent."""
    relation = plan.get("Relation Name", under)
    yield plan | {"Relation Name": relation}
    for child in plan.get("Plans", ()):
        yield from nodes(child, relation)


def looked_for(owner: psycopg.Connection[Any], name: str) -> list[str]:
    """What a statement does not find by a key of its own: an index is searched by its first column that is not one of
    those that tables are shared out by."""
    found = []
    for node in nodes(plan_of(owner, name)):
        kind, relation = node["Node Type"], node["Relation Name"]
        if kind == "Seq Scan" and relation not in READ_ON_PURPOSE:
            found.append(f"all of {relation}")
        if not kind.endswith(("Index Scan", "Index Only Scan")):
            continue
        index, condition = node["Index Name"], node.get("Index Cond", "")
        rows = owner.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass ORDER BY attnum", [index]
        ).fetchall()
        first = next((column for (column,) in rows if column not in SHARED_OUT_BY), None)
        given = set(re.findall(r"\(\(*(?:\w+\.)?(\w+)\)?(?:::\w+)? = ", condition))
        given |= set(re.findall(r"\b(\w+)\([^()]*\) = ", condition))  # an expression is named by its function
        if first not in given and not {relation, index} & READ_ON_PURPOSE:
            found.append(f"{relation} by {index}: {condition}")
    return found


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_row_is_found_by_a_key_of_its_own(filled: Database, name: str) -> None:
    with psycopg.connect(filled.owner_url) as owner:
        assert looked_for(owner, name) == []


@pytest.mark.parametrize(("index", "name"), WITHOUT)
def test_without_its_index_a_statement_is_slower_and_that_is_seen(filled: Database, index: str, name: str) -> None:
    with psycopg.connect(filled.owner_url) as owner:
        owner.execute(f"DROP INDEX {index}")
        assert looked_for(owner, name) != []
        owner.rollback()
