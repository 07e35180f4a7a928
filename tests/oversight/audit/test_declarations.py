"""A restore that was declared is a cut, and heads go on; a key that was changed is followed, and the old one ends."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import cast

import asyncpg
import pytest

from tallystick.access.accounts import OperatorVersion, insert_version
from tallystick.access.roles import rights_of
from tallystick.access.viewer import Viewer
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.operations import restores
from tallystick.flows.operations.restores import SignedRestore
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Behind, read_anchors
from tallystick.oversight.audit.declarations import own_keys
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.restored import NotRestored, restore_to_declare
from tallystick.oversight.audit.rotate import NotRotated, rotate
from tallystick.oversight.audit.seal import BrokenHead, Sealer
from tallystick.record.postgres.audit_rows import AuditRows
from tests.support.audit import KEY, KEYS, SETTINGS, compare, copy_heads, named, seal_all, sealer_of
from tests.support.database import Database, NewDatabase
from tests.support.runtime import BookedProvider, runtime_of

_ANSWER = "INSERT INTO response (merchant_id, idempotency_key, status, body, at) VALUES ('m', $1, 200, 'x', now())"

#: What a back-up of these tests has.
_BACKED_UP = (
    "response",
    "audit_record",
    "audit_head",
    "audit_checkpoint",
    "audit_leaf",
    "audit_sweep",
    "audit_position",
)

OTHER = SigningKey.from_text(base64.b64encode(b"no secret: the next one of tests").decode())


@pytest.fixture
def fresh(new_database: NewDatabase) -> Database:
    """Without leaves."""
    return new_database()


async def _back_up(owner: asyncpg.Connection) -> None:
    for table in _BACKED_UP:
        await owner.execute(f"CREATE TABLE IF NOT EXISTS backed_up_{table} AS TABLE {table}")


async def _restore(owner: asyncpg.Connection) -> None:
    for table in _BACKED_UP:
        await owner.execute(f"DELETE FROM {table}")
        await owner.execute(f"INSERT INTO {table} SELECT * FROM backed_up_{table}")
    await owner.execute("DELETE FROM watch")


async def _admins(runtime: Runtime, *names: str) -> list[Viewer]:
    at = runtime.clock.now()
    for name in names:
        version = OperatorVersion(
            operator_id=name,
            version=1,
            state="active",
            roles=["admin"],
            merchants=None,
            raw_evidence=False,
            actor="test",
            request_id=None,
            at=at,
        )
        await insert_version(runtime.pool, version)
    return [
        Viewer(
            operator_id=name,
            roles=frozenset({"admin"}),
            merchants=None,
            rights=rights_of(["admin"]),
            signed_in_at=runtime.clock.now(),
        )
        for name in names
    ]


async def _declared(runtime: Runtime, heads: Path, number: int) -> SignedRestore:
    async with runtime.pool.acquire() as proxy:
        rows = AuditRows(cast(asyncpg.Connection, proxy))
        said = await restore_to_declare(rows, read_anchors(heads), number, "opa_restored", KEY, runtime.clock.now())
    return SignedRestore(
        document=said.text(),
        signature=KEY.sign(said.text()),
        act_id=said.act,
        restored_from=said.restored_from,
        last=said.last,
    )


async def test_a_declared_restore_is_a_cut_and_heads_go_on(fresh: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(fresh.owner_url)
    try:
        async with runtime_of(fresh.app_url, BookedProvider(), settings=SETTINGS) as runtime:
            pool = runtime.pool
            await pool.execute(_ANSWER, "kept")
            await seal_all(pool)
            await copy_heads(pool, tmp_path)
            await _back_up(owner)
            kept = read_anchors(tmp_path)[-1].checkpoint.number
            for number in range(3):
                await pool.execute(_ANSWER, f"lost {number}")
                await seal_all(pool)
                await copy_heads(pool, tmp_path)
            await _restore(owner)
            async with owner.transaction():
                undeclared = named(await compare(owner, read_anchors(tmp_path), window_ms=600_000))
            await pool.execute(_ANSWER, "before it is declared")
            await seal_all(pool)

            ada, bob = await _admins(runtime, "ada", "bob")
            with pytest.raises(NotRestored, match="that is outside"):
                await _declared(runtime, tmp_path, read_anchors(tmp_path)[-1].checkpoint.number)
            signed = await _declared(runtime, tmp_path, kept)
            request = await restores.declare(runtime, signed, actor=ada.actor, reason="the disk failed")
            async with owner.transaction():
                asked = named(await compare(owner, read_anchors(tmp_path), window_ms=600_000))
            await four_eyes.decide(
                runtime,
                APPROVABLE,
                request.request_id,
                bob,
                approves=True,
                seen_hash=request.shown_hash,
                reason="I saw the disk",
            )
            await pool.execute(_ANSWER, "after it")
            await seal_all(pool)
            await copy_heads(pool, tmp_path)
            async with owner.transaction():
                report = await compare(owner, read_anchors(tmp_path), window_ms=600_000)
            await owner.execute("UPDATE approval_outcome SET outcome = 'rejected'")
            async with owner.transaction():
                without_approval = named(await compare(owner, read_anchors(tmp_path), window_ms=600_000))
    finally:
        await owner.close()
    assert any(each.startswith("rolled_back: checkpoint ") for each in undeclared)
    assert "removed: response m lost 2" in undeclared
    assert "removed: response m lost 2" in asked, "asking alone is no cut"
    assert named(report) == []
    [cut] = report.cuts
    assert (cut.restored_from, cut.last, cut.act) == (kept, signed.last, "opa_restored")
    assert cut.leaves >= 3
    assert report.outside == f"checkpoint {read_anchors(tmp_path)[-1].checkpoint.number}"
    assert read_anchors(tmp_path)[-1].checkpoint.number > signed.last
    assert "stray: restore of the act opa_restored" in without_approval


async def test_nothing_is_copied_over_a_restore_that_nobody_declared(fresh: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(fresh.owner_url)
    try:
        async with runtime_of(fresh.app_url, BookedProvider(), settings=SETTINGS) as runtime:
            await runtime.pool.execute(_ANSWER, "kept")
            await seal_all(runtime.pool)
            await _back_up(owner)
            await runtime.pool.execute(_ANSWER, "lost")
            await seal_all(runtime.pool)
            await copy_heads(runtime.pool, tmp_path)
            await _restore(owner)
            with pytest.raises(Behind, match="audit restored"):
                await copy_heads(runtime.pool, tmp_path)
            # The record goes on, and comes to numbers that are outside, and above them.
            outside = read_anchors(tmp_path)[-1].checkpoint.number
            for number in range(4):
                await runtime.pool.execute(_ANSWER, f"later {number}")
                await seal_all(runtime.pool)
                with pytest.raises(Behind, match="audit restored"):
                    await copy_heads(runtime.pool, tmp_path)
            newest = await runtime.pool.fetchval("SELECT max(number) FROM audit_checkpoint")
    finally:
        await owner.close()
    assert newest > outside


async def test_another_key_signs_and_the_old_one_ends(fresh: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(fresh.owner_url)
    try:
        async with runtime_of(fresh.app_url, BookedProvider(), settings=SETTINGS) as runtime:
            pool = runtime.pool
            async with pool.acquire() as proxy:
                connection = cast(asyncpg.Connection, proxy)
                with pytest.raises(NotRotated, match="nothing is sealed"):
                    await rotate(connection, KEY, OTHER, Clock())
                await pool.execute(_ANSWER, "first")
                await seal_all(pool)
                with pytest.raises(NotRotated, match="signs now"):
                    await rotate(connection, KEY, KEY, Clock())
                with pytest.raises(BrokenHead):
                    await rotate(connection, OTHER, KEY, Clock())
                said = await rotate(connection, KEY, OTHER, Clock())
            await pool.execute(_ANSWER, "second")
            old = sealer_of(pool)
            with pytest.raises(BrokenHead, match="another key signs now"):
                await old.round()
            await old.leave()
            new = Sealer(pool, Clock(), SETTINGS, OTHER)
            while await new.round():
                pass
            await new.leave()
            async with pool.acquire() as proxy:
                with pytest.raises(NotRotated, match="has ended"):
                    await rotate(cast(asyncpg.Connection, proxy), OTHER, KEY, Clock())
            await copy_heads(pool, tmp_path, OTHER)
        async with owner.transaction():
            both = await compare(owner, read_anchors(tmp_path), window_ms=600_000)
            one = named(await compare(owner, window_ms=600_000, keys={OTHER.key_id: OTHER.public}))
            own = own_keys(OTHER.public, await AuditRows(owner).rotations())
            by_own = named(await compare(owner, window_ms=600_000, keys=own))
        async with owner.transaction():
            last = await AuditRows(owner).last_checkpoint()
            assert last is not None
            forged = last.document.replace(f"key {OTHER.key_id}", f"key {KEY.key_id}")
            await owner.execute(
                "UPDATE audit_checkpoint SET document = $1, signature = $2 WHERE number = $3",
                forged,
                KEY.sign(forged),
                last.number,
            )
            by_the_old = named(await compare(owner, window_ms=600_000))
        await owner.execute("UPDATE audit_key_rotation SET new_signature = old_signature")
        async with owner.transaction():
            unsigned = named(await compare(owner, window_ms=600_000))
            alone = own_keys(OTHER.public, await AuditRows(owner).rotations())
    finally:
        await owner.close()
    assert (named(both), both.unsealed) == ([], 0)
    assert both.outside == f"checkpoint {both.checkpoints}" and said.begins < both.checkpoints
    assert any(each.startswith("head: ") for each in one), "who trusts the new key alone cannot believe the older heads"
    assert f"checkpoint: checkpoint {last.number}" in by_the_old
    assert "stray: key_rotation" in unsigned and f"checkpoint: checkpoint {said.begins}" in unsigned
    assert KEYS.keys() == {KEY.key_id}
    assert (by_own, set(own), set(alone)) == ([], {KEY.key_id, OTHER.key_id}, {OTHER.key_id})


async def test_a_key_that_was_changed_since_declares_no_restore(fresh: Database, tmp_path: Path) -> None:
    """It was asked for before, and is decided on after: the sealer would believe it, and a comparison would not."""
    owner = await asyncpg.connect(fresh.owner_url)
    try:
        async with runtime_of(fresh.app_url, BookedProvider(), settings=SETTINGS) as runtime:
            await runtime.pool.execute(_ANSWER, "kept")
            await seal_all(runtime.pool)
            await copy_heads(runtime.pool, tmp_path)
            kept = read_anchors(tmp_path)[-1].checkpoint.number
            await _back_up(owner)
            await runtime.pool.execute(_ANSWER, "lost")
            await seal_all(runtime.pool)
            await copy_heads(runtime.pool, tmp_path)
            await _restore(owner)
            ada, bob = await _admins(runtime, "ada", "bob")
            signed = await _declared(runtime, tmp_path, kept)
            request = await restores.declare(runtime, signed, actor=ada.actor, reason="the disk failed")
            async with runtime.pool.acquire() as proxy:
                await rotate(cast(asyncpg.Connection, proxy), KEY, OTHER, Clock())
            with pytest.raises(four_eyes.NotDecided, match="has changed"):
                await four_eyes.decide(
                    runtime,
                    APPROVABLE,
                    request.request_id,
                    bob,
                    approves=True,
                    seen_hash=request.shown_hash,
                    reason="I saw the disk",
                )
            declared = await runtime.pool.fetchval("SELECT count(*) FROM audit_restore")
    finally:
        await owner.close()
    assert declared == 0
