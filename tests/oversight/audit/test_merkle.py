"""Trees as RFC 6962 has them: known roots, proofs of every place and size, and an implementation from elsewhere."""

from __future__ import annotations

import pytest

from tallystick.oversight.audit.merkle import (
    EMPTY_ROOT,
    Peaks,
    consistency_holds,
    consistency_proof,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    root_of,
)

#: The leaves of Certificate Transparency's reference tree, and its roots by size: the known vectors of RFC 6962.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "60" * 0)]
LEAVES[7] = bytes.fromhex("606162636465666768696a6b6c6d6e6f")
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
MANY = [leaf_hash(b"%d" % number) for number in range(40)]


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_the_known_ones(size: int) -> None:
    assert root_of(HASHES[:size]).hex() == ROOTS[size]


def test_a_tree_goes_on_from_its_peaks() -> None:
    for size in range(len(MANY)):
        begun = Peaks()
        for hashed in MANY[:size]:
            begun.append(hashed)
        resumed = Peaks.from_bytes(size, begun.to_bytes())
        for hashed in MANY[size:]:
            resumed.append(hashed)
        assert resumed.root() == root_of(MANY)
    with pytest.raises(ValueError, match="complete subtrees"):
        Peaks(3, [EMPTY_ROOT])


def test_every_leaf_is_proved_and_nothing_else_is() -> None:
    for size in range(1, 20):
        root = root_of(MANY[:size])
        for position in range(size):
            proof = inclusion_proof(MANY[:size], position)
            assert inclusion_holds(MANY[position], position, size, proof, root)
            assert not inclusion_holds(MANY[position + 1], position, size, proof, root)
            assert not inclusion_holds(MANY[position], position, size, [*proof, root], root)
            for other in set(range(size)) - {position}:
                assert not inclusion_holds(MANY[position], other, size, proof, root)
            for at in range(len(proof)):
                assert not inclusion_holds(MANY[position], position, size, proof[:at] + proof[at + 1 :], root)


def test_every_earlier_tree_is_proved_and_no_other_is() -> None:
    for second in range(1, 24):
        root = root_of(MANY[:second])
        for first in range(1, second + 1):
            proof = consistency_proof(MANY[:second], first)
            assert consistency_holds(first, root_of(MANY[:first]), second, root, proof)
            rewritten = [*MANY[: first - 1], leaf_hash(b"another")]
            assert not consistency_holds(first, root_of(rewritten), second, root, proof)
            for at in range(len(proof)):
                assert not consistency_holds(first, root_of(MANY[:first]), second, root, proof[:at] + proof[at + 1 :])
    assert not consistency_holds(0, EMPTY_ROOT, 5, root_of(MANY[:5]), [])


def test_an_implementation_from_elsewhere_agrees() -> None:
    pymerkle = pytest.importorskip("pymerkle")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(len(MANY)):
        tree.append_entry(b"%d" % number)
    for size in range(1, len(MANY) + 1):
        assert tree.get_root(size) == root_of(MANY[:size])
        for position in range(0, size, 3):
            theirs = tree.prove_inclusion(position + 1, size)  # it counts from one
            ours = inclusion_proof(MANY[:size], position)
            assert sorted(theirs.path) == sorted([MANY[position], *ours])
            pymerkle.verify_inclusion(MANY[position], root_of(MANY[:size]), theirs)
        for first in range(1, size, 4):
            theirs = tree.prove_consistency(first, size)
            pymerkle.verify_consistency(root_of(MANY[:first]), root_of(MANY[:size]), theirs)
            assert set(consistency_proof(MANY[:size], first)) <= set(theirs.path)
