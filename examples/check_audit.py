"""Check proofs of Tallystick's audit, with nothing of Tallystick: `python check_audit.py PUBLIC_KEYS PROOF.json ...`.

PUBLIC_KEYS has a key a line in base64. Needs the package `cryptography`. Exits 1 where a proof does not hold."""

import base64
import hashlib
import json
import pathlib
import sys
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def signed_head(keys: list[bytes], text: str, signature: str) -> tuple[int, bytes]:
    """(size, root) of a head that one of the keys signed."""
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature), text.encode())
        except InvalidSignature:
            continue
        said = dict(line.split(" ", 1) for line in text.splitlines()[1:])
        return int(said["size"]), bytes.fromhex(said["root"])
    raise ValueError("the head is not signed by a key of yours")


def fold(path: list[bytes], at: int, last: int, old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Both roots by RFC 9162, 2.1.4.2 (and, with old = new, 2.1.3.2)."""
    for other in path:
        if last == 0:
            raise ValueError("the path is too long")
        if at & 1 or at == last:
            old, new = sha256(b"\x01", other, old), sha256(b"\x01", other, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = sha256(b"\x01", new, other)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return old, new


def check(keys: list[bytes], proof: dict[str, Any]) -> None:
    size, root = signed_head(keys, proof["head"], proof["signature"])
    path = [bytes.fromhex(each) for each in proof["path"]]
    if proof["proof"] == "tallystick inclusion 1":
        leaf = sha256(b"\x00", proof["leaf"].encode())
        if not 0 <= proof["position"] < size or fold(path, proof["position"], size - 1, leaf, leaf)[1] != root:
            raise ValueError("the leaf is not in the tree of the head")
        for name, value in proof["values"]:
            hashed = sha256(bytes.fromhex(proof["salt"]), name.encode(), b"\0", value.encode()).hex()
            if f'"salted":"{hashed}"' not in proof["leaf"]:
                raise ValueError(f"{name} is not what is in the leaf")
    elif proof["proof"] == "tallystick consistency 1":
        first, first_root = signed_head(keys, proof["earlier"]["head"], proof["earlier"]["signature"])
        at, last = max(first - 1, 0), size - 1 if first < size else 0  # a tree begins with itself, by an empty path
        while at & 1:
            at, last = at >> 1, last >> 1
        start, path = (first_root, path) if first >= size or first & (first - 1) == 0 else (path[0], path[1:])
        if not 0 < first <= size or fold(path, at, last, start, start) != (first_root, root):
            raise ValueError("the later tree does not begin with the earlier one")
    else:
        raise ValueError("not a proof that is known here")


if __name__ == "__main__":
    lines = pathlib.Path(sys.argv[1]).read_text().splitlines()
    trusted = [base64.b64decode(line) for line in lines if line.strip() and not line.startswith("#")]
    for name in sys.argv[2:]:
        try:
            check(trusted, json.loads(pathlib.Path(name).read_text()))
            print(f"{name}: holds")
        except (ValueError, KeyError, IndexError) as error:
            sys.exit(f"{name}: {error}")
