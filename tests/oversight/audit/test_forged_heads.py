"""Trees that somebody forged beside the sealer: it adds nothing to them, and a comparison names what a key signed that
had ended."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import pytest

from tallystick.kit.clock import Clock, utc_now
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.heads import SigningKey, group_of, read_checkpoint
from tallystick.oversight.audit.rotate import rotate
from tallystick.oversight.audit.tree_writer import BrokenHead, TreeWriter
from tallystick.oversight.audit.trees import head_name
from tallystick.record.postgres.audit_heads import Record
from tallystick.record.postgres.audit_rows import END, AuditRows, Thing
from tests.support.audit import KEY, KEYS, compare, named
from tests.support.sample import Sample

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER: Final = SigningKey.from_text(base64.b64encode(b"no secret: the next one of tests").decode())

_ANSWER: Final = (
    "INSERT INTO response (merchant_id, idempotency_key, status, body, at) VALUES ($1, $2, 200, 'x', clock_timestamp())"
)


@asynccontextmanager
async def _rolled_back(owner: asyncpg.Connection) -> AsyncIterator[AuditRows]:
    transaction = owner.transaction()
    await transaction.start()
    try:
        rows = AuditRows(owner)
        await rows.in_utc()
        yield rows
    finally:
        await transaction.rollback()


async def _answer(owner: asyncpg.Connection, rows: AuditRows, merchant: str, key: str) -> Thing:
    """A row that is not sealed."""
    begun: datetime = utc_now() - timedelta(minutes=10)
    await owner.execute(_ANSWER, merchant, key)
    [thing] = [each for each in await rows.unsealed("response", begun, 1_000, END) if each.leaf_key == key]
    return thing


def _writer(record: Record, key: SigningKey) -> TreeWriter:
    return TreeWriter(Clock(), record.merchant_groups, key)


async def _record(rows: AuditRows) -> Record:
    record = await rows.record()
    assert record is not None, "the sample is sealed"
    return record


async def test_a_head_that_an_ended_key_signed_is_named_and_not_followed(
    owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    """A key that leaked is changed. Who has the old one puts a head of their own after the newest."""
    async with _rolled_back(owner) as rows:
        await rotate(owner, KEY, OTHER, Clock())
        record, last = await _record(rows), await rows.last_checkpoint()
        assert last is not None
        group = group_of("response", sample.merchant, record.merchant_groups)
        newest = {each.group: each for each in read_checkpoint(last.document).groups}[group]
        forger = _writer(record, KEY)
        forger.keys = KEYS | {OTHER.key_id: OTHER.public}
        thing = await _answer(owner, rows, sample.merchant, "forged")
        forged = await forger._add(rows, record, group, [thing], utc_now(), newest)

        sealer = _writer(record, OTHER)
        honest = await _answer(owner, rows, sample.merchant, "honest")
        with pytest.raises(BrokenHead, match="is not the one that the newest checkpoint names"):
            await sealer.seal(rows, [honest])
        # A sealer of an earlier release followed it.
        await sealer.believe(rows)
        await sealer.add_checkpoint(rows, record, [forged], utc_now())
        found = await compare(owner, window_ms=600_000)
    assert [(each.what, each.about) for each in found.findings] == [("head", head_name(group, newest.sequence + 1))]
    assert found.findings[0].detail == f"it is signed by a key that had ended ({KEY.key_id})"


async def test_a_checkpoint_that_an_ended_key_signed_is_not_followed(
    owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    async with _rolled_back(owner) as rows:
        await rotate(owner, KEY, OTHER, Clock())
        record, sealer = await _record(rows), _writer(await _record(rows), OTHER)
        forger = _writer(record, KEY)
        forger.keys = KEYS | {OTHER.key_id: OTHER.public}
        await forger.add_checkpoint(rows, record, (), utc_now())
        with pytest.raises(BrokenHead, match="its key had ended"):
            await sealer.seal(rows, [await _answer(owner, rows, sample.merchant, "honest")])


#: What was removed or changed -> what the sealer says.
REMOVED: Final = {
    "DELETE FROM audit_head WHERE leaf_group = $1 AND sequence > 1": "newest checkpoint names",
    "DELETE FROM audit_head WHERE leaf_group = $1": "newest checkpoint names",
    "DELETE FROM audit_checkpoint WHERE $1 > 0": "newest checkpoint names",
    "UPDATE audit_checkpoint SET number = number + 1000 WHERE $1 > 0": "is not what was signed",
    "UPDATE audit_record SET record_id = 'rec_forged' WHERE $1 > 0": "another record",
}


async def test_a_sealer_makes_no_fork_where_something_was_removed(
    owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    """The head that was there is outside: another one in its place would make an honest record look rewritten."""
    async with _rolled_back(owner) as rows:
        record = await _record(rows)
        group = group_of("response", sample.merchant, record.merchant_groups)
        for key in ("one", "two"):  # more than one head, whatever the sample has
            await _writer(record, KEY).seal(rows, [await _answer(owner, rows, sample.merchant, key)])
        thing = await _answer(owner, rows, sample.merchant, "next")
        for statement, says in REMOVED.items():
            async with _rolled_back(owner):
                assert await owner.execute(statement, group) not in ("DELETE 0", "UPDATE 0")
                with pytest.raises(BrokenHead, match=says):
                    await _writer(record, KEY).seal(rows, [thing])
        await _writer(record, KEY).seal(rows, [thing])


async def test_what_is_sealed_in_turn_by_the_same_key_holds(
    owner: asyncpg.Connection, sample: Sample, anchors: list[Anchor]
) -> None:
    """Before a key ends, and after it, with heads of both."""
    async with _rolled_back(owner) as rows:
        record = await _record(rows)
        await _writer(record, KEY).seal(rows, [await _answer(owner, rows, sample.merchant, "before")])
        await rotate(owner, KEY, OTHER, Clock())
        await _writer(record, OTHER).seal(rows, [await _answer(owner, rows, sample.merchant, "after")])
        found = named(await compare(owner, window_ms=600_000))
    assert found == []
