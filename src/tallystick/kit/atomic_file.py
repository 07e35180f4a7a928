"""Small secret files of ASCII text: written whole or not at all, durable, and readable by their owner alone.

A reader sees the old text, the new text or no file; never a part, and never a file that others may read. After a
function returns, a power failure does not take the file away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Readable and writable by the owner. The file is made with it, so that there is no moment with wider rights.
_OWNER_ALONE: Final = 0o600

#: Two processes, or two threads of one, must not write the same draft.
_DRAFT_SUFFIX_BYTES: Final = 8


def create_if_absent(file: Path, text: str) -> bool:
    """Write ``text`` and a newline into ``file``, unless the file exists: the first writer wins, and its text is never
    replaced. Returns whether this call wrote it. Raises OSError."""
    if file.exists():
        return False
    draft = _write_draft(file, text)
    try:
        os.link(draft, file)  # fails where the name exists, which a rename would not
        created = True
    except FileExistsError:
        created = False
    finally:
        draft.unlink()
    # The loser of a race syncs as well: it goes on to use the winner's text, perhaps before the winner has synced.
    _sync_directory(file.parent)
    return created


def replace(file: Path, text: str) -> None:
    """Write ``text`` and a newline into ``file``, replacing its content. Raises OSError."""
    draft = _write_draft(file, text)
    try:
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(file.parent)


def _write_draft(file: Path, text: str) -> Path:
    """The text on disk under a name of its own, beside ``file``: names move only within one file system."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(_DRAFT_SUFFIX_BYTES).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_directory(directory: Path) -> None:
    """A new name is durable only once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
