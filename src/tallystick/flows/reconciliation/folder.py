"""A folder that workers watch for settlement files: ``PROVIDER/ACCOUNT/<file>``.

A file is taken when its size and time have not changed for long enough: at once if it was renamed in whole, later if it
is being written. To take it is to rename it, which one worker can do; while it is imported it is locked, so that
another worker goes on with it only where the first one died. What is no plain file is left alone, symbolic links among
it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.flows.reconciliation.failures import Failures
from tallystick.flows.reconciliation.files import BeingImported, ImportAsked, Imported, import_file
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.runtime import Runtime
from tallystick.kit import atomic_file
from tallystick.kit.card_mask import mask_cards
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger

log = get_logger("tallystick.flows.reconciliation.folder")

#: Beside the files of an account: those that are being imported, and those that are through.
TAKEN: Final = ".taken"
DONE: Final = "done"
FAILED: Final = "failed"

#: Who imports what lies in the folder.
ACTOR: Final = "service:settlement-folder"

#: Names of providers and accounts, as directories have them.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: Such names are still being written.
_UNFINISHED: Final = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".swp")

#: Files that one round takes: the others are there for other workers, and for the next round.
_A_ROUND: Final = 10


#: What a person can do about a file or directory that fails.
_NEXT: Final = (
    "look whether the worker may read and write the directory, and all in it; otherwise report it with this line"
)


class _Seen(Struct, frozen=True):
    size: int
    changed_ns: int
    since: float


class NotMoved(TallystickError):
    """A file or directory of the folder cannot be written."""


class WatchedFolder:
    """Looks into the folder, and imports what rests there."""

    def __init__(self, runtime: Runtime, root: Path) -> None:
        self._runtime, self._root = runtime, root
        self._rest_s = runtime.settings.settlement_rest_ms / 1_000
        self._seen: dict[Path, _Seen] = {}
        self._failures = Failures("settlement folder", next=_NEXT)
        self._failing = set[Path]()

    async def round(self) -> int:
        """Take and import files that rest. Returns how many. What fails about one file or directory keeps no other one
        from being imported; it is taken up again. Raises what asyncpg raises where the database is away."""
        count = 0
        paths, failed = await asyncio.to_thread(self._to_import)
        for account, error in failed:
            with self._failures.apart(_shown(account)):
                raise error
        for path in paths:
            self._failing.add(path)
            with self._failures.apart(_shown(path)), _locked(path) as is_held:
                if is_held:
                    count += await self._import(path)
                self._failing.discard(path)
        return count

    def _to_import(self) -> tuple[list[Path], list[tuple[Path, NotMoved]]]:
        """What was taken and nobody holds, and what can be taken now; and accounts where that failed."""
        found: list[Path] = []
        failed: list[tuple[Path, NotMoved]] = []
        seen: dict[Path, _Seen] = {}
        for account in _accounts(self._root):
            try:
                self._look_into(account, found, seen)
            except NotMoved as error:
                failed.append((account, error))
        self._seen = seen
        self._failing.intersection_update(found)
        return sorted(found, key=self._failing.__contains__)[:_A_ROUND], failed  # what failed before comes last

    def _look_into(self, account: Path, found: list[Path], seen: dict[Path, _Seen]) -> None:
        found += _files(account / TAKEN)
        for path in _files(account):
            facts = self._rests(path)
            if facts is not None:
                seen[path] = facts
            elif len(found) - len(self._failing) < _A_ROUND:
                taken = _take(path)
                found += [taken] if taken is not None else []

    def _rests(self, path: Path) -> _Seen | None:
        """None where the file can be taken; else what is known of it until the next look."""
        try:
            now = path.lstat()
        except OSError:
            return _Seen(0, 0, time.monotonic())
        known = self._seen.get(path)
        if known is None or (known.size, known.changed_ns) != (now.st_size, now.st_mtime_ns):
            if known is None and time.time() - now.st_mtime >= self._rest_s:
                return None
            return _Seen(now.st_size, now.st_mtime_ns, time.monotonic())
        return None if time.monotonic() - known.since >= self._rest_s else known

    async def _import(self, path: Path) -> int:
        account = path.parent.parent
        asked = ImportAsked(
            path=path, name=_shown(path, 1), actor=ACTOR, provider=account.parent.name, account=account.name
        )
        try:
            done = await import_file(self._runtime, asked)
        except BeingImported:
            return 0
        except FileRefused as error:
            self._failed(path, error.reason, error.detail)
            return 1
        if done.file.state == "conflict":
            self._failed(path, "conflict", done.file.detail or "")
            return 1
        _move(path, account / DONE)
        self._say(done)
        return 1

    def _say(self, done: Imported) -> None:
        known = {"file_id": done.file.file_id, "provider": done.file.provider, "account": done.file.account}
        log.info("settlement file imported", **known, rows=done.file.rows, already=done.already)
        unbalanced = [each.batch for each in done.batches if each.state == "unbalanced"]
        if unbalanced or done.bad_rows:
            log.error(
                "settlement file does not add up",
                alert=True,
                **known,
                bad_rows=done.file.bad_rows,
                unbalanced=len(unbalanced),
                next=f"tallystick settlements show {done.file.file_id}",
            )

    def _failed(self, path: Path, reason: str, detail: str) -> None:
        account = path.parent.parent
        moved = _move(path, account / FAILED)
        said = f"{reason}: {detail}".encode("ascii", "replace").decode()
        atomic_file.replace(moved.with_name(f"{moved.name}.reason.txt"), said)
        log.error(
            "settlement file not imported",
            alert=True,
            provider=account.parent.name,
            account=account.name,
            name=mask_cards(_shown(path, 1)),
            reason=reason,
            detail=detail,
            next="read the reason beside the file in failed/, and put it in again when the cause is gone",
        )


def _shown(path: Path, parts: int = 3) -> str:
    """The end of a path as text: a name need not be UTF-8."""
    return "/".join(path.parts[-parts:]).encode("utf-8", "replace").decode()


def _accounts(root: Path) -> Iterator[Path]:
    for provider in _directories(root):
        yield from _directories(provider)


def _directories(within: Path) -> list[Path]:
    """By name; no symbolic link, and no name that cannot be a provider's or an account's."""
    try:
        with os.scandir(within) as entries:
            found = [
                Path(each.path)
                for each in entries
                if each.is_dir(follow_symlinks=False) and _NAME.fullmatch(each.name) and each.name not in (DONE, FAILED)
            ]
    except OSError:
        return []
    return sorted(found)


def _files(within: Path) -> list[Path]:
    """Plain files by name; no symbolic link, and nothing that is hidden or still being written."""
    try:
        with os.scandir(within) as entries:
            found = [
                Path(each.path)
                for each in entries
                if each.is_file(follow_symlinks=False)
                and not each.name.startswith(".")
                and not each.name.lower().endswith(_UNFINISHED)
            ]
    except OSError:
        return []
    return sorted(found)


def _take(path: Path) -> Path | None:
    """Where the file is, once it is this worker's; None where another one was faster, or it may not be read."""
    if not os.access(path, os.R_OK):
        return None
    taken = path.parent / TAKEN
    try:
        taken.mkdir(mode=0o700, exist_ok=True)
        wanted = taken / path.name
        if wanted.exists():  # another file of the same name is being imported
            wanted = taken / f"{new_id('stl')}-{path.name}"
        os.rename(path, wanted)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotMoved(f"cannot take a file: {error.strerror}") from None
    return wanted


def _move(path: Path, into: Path) -> Path:
    try:
        into.mkdir(mode=0o700, exist_ok=True)
        wanted = into / path.name
        if wanted.exists():
            wanted = into / f"{new_id('stl')}-{path.name}"
        os.rename(path, wanted)
    except OSError as error:
        raise NotMoved(f"cannot move a file to {into.name}: {error.strerror}") from None
    return wanted


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether this worker holds the file, which must be a plain one, for as long as this lasts."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        yield _holds(descriptor, path)
    finally:
        os.close(descriptor)


def _holds(descriptor: int, path: Path) -> bool:
    """A worker that was done with the file has moved it away: then the name is no file any more, or another one."""
    try:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = path.lstat()
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
