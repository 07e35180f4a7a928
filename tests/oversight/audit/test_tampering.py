"""Ways to rewrite a sealed record as the owner of its database, and what each is named by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
import pytest

from tallystick.kit.clock import utc_now
from tallystick.oversight.audit import folds, sealed_tables
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.report import AuditReport
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.connections import open_pool
from tests.oversight.audit.outsider_ways import WAYS as OUTSIDER_WAYS
from tests.oversight.audit.outsider_ways import OutsiderWay
from tests.support.audit import SETTINGS, compare, named, seal_all
from tests.support.database import DEEP, NewDatabase
from tests.support.sample import Sample

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: The tail of the record: its last head, with what it sealed, and the checkpoint over it.
_LAST_HEAD = "(leaf_group, sequence) IN (SELECT leaf_group, max(sequence) FROM audit_head GROUP BY leaf_group)"


class Way(NamedTuple):
    """One way. ``sql``: run as the owner; names in braces are those of the sample. ``finds``: what a finding of each
    begins with; every one of them must be there. ``outside``: only heads that are kept elsewhere show it. ``since``: it
    is looked for by a comparison of what was sealed since, which shows it too. ``beside``: ways of the same number have
    findings of their own, and are tried at once where not everything is."""

    name: str
    sql: str
    finds: tuple[str, ...]
    outside: bool = False
    since: bool = False
    beside: int | None = None


#: Written down by hand. Others add theirs below.
WAYS = (
    Way(
        "change an amount in the ledger",
        "UPDATE transfer SET amount = amount + 1 WHERE stream_id = '{captured}'",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "change what a step of history set",
        "UPDATE transition SET change = '{{}}' WHERE subject_id = '{captured}' AND version = 2",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "change who did it",
        "UPDATE transition SET actor = 'key:somebody' WHERE subject_id = '{captured}' AND version = 1",
        ("changed: change {merchant} {captured}/1",),
    ),
    Way(
        "move a step in time",
        "UPDATE transition SET at = at - interval '1 hour' WHERE subject_id = '{captured}' AND version = 2",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "remove a posting",
        "DELETE FROM transfer WHERE stream_id = '{captured}'",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "remove a step of an attempt",
        "DELETE FROM transition WHERE stream_id = '{captured}' AND lead_version = 1",
        ("changed: change {merchant} {captured}/1",),
    ),
    Way(
        "remove the history of a payment",
        "DELETE FROM transition WHERE subject_id = '{captured}'",
        ("removed: change {merchant} {captured}/1", "removed: change {merchant} {captured}/2", "stray: transition"),
    ),
    Way(
        "insert a posting",
        "INSERT INTO transfer SELECT merchant_id, payment_id, subject_id, version, 99, kind, credit, debit, 5,"
        " currency, at, stream_id FROM transfer WHERE stream_id = '{captured}' LIMIT 1",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "insert a posting beside all steps",
        "INSERT INTO transfer SELECT merchant_id, payment_id, subject_id, 77, leg, kind, credit, debit, 5, currency,"
        " at, stream_id FROM transfer WHERE stream_id = '{captured}' LIMIT 1",
        ("stray: transfer {merchant} {captured}/77",),
    ),
    Way(
        "insert a payment of yesterday",
        "INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause,"
        " actor, at, change) SELECT merchant_id, 'pay_forged', version, change_id, from_state, to_state, event, cause,"
        " actor, at - interval '1 day', change FROM transition WHERE subject_id = '{captured}' AND version = 1",
        ("not_sealed: change {merchant} pay_forged/1",),
    ),
    Way(
        "move a posting to another payment",
        "UPDATE transfer SET stream_id = '{partly_captured}', subject_id = '{partly_captured}', leg = 99"
        " WHERE stream_id = '{captured}'",
        ("changed: change {merchant} {captured}/2", "changed: change {merchant} {partly_captured}/2"),
    ),
    Way(
        "swap the answers of two instructions",
        "UPDATE response r SET body = o.body FROM response o WHERE r.merchant_id = o.merchant_id"
        " AND (r.idempotency_key, o.idempotency_key) IN (('captured', 'refunded'), ('refunded', 'captured'))",
        ("changed: response {merchant} captured", "changed: response {merchant} refunded"),
    ),
    Way(
        "change the status of an answer",
        "UPDATE response SET status = 500 WHERE idempotency_key = 'captured'",
        ("changed: response {merchant} captured",),
    ),
    Way(
        "remove an answer",
        "DELETE FROM response WHERE idempotency_key = 'captured'",
        ("removed: response {merchant} captured",),
    ),
    Way(
        "move an answer in time",
        "UPDATE response SET at = at - interval '1 day' WHERE idempotency_key = 'captured'",
        ("removed: response {merchant} captured", "not_sealed: response {merchant} captured"),
    ),
    Way(
        "change what a client asked for",
        "UPDATE instruction SET request = '\\x7b7d' WHERE idempotency_key = 'captured'",
        ("changed: instruction {merchant} captured",),
    ),
    Way(
        "change a message",
        "UPDATE outbox SET type = 'payment.failed' WHERE stream_id = '{captured}' AND version = 2",
        ("changed: change {merchant} {captured}/2",),
    ),
    Way(
        "remove a refused transition",
        "DELETE FROM rejection WHERE stream_id = '{refused}'",
        ("removed: rejection {merchant} {refused}/",),
    ),
    Way(
        "change a row, and let the sealer take it for a new one",
        "UPDATE transfer SET amount = amount + 1 WHERE stream_id = '{captured}';"
        " DELETE FROM audit_leaf WHERE leaf_key = '{captured}/2'",
        ("removed: change {merchant} {captured}/2", "not_sealed: change {merchant} {captured}/2"),
    ),
    Way(
        "change the salt of a leaf",
        "UPDATE audit_leaf SET salt = '\\x00' WHERE leaf_key = '{captured}/1'",
        ("changed: change {merchant} {captured}/1",),
    ),
    Way(
        "replay an old head in place of a newer one",
        "UPDATE audit_head h SET document = o.document, signature = o.signature FROM audit_head o"
        " WHERE o.leaf_group = h.leaf_group AND o.sequence = 1 AND h.sequence = 2",
        ("head: head 2 of platform",),
    ),
    Way(
        "replace the list of leaves of a head",
        "UPDATE audit_head h SET leaves = o.leaves FROM audit_head o"
        " WHERE o.leaf_group = 1 AND o.sequence = 1 AND h.leaf_group = 0 AND h.sequence = 1",
        ("head: head 1 of platform",),
    ),
    Way(
        "drop a group",
        "DELETE FROM audit_head WHERE leaf_group = 1; DELETE FROM audit_leaf WHERE leaf_group = 1",
        ("head: head 1 of inbox",),
    ),
    Way(
        "write another size into a head",
        "UPDATE audit_head SET size = size - 1 WHERE leaf_group = 0 AND sequence = 1",
        ("head: head 1 of platform",),
    ),
    Way(
        "sign a head again with another key",
        "UPDATE audit_head SET signature = sha512(signature) WHERE leaf_group = 0 AND sequence = 1",
        ("head: head 1 of platform",),
    ),
    Way(
        "cut off the end of the heads, with their leaves, and leave the checkpoints",
        f"DELETE FROM audit_leaf WHERE leaf_group = 0; DELETE FROM audit_head WHERE {_LAST_HEAD} AND leaf_group = 0",
        ("head: head 2 of platform",),
    ),
    Way(
        "go back to an older state of everything, its heads and checkpoints included",
        "DELETE FROM audit_checkpoint; DELETE FROM audit_head; DELETE FROM audit_leaf; DELETE FROM audit_sweep;"
        " DELETE FROM transfer; DELETE FROM transition; DELETE FROM outbox; DELETE FROM response;"
        " DELETE FROM instruction; DELETE FROM rejection; DELETE FROM delivery; DELETE FROM processing;"
        " DELETE FROM message_try; DELETE FROM operator_act; DELETE FROM deployment; DELETE FROM webhook_endpoint_act",
        ("rolled_back: checkpoint ", "rolled_back: head 1 of platform", "removed: change {merchant} {captured}/1"),
        outside=True,
    ),
    Way(
        "remove rows, their leaves, and everything that was ever signed",
        "DELETE FROM transfer WHERE stream_id = '{captured}'; DELETE FROM transition WHERE subject_id = '{captured}';"
        " DELETE FROM transition WHERE stream_id = '{captured}'; DELETE FROM outbox WHERE stream_id = '{captured}';"
        " DELETE FROM audit_head; DELETE FROM audit_checkpoint; DELETE FROM audit_leaf; DELETE FROM audit_sweep",
        ("rolled_back: checkpoint ", "removed: change {merchant} {captured}/2"),
        outside=True,
    ),
    Way(
        "change whose charge a provider's reference names, in provider_reference alone",
        "INSERT INTO provider_reference SELECT a.provider, a.account, 'ch_forged', a.merchant_id, a.payment_id"
        " FROM attempt a WHERE a.payment_id = '{captured}'",
        ("stray: provider_reference ",),
    ),
    Way(
        "remove a charge that came late from provider_reference, so that what is told of it is nobody's",
        "DELETE FROM provider_reference WHERE payment_id = '{late}'",
        ("removed: provider_reference ",),
    ),
    Way(
        "give a charge to another payment, in provider_reference alone",
        "UPDATE provider_reference SET payment_id = '{captured}' WHERE payment_id = '{late}'",
        ("stray: provider_reference ",),
    ),
    Way(
        "remove an API key",
        "DELETE FROM api_key WHERE merchant_id = '{merchant}'",
        ("removed: api_key {merchant} ",),
    ),
    Way(
        "change who made an API key",
        "UPDATE api_key_act SET actor = 'operator:somebody' WHERE merchant_id = '{merchant}'",
        ("changed: api_key_act {merchant} ",),
    ),
    Way(
        "forget who made an API key",
        "UPDATE api_key_act SET actor = NULL WHERE merchant_id = '{merchant}'",
        ("changed: api_key_act {merchant} ",),
    ),
    Way(
        "give a key other rights, and leave it so",
        "UPDATE api_key SET operator = true, scopes = NULL WHERE merchant_id = '{merchant}'",
        ("changed: api_key {merchant} ",),
    ),
    Way(
        "put in a key that nobody made",
        "INSERT INTO api_key (merchant_id, key_id, secret_hash, created_at) VALUES ('{merchant}', 'thief',"
        " sha256('known'), now())",
        ("inserted: api_key {merchant} thief",),
    ),
    Way(
        "give a key other rights, and change what the sealed act about it says",
        "UPDATE api_key SET operator = true WHERE merchant_id = '{merchant}';"
        " UPDATE api_key_act SET operator = true WHERE merchant_id = '{merchant}'",
        ("changed: api_key_act {merchant} ",),
    ),
    Way(
        "put another view in place of history",
        "ALTER VIEW history RENAME TO history_of_yesterday; CREATE VIEW history AS SELECT * FROM history_of_yesterday"
        " WHERE actor IS NOT NULL",
        ("definition: view history",),
    ),
    Way(
        "put another query into the view of answers",
        "CREATE OR REPLACE VIEW answered_instruction AS SELECT i.merchant_id, i.idempotency_key, i.instruction_id,"
        " i.operation, i.path, i.fingerprint, i.fingerprint_version, i.request, i.payment_id, i.subject_id, i.at,"
        " r.status, i.request AS body, r.api_version FROM instruction i LEFT JOIN response r ON"
        " r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key",
        ("definition: view answered_instruction",),
    ),
    Way(
        "put a table in place of a view",
        "ALTER VIEW history RENAME TO history_of_yesterday; CREATE TABLE history AS SELECT * FROM history_of_yesterday",
        ("definition: view history",),
    ),
    Way(
        "hide rows of a table from whoever reads it",
        "ALTER TABLE rejection ENABLE ROW LEVEL SECURITY",
        ("definition: table rejection",),
    ),
    Way(
        "send a message that no step has, with the id of an attempt as its stream",
        "INSERT INTO outbox (merchant_id, stream_id, subject_id, version, message_id, type, body, at)"
        " SELECT merchant_id, subject_id, subject_id, version, 'msg_forged', 'payment.captured', 'x', now()"
        " FROM transition WHERE stream_id = '{captured}' ORDER BY version, subject_id LIMIT 1",
        ("stray: outbox {merchant} msg_forged",),
        beside=1,
    ),
    Way(
        "send a message of a step that belongs to no change",
        "INSERT INTO transition (merchant_id, subject_id, version, lead_version, from_state, to_state, event, change)"
        " SELECT merchant_id, subject_id, 77, 76, from_state, to_state, event, change FROM transition"
        " WHERE subject_id = '{captured}' AND version = 1;"
        " INSERT INTO outbox (merchant_id, stream_id, subject_id, version, message_id, type, body, at)"
        " VALUES ('{merchant}', '{captured}', '{captured}', 77, 'msg_forged', 'payment.captured', 'x', now())",
        ("stray: transition {merchant} {captured}/77", "stray: outbox"),
        beside=2,
    ),
    Way(
        "insert a refused transition with an empty key",
        "INSERT INTO rejection SELECT (json_populate_record(r,"
        ' \'{{"merchant_id":"","stream_id":"","rejection_id":""}}\')).*'
        " FROM rejection r WHERE stream_id = '{refused}' LIMIT 1",
        ("stray: rejection",),
        beside=1,
    ),
    Way(
        "insert a refused transition without a key",
        "ALTER TABLE rejection DROP CONSTRAINT rejection_pkey;"
        " ALTER TABLE rejection ALTER merchant_id DROP NOT NULL;"
        " INSERT INTO rejection SELECT (json_populate_record(r, '{{\"merchant_id\":null}}')).*"
        " FROM rejection r WHERE stream_id = '{refused}' LIMIT 1",
        ("stray: rejection", "definition: table rejection"),
        beside=2,
    ),
    Way(
        "insert a refused transition once more",
        "ALTER TABLE rejection DROP CONSTRAINT rejection_pkey;"
        " INSERT INTO rejection SELECT * FROM rejection WHERE stream_id = '{refused}' LIMIT 1",
        ("inserted: rejection {merchant} {refused}/", "definition: table rejection"),
        beside=3,
    ),
    Way(
        "insert a step of history once more",
        "ALTER TABLE transition DROP CONSTRAINT transition_pkey;"
        " INSERT INTO transition SELECT * FROM transition WHERE subject_id = '{captured}' AND version = 1",
        ("not_sealed: change {merchant} {captured}/1", "definition: table transition"),
        beside=2,
    ),
    Way(
        "insert a change that has no time",
        "ALTER TABLE transition DROP CONSTRAINT transition_has_its_cause;"
        " INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause,"
        " actor, change) SELECT merchant_id, 'pay_timeless', version, change_id, from_state, to_state, event, cause,"
        " actor, change FROM transition WHERE subject_id = '{captured}' AND version = 1",
        ("not_sealed: change {merchant} pay_timeless/1",),
        beside=1,
    ),
    Way(
        "insert a change of the end of time",
        "INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause,"
        " actor, at, change) SELECT merchant_id, 'pay_endless', version, change_id, from_state, to_state, event, cause,"
        " actor, 'infinity', change FROM transition WHERE subject_id = '{captured}' AND version = 1",
        ("not_sealed: change {merchant} pay_endless/1",),
        beside=1,
    ),
    Way(
        "insert an answer, and say that it was sealed long ago",
        "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
        " VALUES ('{merchant}', 'forged', 200, 'x', now());"
        " INSERT INTO audit_leaf SELECT merchant_id, 'response', 'forged', leaf_group, 0, salt FROM audit_leaf"
        " WHERE merchant_id = '{merchant}' LIMIT 1",
        ("inserted: response {merchant} forged",),
        since=True,
    ),
    Way(
        "put a charge with an empty key into provider_reference",
        "INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)"
        " VALUES ('', '', '', '{merchant}', '{captured}')",
        ("stray: provider_reference",),
        beside=1,
    ),
    Way(
        "write another time beside a head",
        "UPDATE audit_head SET sealed_at = sealed_at - interval '1 hour' WHERE leaf_group = 0 AND sequence = 1",
        ("head: head 1 of platform",),
        beside=1,
    ),
    Way(
        "write another time beside a checkpoint",
        "UPDATE audit_checkpoint SET sealed_at = sealed_at - interval '1 hour' WHERE number = 1",
        ("checkpoint: checkpoint 1",),
        beside=1,
    ),
    Way(
        "give the record another name",
        "UPDATE audit_record SET record_id = 'rec_forged'",
        ("head: head 1 of platform", "checkpoint: checkpoint 1"),
        beside=3,
    ),
    Way(
        "give the record another number of groups",
        "UPDATE audit_record SET merchant_groups = 32000",
        ("head: head 1 of merchants",),
        beside=2,
    ),
    Way("forget the record", "DELETE FROM audit_record", ("removed: audit_record",), beside=4),
    Way(
        "change a refused transition, and print it by a function that is called as the system's",
        "UPDATE rejection SET reason = reason || '!' WHERE stream_id = '{refused}';"
        " CREATE FUNCTION public.to_json(rejection) RETURNS json LANGUAGE sql AS"
        " 'SELECT replace(pg_catalog.to_json($1)::text, ''!\"'', ''\"'')::json'",
        ("changed: rejection {merchant} {refused}/", "definition: function public.to_json(rejection)"),
        beside=1,
    ),
    Way(
        "put an operator beside that of the system",
        "CREATE FUNCTION public.arrow(json, json) RETURNS text LANGUAGE sql AS 'SELECT ''x''';"
        " CREATE OPERATOR public.->> (LEFTARG = json, RIGHTARG = json, FUNCTION = public.arrow)",
        ("definition: operator public.->>",),
        beside=1,
    ),
    Way(
        "put in a cast of a table's rows, and a function that reads as a column",
        "CREATE FUNCTION public.printed(rejection) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';"
        " CREATE CAST (rejection AS json) WITH FUNCTION public.printed(rejection)",
        ("definition: cast rejection AS json", "definition: function public.printed(rejection)"),
        beside=2,
    ),
    Way(
        "give a column a type of one's own",
        "CREATE DOMAIN public.word AS text; ALTER TABLE processing ALTER result TYPE public.word",
        ("definition: table processing",),
        beside=4,
    ),
    Way(
        "lead the name of a table to a schema of one's own",
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.response (LIKE public.response);"
        " SET LOCAL search_path = elsewhere, public",
        ("definition: table response",),
        beside=3,
    ),
)


#: What no verifier can see. The first has a test of its own.
NOT_PROMISED: Final = (
    "edit a row before it is sealed",
    "write rows that fit each other, with the time of now, and let them be sealed",
    "take the signing key and everything that is outside, and write all of it anew",
)


async def _break(owner: asyncpg.Connection, sample: Sample, way: Way) -> None:
    names: dict[str, Any] = msgspec.structs.asdict(sample)
    for statement in way.sql.format(**names).split(";"):
        status = await owner.execute(statement)
        assert status.split()[-1] != "0" or way.outside, f"it changed nothing: {statement}"


def _tried_at_once() -> list[tuple[Way, ...]]:
    """Each way alone; but those that can be tried beside each other, where not everything is tried."""
    together: dict[int, list[Way]] = {}
    for way in WAYS:
        if way.beside is not None:
            together.setdefault(way.beside, []).append(way)
    if DEEP:
        return [(way,) for way in WAYS]
    return [(way,) for way in WAYS if way.beside is None] + [tuple(ways) for ways in together.values()]


@pytest.mark.parametrize("ways", _tried_at_once(), ids=lambda ways: ways[0].name)
async def test_a_rewritten_record_is_named(
    ways: tuple[Way, ...], owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    outside, since = any(way.outside for way in ways), any(way.since for way in ways)
    definitions = any(each.startswith("definition: ") for way in ways for each in way.finds)
    transaction = owner.transaction()
    await transaction.start()
    try:
        for way in ways:
            await _break(owner, sample, way)
        if since:
            report = await compare(owner, window_ms=600_000, since=utc_now(), definitions=False)
        else:
            report = await compare(owner, anchors if outside else (), window_ms=0, definitions=definitions)
    finally:
        await transaction.rollback()
    assert (report.since is not None) == since
    found, names = named(report), msgspec.structs.asdict(sample)
    finds = [each.format(**names) for way in ways for each in way.finds]
    assert [each for each in finds if not any(f.startswith(each) for f in found)] == [], found


async def test_every_charge_of_a_provider_that_keeps_them_has_to_be_known(
    owner: asyncpg.Connection, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample's provider keeps none, but for those that came late: were it one that does, each would be missed."""
    setups = {name: msgspec.structs.replace(setup, keeps_references=True) for name, setup in PROVIDERS.items()}
    monkeypatch.setattr(folds, "PROVIDERS", setups)
    monkeypatch.setattr(folds, "_PAGE", 3)
    found = AuditReport()
    await folds.compare_folds(owner, set(), found)
    missed = {each.detail.split()[3] for each in found.findings if each.what == "removed"}
    assert {sample.captured, sample.authorized, sample.refunded} <= missed
    assert not {sample.late, sample.declined, sample.unknown} & missed


#: What the outsider's statements call what they rewrite.
_PLACES: Final[dict[str, Any]] = {
    "leaf_table": "audit_leaf",
    "leaf_position": "position",
    "head_table": "audit_head",
    "head_sequence": "sequence",
    "head_size": "size",
    "group": "leaf_group",
    "restored_from": 0,
}


async def _leads(owner: asyncpg.Connection) -> dict[str, str]:
    """Step -> the leaf key of its change, with the merchant before both."""
    rows = await owner.fetch(
        "SELECT merchant_id, subject_id, version, coalesce(stream_id, subject_id), coalesce(lead_version, version)"
        " FROM transition"
    )
    return {f"{merchant} {step}/{at}": f"{merchant} {stream}/{lead}" for merchant, step, at, stream, lead in rows}


def _leaves_with(table: str, key: str, leads: dict[str, str]) -> tuple[str, ...]:
    """What a finding about this row may be about."""
    parts = key.split("/")
    if table == "transition":
        step = "{} {}/{}".format(*parts)
        return f"transition {step}", f"change {leads.get(step)}"
    if table == "transfer":
        merchant, _, subject, version, leg = parts
        step = f"{merchant} {subject}/{version}"
        # A step that belongs to no change is named itself, and its postings with it.
        return f"transfer {step}/{leg}", f"change {leads.get(step)}", f"transition {step}"
    if table in ("operator_act", "provider_reference"):
        return (f"{table} {key}",)
    if table == "outbox":
        return (f"change {parts[0]} {parts[1]}/{parts[2]}",)
    return (f"{table} {' '.join(parts)}",)


@pytest.mark.parametrize("way", OUTSIDER_WAYS, ids=lambda way: way.name)
async def test_what_an_outsider_rewrites_is_named_row_by_row(
    way: OutsiderWay, owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        leads, touched = await _leads(owner), list[tuple[str, str]]()
        for statement in way.statements:
            touched += [(row["tbl"], row["key"]) for row in await owner.fetch(statement.format(**_PLACES))]
        leads |= await _leads(owner)
        report = await compare(owner, anchors if way.outside else (), window_ms=0, definitions=False)
        found = named(report)
    finally:
        await transaction.rollback()
    assert touched, "the sample lacks what this way needs"
    about = {each.partition(": ")[2] for each in found}
    missing = [each for each in touched if not about.intersection(_leaves_with(*each, leads))]
    assert {table for table, _ in missing} == set(way.unseen), (missing, found)
    assert [kind for kind in way.finds if not any(each.startswith(kind) for each in found)] == [], found
    assert bool(found) == way.promised


async def test_what_nobody_touched_holds(owner: asyncpg.Connection, anchors: list[Anchor]) -> None:
    async with owner.transaction():
        # A window that a slow machine keeps: how soon the sample was sealed is not what is asked here.
        inside = await compare(owner, window_ms=600_000)
        outside = await compare(owner, anchors, window_ms=600_000)
    assert (named(inside), named(outside)) == ([], [])
    assert (inside.unsealed, inside.late, inside.outside) == (0, [], None)
    assert inside.leaves == inside.examined > 100
    assert outside.promised_until is not None
    assert await owner.fetchval("SELECT count(*) FROM provider_reference") > 0, "honest ones are no finding"


async def test_an_edit_before_sealing_is_seen_by_nobody(new_database: NewDatabase) -> None:
    """It is not promised: what is sealed is what is there when the sealer comes."""
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(
            "INSERT INTO response (merchant_id, idempotency_key, status, body, at) VALUES ('m', 'k', 200, 'x', now())"
        )
        await owner.execute("UPDATE response SET status = 500")
        async with await open_pool(database.app_url, SETTINGS) as pool:
            await seal_all(pool)
        async with owner.transaction():
            report = await compare(owner)
    finally:
        await owner.close()
    assert (named(report), report.late) == ([], [])
    assert report.outside is None, "what is not outside is not promised at all"


def table() -> str:
    """The ways, as the page for operators has them."""
    rows = [
        f"| {way.name} | {_seen_by(way)} | {', '.join(dict.fromkeys(_shown(found) for found in way.finds))} |"
        for way in WAYS
    ]
    rows += [_outsider_row(way) for way in OUTSIDER_WAYS]
    rows += [f"| {name} | nothing | *not promised* |" for name in NOT_PROMISED]
    return "\n".join(["| as the owner of the database | seen by | named |", "|---|---|---|", *rows])


def _seen_by(way: Way) -> str:
    return f"`audit verify{' --heads' * way.outside}{' --since' * way.since}`"


def _outsider_row(way: OutsiderWay) -> str:
    if not way.promised:
        return f"| {way.name} (an outsider's) | nothing | *not promised* |"
    seen = "`audit verify --heads`" if way.outside else "`audit verify`"
    said = ", ".join(dict.fromkeys(_shown(f"{found} ") for found in way.finds))
    return f"| {way.name} (an outsider's) | {seen} | {said} |"


def _shown(found: str) -> str:
    what, _, about = found.partition(": ")
    said = "the head" if what == "head" else what.replace("_", " ")
    thing = about.split(" ")[0]
    return said if thing in ("head", "checkpoint") and what != "rolled_back" else f"{said}: {thing}"


def tables() -> str:
    """What becomes of each table of the schema, and of columns in no leaf, as the page for operators has it."""
    rows = [f"| {', '.join(f'`{name}`' for name in sorted(sealed_tables.COLUMNS))} | sealed, as leaves |"]
    left_out: dict[str, list[str]] = {}
    for name, reason in sealed_tables.LEFT_OUT.items():
        left_out.setdefault(reason, []).append(name)
    rows += [
        f"| {', '.join(f'`{name}`' for name in names)} | in no leaf: {reason} |" for reason, names in left_out.items()
    ]
    for told, word in ((sealed_tables.FOLDED, ""), (sealed_tables.NOT_PROMISED, "not promised: ")):
        by_reason: dict[str, list[str]] = {}
        for name, reason in told.items():
            by_reason.setdefault(reason, []).append(name)
        rows += [
            f"| {', '.join(f'`{name}`' for name in names)} | {word}{reason} |" for reason, names in by_reason.items()
        ]
    return "\n".join(["| table | what is proved of it |", "|---|---|", *rows])


async def test_the_page_has_every_way_and_every_table() -> None:
    page = (Path(__file__).parents[3] / "docs/operate/audit.md").read_text()
    assert table() in page
    assert tables() in page
