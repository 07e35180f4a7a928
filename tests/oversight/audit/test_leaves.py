"""The bytes of leaves: by whatever way they are made they are what the description of the encoding says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, cast

import asyncpg
import msgspec
import pytest
from msgspec import Raw

from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.leaf_rows import document_of
from tallystick.oversight.audit.leaves import leaf_bytes
from tallystick.oversight.audit.sealed_tables import ADDED, COLUMNS, SALTED
from tallystick.record.postgres.audit_rows import END, KINDS, AuditRows
from tallystick.record.postgres.audit_things import PART_COLUMNS, Columns, Thing
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS
from tests.support.database import Database

SALT: Final = bytes(range(16))
AT: Final = datetime(2026, 1, 2, tzinfo=UTC)


def described(thing: Thing) -> bytes:
    """A leaf, made step by step as the description of the encoding says."""

    def hashed(name: str, value: bytes) -> bytes:
        return b'{"salted":"%s"}' % hashlib.sha256(SALT + name.encode() + b"\0" + value).hexdigest().encode()

    def members(document: str | bytes) -> dict[str, bytes]:
        return {name: bytes(raw) for name, raw in msgspec.json.decode(document, type=dict[str, Raw]).items()}

    def written(found: dict[str, bytes]) -> bytes:
        return b"{" + b",".join(msgspec.json.encode(name) + b":" + value for name, value in found.items()) + b"}"

    rows = []
    for table, row_read in thing.rows:
        given = members(document_of(table, row_read))
        added = [column for column in ADDED.get(table, ()) if given.get(column, b"null") != b"null"]
        row = {column: given.get(column, b"null") for column in sorted((*COLUMNS[table], *added))}
        for column, value in row.items():
            name = f"{table}.{column}"
            if value != b"null" and name in SALTED:
                row[column] = hashed(name, value)
            inner = [each.rpartition(".")[2] for each in SALTED if each.startswith(f"{name}.")]
            if inner and value != b"null":
                twice = len(json.loads(value, object_pairs_hook=list)) != len(json.loads(value))
                found = members(value)
                if any(each in found for each in inner):
                    salted = {k: hashed(f"{name}.{k}", v) if k in inner else v for k, v in found.items()}
                    row[column] = hashed(name, value) if twice else written(salted)
        rows.append(b"[" + msgspec.json.encode(table) + b"," + written(row) + b"]")
    head = f'{{"encoding":2,"kind":"{thing.kind}","merchant_id":"{thing.merchant_id}","key":'.encode()
    return head + msgspec.json.encode(thing.leaf_key) + b',"rows":[' + b",".join(sorted(rows)) + b"]}"


def _thing(table: str, row: str | Columns) -> Thing:
    return Thing(kind="change", merchant_id="m", leaf_key="pay_1/1", at=AT, rows=[(table, row)])


def _step(**columns: str) -> str:
    """A row of history as it is printed for its leaf, from the JSON of some columns."""
    assert set(columns) <= set(COLUMNS["transition"])
    return "{" + ",".join(f'"{name}":{columns.get(name, "null")}' for name in sorted(COLUMNS["transition"])) + "}"


@pytest.mark.parametrize(
    "change",
    [
        "null",
        "{}",
        '{"amount":5,"currency":"EUR"}',
        '{"description":"a word","amount":5}',
        '{"amount":5,"metadata":{"a":"b"},"description":"[erased]"}',
        '{"in":{"description":"a word"}}',
        '{"in":{"description":"a word"},"description":"a word"}',
        '{"in":"description"}',
        '{"description" : "a word", "amount": 5}',
        '{"description":"a word","amount":5,"amount":6}',
        '{"description":"a word","description":"another"}',
        '{"amount":5,"amount":6,"description":"' + 11 * "é" + '"}',  # as long in bytes as its last members need
        '{"description":"' + 3 * "é" + '","metadata":{"é":"è"}}',
        '{"\\u0064escription":"a word"}',
        '{"é":"è","description":"a word"}',
        '{"evidence":{"a":1}}',
        '{"x":2,"evidence":{"seen":true}}',
        '{"x":2,"evidence":null,"change":{"y":1}}',
        '{"in":[1,{"x":2,"evidence":{"seen":true},"y":3}],"description":"a word"}',
        '{"in":{"x":2,"change":7,"evidence":null},"metadata":{"x":1,"change":2}}',
    ],
)
@pytest.mark.parametrize("evidence", ["null", "{}", '{"seen":true}', '{"x":1,"evidence":{"seen":true},"y":2}'])
def test_a_step_is_hashed_as_described_whatever_its_json_says(change: str, evidence: str) -> None:
    """Also where the name of a hashed column stands in it more than once; read as a document, or as columns."""
    thing = _thing("transition", _step(change=change, evidence=evidence, event='"capture"', version="1"))
    columns: dict[str, str | int] = {"change": change, "evidence": evidence, "event": "capture", "version": 1}
    read = _thing("transition", tuple(columns.get(name) for name in PART_COLUMNS["transition"]))
    assert leaf_bytes(thing, SALT) == leaf_bytes(read, SALT) == described(thing)


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_a_row_of_every_table_is_as_described_in_any_order_of_its_columns(table: str) -> None:
    """Golden: printed in the encoding's order, in another one, or with a column of tomorrow, it is one leaf."""
    columns = {name: json.dumps(f"{name} of\n{table}") for name in COLUMNS[table]}
    if table == "transition":
        columns |= {"change": '{"description":"a word","amount":5}', "evidence": '{"seen":true}'}
    ordered = "{" + ",".join(f'"{name}":{value}' for name, value in sorted(columns.items())) + "}"
    turned = "{" + ",".join(f'"{name}":{value}' for name, value in sorted(columns.items(), reverse=True))
    leaves = {leaf_bytes(_thing(table, each), SALT) for each in (ordered, turned + "}", turned + ',"tomorrow":7}')}
    assert leaves == {described(_thing(table, ordered))}


def test_rows_are_read_in_the_order_of_the_encoding() -> None:
    assert dict(PART_COLUMNS) == {table: tuple(sorted(COLUMNS[table])) for table in PART_COLUMNS}


@pytest.mark.asyncio(loop_scope="session")
async def test_what_the_statements_read_is_as_described(database: Database, anchors: list[Anchor]) -> None:
    """Of everything in a sample of every kind of payment; and what a change is made of is as the database prints it."""
    things: list[Thing] = []
    stored = set()
    async with await open_pool(database.app_url, SETTINGS) as pool, pool.acquire() as proxy, proxy.transaction():
        rows = AuditRows(cast(asyncpg.Connection, proxy))
        await rows.in_utc()
        for kind in KINDS:
            things += [each async for page in rows.every(kind, 100) for each in page]
        for table in PART_COLUMNS:
            found = await proxy.fetch(f"SELECT to_json(t)::text FROM {table} t")  # a name of the list above
            stored |= {(table, _members(row[0], PART_COLUMNS[table])) for row in found}
    assert [leaf_bytes(each, SALT) for each in things] == [described(each) for each in things]
    parts = [row for each in things if each.kind == "change" for row in each.rows]
    assert {table for table, _ in parts} == set(PART_COLUMNS)
    assert {(table, _members(document_of(table, row), PART_COLUMNS[table])) for table, row in parts} <= stored


def _members(document: str, columns: Sequence[str]) -> tuple[bytes, ...]:
    found = msgspec.json.decode(document, type=dict[str, Raw])
    return tuple(bytes(found[column]) for column in columns)


@pytest.mark.asyncio(loop_scope="session")
async def test_quick_looks_print_what_the_sweep_prints(owner: asyncpg.Connection) -> None:
    """Also what is not sealed yet: the leaf is the same whoever finds the change."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        rows = AuditRows(owner)
        await rows.in_utc()
        swept = {each.leaf_key: each for page in [await rows.page("change", None, 1_000)] for each in page[0]}
        await owner.execute("DELETE FROM audit_leaf")
        quick = await rows.unsealed("change", datetime(2000, 1, 1, tzinfo=UTC), 1_000, END)
    finally:
        await transaction.rollback()
    assert len(quick) == len(swept) > 10
    assert all(leaf_bytes(each, SALT) == leaf_bytes(swept[each.leaf_key], SALT) for each in quick)
