"""Proofs as files, checked by a program that has nothing of ours, and by an implementation from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.oversight.audit.heads import read_head
from tallystick.oversight.audit.leaves import leaf_bytes
from tallystick.oversight.audit.merkle import leaf_hash
from tallystick.oversight.audit.prove import NotProved, consistency_of, inclusion_proofs
from tallystick.record.postgres.audit_rows import KINDS, AuditRows
from tests.support.proof_checker import CHECKER, check_proof
from tests.support.sample import Sample

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _proofs(owner: asyncpg.Connection, merchant: str, subject: str) -> list[dict[str, Any]]:
    async with owner.transaction():
        rows = AuditRows(owner)
        await rows.in_utc()
        return await inclusion_proofs(rows, merchant, subject)


async def test_changes_are_proved_to_who_has_nothing_of_ours(
    owner: asyncpg.Connection, sample: Sample, tmp_path: Path
) -> None:
    assert len(CHECKER.read_text().splitlines()) <= 80
    assert "tallystick" not in [
        word for line in CHECKER.read_text().splitlines() if "import" in line for word in line.split()
    ]
    proofs = await _proofs(owner, sample.merchant, sample.captured)
    assert [json.loads(proof["leaf"])["key"] for proof in proofs] == [f"{sample.captured}/{step}" for step in (1, 2)]
    for proof in proofs:
        assert check_proof(tmp_path, proof)[0] == 0
    first, second = proofs
    assert ["transition.change.metadata", "{}"] in first["values"] or first["values"]
    broken: list[tuple[dict[str, Any], str]] = [
        (first | {"leaf": second["leaf"]}, "not in the tree"),
        (first | {"position": first["position"] + 1}, "not in the tree"),
        (first | {"path": first["path"][:-1]}, "too short"),
        (first | {"path": [*first["path"], first["path"][0]]}, "too long"),
        (first | {"head": first["head"].replace("size ", "size 1")}, "not signed"),
        (first | {"values": [["transition.evidence", "{}"]]}, "not what is in the leaf"),
        (first | {"proof": "another"}, "not a proof"),
    ]
    for proof, says in broken:
        code, printed = check_proof(tmp_path, proof)
        assert (code, says in printed) == (1, True), printed


async def test_a_tree_is_proved_to_begin_with_what_it_was(
    owner: asyncpg.Connection, sample: Sample, tmp_path: Path
) -> None:
    async with owner.transaction():
        rows = AuditRows(owner)
        found = [await consistency_of(rows, 0, sequence) for sequence in (1, 2)]
        with pytest.raises(NotProved, match="has no head 77"):
            await consistency_of(rows, 0, 77)
    for proof in found:
        assert check_proof(tmp_path, proof)[0] == 0
    mixed = found[0] | {"earlier": found[1]["earlier"]}
    if read_head(found[0]["earlier"]["head"]).size != read_head(found[1]["earlier"]["head"]).size:
        assert check_proof(tmp_path, mixed)[0] == 1


async def test_what_was_changed_is_not_proved(owner: asyncpg.Connection, sample: Sample) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute("UPDATE transition SET actor = 'x' WHERE subject_id = $1", sample.captured)
        with pytest.raises(NotProved, match="is not what was sealed"):
            await _proofs(owner, sample.merchant, sample.captured)
    finally:
        await transaction.rollback()
    with pytest.raises(NotProved, match="has no changes"):
        await _proofs(owner, sample.merchant, "pay_unknown")


async def test_an_implementation_from_elsewhere_takes_the_proof(owner: asyncpg.Connection, sample: Sample) -> None:
    """It builds a tree of the same leaves, and has the same root and the same path."""
    pymerkle = pytest.importorskip("pymerkle")
    (proof, *_) = await _proofs(owner, sample.merchant, sample.captured)
    head = read_head(proof["head"])
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    async with owner.transaction():
        rows = AuditRows(owner)
        await rows.in_utc()
        leaves = {}
        for kind in KINDS:
            async for page in rows.every(kind, 500):
                for thing in page:
                    if thing.place is not None and thing.place.leaf_group == head.group:
                        leaves[thing.place.position] = leaf_bytes(thing, thing.place.salt)
    for position in range(head.size):
        tree.append_entry(leaves[position])
    assert tree.get_root(head.size) == head.root
    theirs = tree.prove_inclusion(proof["position"] + 1, head.size)
    mine = [leaf_hash(proof["leaf"].encode()), *(bytes.fromhex(each) for each in proof["path"])]
    assert sorted(theirs.path) == sorted(mine)
