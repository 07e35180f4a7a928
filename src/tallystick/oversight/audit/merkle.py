"""Merkle trees as RFC 6962 (section 2.1) and RFC 9162 have them, with SHA-256: hashes, roots, and both kinds of proof.

Pure. A tree is known by the hashes of its leaves in their order. ``Peaks`` is what has to be kept of a tree to make it
longer: the roots of its complete subtrees, at most one for each bit of its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

HASH_BYTES: Final = 32

#: The tree without leaves (RFC 6962, 2.1).
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Peaks:
    """A tree of ``size`` leaves that can be made longer. ``roots``: of its complete subtrees, the largest first.

    Raises ValueError where size and roots do not fit each other.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if len(roots) != size.bit_count() or any(len(root) != HASH_BYTES for root in roots):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees")
        self.size = size
        self._roots = list(roots)

    @classmethod
    def from_bytes(cls, size: int, joined: bytes) -> Peaks:
        """From ``to_bytes``. Raises ValueError."""
        return cls(size, [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)])

    def to_bytes(self) -> bytes:
        """The roots, one after another."""
        return b"".join(self._roots)

    def append(self, hashed: bytes) -> None:
        """One leaf more, by its hash."""
        size = self.size
        while size & 1:
            hashed = node_hash(self._roots.pop(), hashed)
            size >>= 1
        self._roots.append(hashed)
        self.size += 1

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._roots:
            return EMPTY_ROOT
        found = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            found = node_hash(left, found)
        return found


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over leaves with these hashes."""
    peaks = Peaks()
    for hashed in hashes:
        peaks.append(hashed)
    return peaks.root()


def inclusion_proof(hashes: Sequence[bytes], position: int) -> list[bytes]:
    """What proves that the leaf at ``position`` is in the tree (RFC 6962, 2.1.1). Raises IndexError."""
    if not 0 <= position < len(hashes):
        raise IndexError(position)
    return list(_path(hashes, position, 0, len(hashes)))


def _path(hashes: Sequence[bytes], position: int, begin: int, end: int) -> Iterator[bytes]:
    if end - begin == 1:
        return
    middle = begin + _left_part(end - begin)
    if position < middle:
        yield from _path(hashes, position, begin, middle)
        yield root_of(hashes[middle:end])
    else:
        yield from _path(hashes, position, middle, end)
        yield root_of(hashes[begin:middle])


def consistency_proof(hashes: Sequence[bytes], size: int) -> list[bytes]:
    """What proves that the tree begins with its first ``size`` leaves (RFC 6962, 2.1.2). Raises IndexError."""
    if not 0 < size <= len(hashes):
        raise IndexError(size)
    return list(_subproof(hashes, size, 0, len(hashes), whole=True))


def _subproof(hashes: Sequence[bytes], size: int, begin: int, end: int, *, whole: bool) -> Iterator[bytes]:
    """``whole``: the part up to ``size`` is the old tree itself, whose root the reader has."""
    if size == end - begin:
        if not whole:
            yield root_of(hashes[begin:end])
        return
    left = _left_part(end - begin)
    middle = begin + left
    if size <= left:
        yield from _subproof(hashes, size, begin, middle, whole=whole)
        yield root_of(hashes[middle:end])
    else:
        yield from _subproof(hashes, size - left, middle, end, whole=False)
        yield root_of(hashes[begin:middle])


def _left_part(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_holds(hashed: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows the leaf at ``position`` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= position < size:
        return False
    at, last, found = position, size - 1, hashed
    for other in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(other, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, other)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether it proves that the tree of ``second`` leaves begins with the one of ``first`` (RFC 9162, 2.1.4.2)."""
    if first == second:
        return first > 0 and first_root == second_root and not proof
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for other in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(other, old), node_hash(other, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, other)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root
