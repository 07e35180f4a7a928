"""Statements keep to what a sharded PostgreSQL (Citus) and CockroachDB accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tallystick.domain.kinds import KINDS
from tallystick.record.postgres.connections import connect
from tests.support.database import Database
from tests.support.portable_sql import violations
from tests.support.statements import STATEMENTS

REPOSITORY: Final = Path(__file__).parents[3]

#: Table -> distribution key, as documented for operators.
KEY_OF: Final = dict(
    re.findall(
        r"create_distributed_table\('(\w+)', '(\w+)'", (REPOSITORY / "docs/operate/distribution-keys.sql").read_text()
    )
)

#: Reconciliation joins files, which have no merchant, with every merchant's rows: on one PostgreSQL. Decision 0143.
#: Bank statements are compared with other files' payouts, and so is what `verify` says of them.
ON_ONE_SERVER: Final = frozenset(
    name
    for name in STATEMENTS
    if name.split(" ")[0]
    in (
        "reconciliation.sql",
        "reconciliation_news.sql",
        "reconciliation_told.sql",
        "reconciliation_waiting.sql",
        "bank.sql",
        "settlement_withdrawals.sql",
        "few_rows.sql",
        "plain_rows.sql",
        "balances.sql",
    )
) | {"invariants.sql statements_without_evidence"}


@pytest.mark.parametrize("file", sorted({name.split()[0] for name in STATEMENTS}))
def test_statements_are_portable(file: str) -> None:
    found = {
        name: violations(STATEMENTS[name], {} if name in ON_ONE_SERVER else KEY_OF)
        for name in STATEMENTS
        if name.split()[0] == file
    }
    assert {name: each for name, each in found.items() if each} == {}


def test_the_list_has_statements_of_every_file() -> None:
    assert {"journal.sql move_attempts", "inbox.sql due"} <= set(STATEMENTS)
    assert {kind.table for kind in KINDS.values()} <= set(KEY_OF)


async def test_nobody_has_a_right_on_a_column(database: Database) -> None:
    """CockroachDB has none."""
    connection = await connect(database.owner_url, command_timeout_ms=10_000)
    try:
        found = await connection.fetch(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attacl <> '{}'"
        )
    finally:
        await connection.close()
    assert [tuple(each) for each in found if not each[0].startswith("pg_")] == []


async def test_every_table_has_a_distribution_key(database: Database) -> None:
    """The key is a column of the primary key and of every unique index, as a sharded PostgreSQL demands."""
    connection = await connect(database.owner_url, command_timeout_ms=10_000)
    try:
        records = await connection.fetch(
            "SELECT c.relname AS table, array_agg(a.attname::text) AS columns FROM pg_index x"
            " JOIN pg_class c ON c.oid = x.indrelid JOIN pg_attribute a"
            " ON a.attrelid = x.indrelid AND a.attnum = ANY(x.indkey)"
            " WHERE x.indisunique AND c.relnamespace = 'public'::regnamespace AND c.relname !~ '^_?yoyo'"
            " GROUP BY x.indexrelid, c.relname"
        )
    finally:
        await connection.close()
    assert {record["table"] for record in records} == set(KEY_OF)
    assert [record["table"] for record in records if KEY_OF[record["table"]] not in record["columns"]] == []


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        ("SELECT a FROM t FOR UPDATE SKIP LOCKED", "a row lock"),
        ("SELECT pg_advisory_xact_lock(1)", "an advisory lock"),
        ("SELECT nextval('s')", "a sequence"),
        ("INSERT INTO t SELECT k.a FROM unnest($1::json[]) AS k (a)", "an array of json"),
        ("SELECT a FROM t WHERE EXISTS (SELECT FROM u)", "an empty select list"),
        ("SELECT a FROM unnest($1::text[]) AS k (a) CROSS JOIN LATERAL (SELECT 1) x", "LATERAL"),
        (
            "DELETE FROM t USING unnest($1::text[]) AS k (a) WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = k.a)",
            "a correlated subquery over unnest",
        ),
        (
            "UPDATE t SET a = 1 FROM (SELECT unnest($1::text[]) AS a) AS k"
            " WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = k.a)",
            "a correlated subquery over unnest",
        ),
        (
            "UPDATE t SET at = k.at FROM (SELECT unnest($1::text[]) AS a, now() AS at) AS k WHERE t.a = k.a",
            "the clock in a subquery without FROM",
        ),
        (
            "WITH h AS (SELECT now() AS at) SELECT (SELECT count(*) FROM t WHERE t.at > h.at) FROM h",
            "a correlated subquery over a WITH",
        ),
        ("UPDATE t SET at = CASE WHEN $1 THEN now() END", "the clock in CASE"),
        ("UPDATE t SET at = coalesce(t.at, now())", "the clock in COALESCE"),
        ("UPDATE t SET a = 1 RETURNING t.at < now()", "the clock in RETURNING"),
        ("UPDATE t SET at = now() + k.ms * interval '1 ms' FROM k", "an interval and a column"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET at = now()", "the clock in ON CONFLICT"),
        ("SELECT count(*), (SELECT count(*) FROM u) FROM t", "a subquery beside an aggregate"),
        (
            "SELECT 1 FROM inbox e WHERE EXISTS (SELECT 1 FROM transition t WHERE t.change_id = e.event_id)",
            "a join across the keys merchant_id and provider_event_id",
        ),
        (
            "SELECT 1 FROM inbox e JOIN transition t ON t.merchant_id = e.merchant_id",
            "a join across the keys merchant_id and provider_event_id",
        ),
        (
            "SELECT 1 FROM inbox e, transition t WHERE t.merchant_id = e.merchant_id",
            "a join across the keys merchant_id and provider_event_id",
        ),
        (
            "UPDATE inbox e SET a = 1 FROM transition t WHERE t.merchant_id = e.merchant_id",
            "a join across the keys merchant_id and provider_event_id",
        ),
        (
            "DELETE FROM inbox e USING transition t WHERE t.merchant_id = e.merchant_id",
            "a join across the keys merchant_id and provider_event_id",
        ),
    ],
)
def test_the_lint_sees_what_it_forbids(statement: str, breaks: str) -> None:
    assert breaks in violations(statement, KEY_OF)


@pytest.mark.parametrize(
    "statement",
    [
        "WITH k AS MATERIALIZED (SELECT now() + a * interval '1 ms' AS at FROM unnest($1::int[]) AS w (a))"
        " UPDATE t SET at = k.at FROM k WHERE t.a = k.a",
        "UPDATE t SET a = k.b FROM (SELECT unnest($1::text[]) AS a, unnest($2::text[]) AS b) AS k WHERE t.a = k.a",
        "UPDATE t SET lease_until = now() + $1::bigint * interval '1 ms' WHERE due_at <= now()",
        "-- FOR UPDATE in a comment, and 'now() in a string'\nUPDATE t SET a = 'now()' RETURNING 'interval'",
        "WITH h AS (SELECT 1 AS a), i AS (SELECT h.a FROM h) SELECT 1 FROM t JOIN (SELECT h.a FROM i, h) j ON j.a = 1",
        "SELECT (SELECT count(*) FROM inbox) = 0 AND (SELECT count(*) FROM dispute) >= $1::int",
        "WITH a AS MATERIALIZED (SELECT event_id AS e FROM inbox) SELECT 1 FROM a JOIN refund r ON r.refund_id = a.e",
        "SELECT 1 FROM inbox e JOIN (SELECT merchant_id FROM transition OFFSET 0) t ON t.merchant_id = e.merchant_id",
    ],
)
def test_the_lint_allows_what_is_portable(statement: str) -> None:
    assert violations(statement, KEY_OF) == []
