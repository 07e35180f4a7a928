"""Heads outside: files with a checkpoint and the heads that are new since the file before, each with its leaves.

A file is JSON, named by its checkpoint. It is written whole or not at all. What is there says what comes next, so a
directory that was away catches up in order.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.kit import atomic_file
from tallystick.oversight.audit.declarations import RestoreText, keys_before, restores_of
from tallystick.oversight.audit.heads import (
    BadDocument,
    CheckpointText,
    HeadText,
    digest,
    read_checkpoint,
    read_head,
    signed_by,
)
from tallystick.record.postgres.audit_heads import Checkpoint, Head
from tallystick.record.postgres.audit_rows import AuditRows

#: Digits of a number in a file's name, so that names sort as numbers do.
_DIGITS: Final = 12

_NAME: Final = re.compile(r"heads-\d{12}\.json")

#: Heads in one file: each has up to some hundred kilobytes of leaves. A file that would have more goes no further
#: than an earlier checkpoint.
_HEADS_IN_A_FILE: Final = 500


class OuterHead(Struct, frozen=True, kw_only=True):
    """A head outside. ``leaves``: its compressed list."""

    text: HeadText
    document: str
    signature: bytes
    leaves: bytes


class Anchor(Struct, frozen=True, kw_only=True):
    """A file of heads."""

    name: str
    checkpoint: CheckpointText
    document: str
    signature: bytes
    heads: tuple[OuterHead, ...]

    def signed_by(self, keys: Mapping[str, Ed25519PublicKey]) -> bool:
        """Whether all of it is signed, and its lists are those of its heads."""
        return signed_by(keys, self.checkpoint.key, self.document, self.signature) and all(
            signed_by(keys, head.text.key, head.document, head.signature) and digest(head.leaves) == head.text.leaves
            for head in self.heads
        )


def read_anchors(directory: Path) -> list[Anchor]:
    """The files of a directory in their order. Raises OSError, and BadDocument for a file that is none."""
    return [_read(file) for file in sorted(directory.glob("heads-*.json"))]


def _read(file: Path) -> Anchor:
    try:
        found = json.loads(file.read_text(encoding="ascii"))
        document, signature = _signed(found)
        return Anchor(
            name=file.name,
            checkpoint=read_checkpoint(document),
            document=document,
            signature=signature,
            heads=tuple(
                OuterHead(
                    text=read_head(head["document"]),
                    document=head["document"],
                    signature=_signed(head)[1],
                    leaves=base64.b64decode(head["leaves"], validate=True),
                )
                for head in found["heads"]
            ),
        )
    except (KeyError, TypeError, ValueError, binascii.Error, BadDocument):
        raise BadDocument(f"{file.name} is not a file of heads") from None


def _signed(found: Mapping[str, Any]) -> tuple[str, bytes]:
    return found["document"], base64.b64decode(found["signature"], validate=True)


def last_outside(directory: Path) -> int:
    """The number of the newest checkpoint in a directory; 0 where there is none. Raises OSError."""
    files = sorted(directory.iterdir())
    return max((int(file.stem.removeprefix("heads-")) for file in files if _NAME.fullmatch(file.name)), default=0)


def newest_outside(directory: Path) -> tuple[int, str | None]:
    """The number of the newest checkpoint in a directory, and the digest of its document; (0, None) where there is
    none. Raises OSError, and BadDocument for a file that is none."""
    number = last_outside(directory)
    return number, digest(_read(directory / anchor_name(number)).document) if number else None


def anchor_name(number: int) -> str:
    """What the file of a checkpoint is called."""
    return f"heads-{number:0{_DIGITS}}.json"


def anchor_text(checkpoint: Checkpoint, heads: Sequence[Head]) -> str:
    """The file of a checkpoint, with the heads that are new in it."""
    return json.dumps(
        {
            "document": checkpoint.document,
            "signature": base64.b64encode(checkpoint.signature).decode(),
            "heads": [
                {
                    "document": head.document,
                    "signature": base64.b64encode(head.signature).decode(),
                    "leaves": base64.b64encode(head.leaves).decode(),
                }
                for head in heads
            ],
        }
    )


class Behind(TallystickError):
    """What is outside is not in the record: it was restored, and nobody declared it."""


async def next_anchor(
    rows: AuditRows, outside: int, restores: Sequence[RestoreText], held: str | None = None
) -> tuple[Checkpoint, str] | None:
    """The checkpoint that follows ``outside``, and the text of its file; None where there is nothing new. ``held``: the
    digest of the document that is outside, where it is known. Raises Behind, BadDocument, and what the database
    raises."""
    newest = await rows.last_checkpoint()
    if newest is None and not outside:
        return None
    number = _kept(outside, restores)
    before: dict[int, int] = {}
    if number:
        found = await rows.checkpoint(number)
        if found is None or (number == outside and held not in (None, digest(found.document))):
            raise Behind(
                f"checkpoint {number} is outside, and not in the record: if it was restored, declare that with"
                " `tallystick audit restored`; nothing is copied meanwhile"
            )
        before = {group.group: group.sequence for group in read_checkpoint(found.document).groups}
    if newest is None or newest.number in (number, outside):
        return None
    checkpoint = await _within_reach(rows, before, max(number, outside), newest)
    heads = [
        head
        for group in read_checkpoint(checkpoint.document).groups
        for head in await rows.heads_between(group.group, before.get(group.group, 0), group.sequence)
    ]
    return checkpoint, anchor_text(checkpoint, heads)


def _kept(outside: int, restores: Sequence[RestoreText]) -> int:
    """The checkpoint from which the record goes on after the one that is outside: another one after a restore."""
    for each in reversed(restores):
        if each.restored_from < outside <= each.last:
            return each.restored_from
    return outside


class HeadWriter:
    """Copies heads to a directory. ``key``: the public one of the key that signs."""

    def __init__(self, pool: asyncpg.Pool, directory: Path, key: Ed25519PublicKey) -> None:
        self._pool = pool
        self._directory = directory
        self._key = key
        self._held: tuple[int, str | None] = (0, None)  # the newest file, which may be long, is read once

    async def round(self) -> int:
        """Copy what is new: 1 where there was something. Raises OSError, Behind, BadDocument, and what the database
        raises."""
        outside, held = await asyncio.to_thread(self._newest)
        async with self._pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            found = await next_anchor(rows, outside, await believed_restores(rows, self._key), held)
        if found is None:
            return 0
        await asyncio.to_thread(self._write, found[0].number, found[1])
        return 1

    def _newest(self) -> tuple[int, str | None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        if last_outside(self._directory) != self._held[0]:
            self._held = newest_outside(self._directory)
        return self._held

    def _write(self, number: int, text: str) -> None:
        atomic_file.create_if_absent(self._directory / anchor_name(number), text)


async def believed_restores(rows: AuditRows, key: Ed25519PublicKey) -> list[RestoreText]:
    """Declared restores that the key signed, or one that handed on to it. Raises what the database raises."""
    found, _ = restores_of(await rows.restores(), keys_before(key, await rows.rotations()))
    return found


async def _within_reach(rows: AuditRows, before: Mapping[int, int], number: int, newest: Checkpoint) -> Checkpoint:
    """The newest checkpoint that does not have too many heads more than ``before``."""
    found = None
    async for each in rows.checkpoints(number):
        new = sum(group.sequence - before.get(group.group, 0) for group in read_checkpoint(each.document).groups)
        if found is not None and new > _HEADS_IN_A_FILE:
            break
        found = each
    return found or newest
