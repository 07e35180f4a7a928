"""The checker of proofs for auditors, ``examples/check_audit.py``, on trees of every size."""

from __future__ import annotations

import base64
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tallystick.oversight.audit.merkle import consistency_proof, leaf_hash, root_of

KEY: Final = Ed25519PrivateKey.generate()

CHECKER: Final = runpy.run_path(str(Path(__file__).parents[3] / "examples/check_audit.py"))

MANY: Final = [leaf_hash(b"%d" % number) for number in range(24)]


def signed(size: int, root: bytes) -> dict[str, str]:
    text = f"a head\nsize {size}\nroot {root.hex()}"
    return {"head": text, "signature": base64.b64encode(KEY.sign(text.encode())).decode()}


def check(earlier: tuple[int, bytes], later: tuple[int, bytes], path: list[bytes]) -> None:
    proof: dict[str, Any] = {"proof": "tallystick consistency 1", "path": [each.hex() for each in path]}
    trusted = [KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)]
    CHECKER["check"](trusted, proof | signed(*later) | {"earlier": signed(*earlier)})


@pytest.mark.parametrize("size", range(1, len(MANY) + 1))
def test_a_tree_begins_with_every_earlier_one_and_with_itself(size: int) -> None:
    root, another = root_of(MANY[:size]), leaf_hash(b"another")
    for first in range(1, size + 1):
        earlier, path = (first, root_of(MANY[:first])), consistency_proof(MANY[:size], first)
        check(earlier, (size, root), path)
        rewritten = (first, root_of([*MANY[: first - 1], another]))
        wrong = [(rewritten, path), (earlier, [*path, another])]
        wrong += [(earlier, path[:at] + path[at + 1 :]) for at in range(len(path))]
        for begins, by in wrong:
            with pytest.raises((ValueError, IndexError)):
                check(begins, (size, root), by)


@pytest.mark.parametrize("first", [0, 4])
def test_no_tree_and_a_later_tree_are_nothing_to_begin_with(first: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        check((first, root_of(MANY[:first])), (3, root_of(MANY[:3])), [])


def test_a_value_is_looked_for_where_hashes_of_values_stand() -> None:
    """Its hash elsewhere in a leaf, such as in the name of somebody who acted, proves nothing."""
    salt, name, value = bytes(range(16)), "response.body", '"a word"'
    hashed = hashlib.sha256(salt + name.encode() + b"\0" + value.encode()).hexdigest()
    trusted = [KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)]

    def proof(leaf: str) -> dict[str, Any]:
        said: dict[str, Any] = {"proof": "tallystick inclusion 1", "leaf": leaf, "position": 0, "path": []}
        return said | {"salt": salt.hex(), "values": [[name, value]]} | signed(1, leaf_hash(leaf.encode()))

    CHECKER["check"](trusted, proof(json.dumps({"body": {"salted": hashed}}, separators=(",", ":"))))
    for elsewhere in ({"actor": hashed}, {"actor": f'"salted":"{hashed}"'}, {"salted": f"{hashed}0"}):
        with pytest.raises(ValueError, match="is not what is in the leaf"):
            CHECKER["check"](trusted, proof(json.dumps(elsewhere, separators=(",", ":"))))
