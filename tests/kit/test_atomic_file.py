"""Secret files: whole or not at all, durable, the owner's alone; the first wins, or the last."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallystick.kit.atomic_file import create_if_absent, replace

Write = Callable[[Path, str], object]

#: Enough for several to be between their look and their link at once.
WRITERS = 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secret"


@pytest.fixture
def no_umask() -> Iterator[None]:
    """The process takes no rights away from files that it makes."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(params=[create_if_absent, replace])
def write(request: pytest.FixtureRequest) -> Write:
    chosen: Write = request.param
    return chosen


def test_the_text_is_the_owner_s_alone(file: Path, write: Write, no_umask: None) -> None:
    write(file, "secret")
    assert file.read_text() == "secret\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == [file.name], "nothing else is left"


def test_others_never_may_read_it(file: Path, write: Write, no_umask: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at when the text goes to disk, which is before the file has its name."""
    modes, fsync = list[int](), os.fsync

    def look(descriptor: int) -> None:
        found = os.fstat(descriptor).st_mode
        if stat.S_ISREG(found):
            modes.append(stat.S_IMODE(found))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write(file, "secret")
    assert modes == [0o600]


def test_an_existing_file_is_not_created_again(file: Path) -> None:
    assert create_if_absent(file, "first") is True
    assert create_if_absent(file, "second") is False
    assert file.read_text() == "first\n"


def test_an_existing_file_is_replaced(file: Path) -> None:
    file.write_text("a longer text than the new one\n")
    file.chmod(0o644)
    replace(file, "new")
    assert file.read_text() == "new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_of_many_creates_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has seen that there is no file before the first of them writes."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with ThreadPoolExecutor(WRITERS) as threads:
        wrote = list(threads.map(lambda number: create_if_absent(file, f"text {number}"), range(WRITERS)))
    assert wrote.count(True) == 1
    assert file.read_text() == f"text {wrote.index(True)}\n"
    assert os.listdir(file.parent) == [file.name]


def test_text_and_name_are_on_disk_in_this_order(file: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round a power failure could leave an empty file under the name, or none after the return."""
    steps, fsync = list[str](), os.fsync

    def synced(descriptor: int) -> None:
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append(f"{'directory' if directory else 'text'}, {'named' if file.exists() else 'unnamed'}")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    write(file, "secret")
    assert steps == ["text, unnamed", "directory, named"]


def test_the_loser_of_a_race_makes_the_winner_s_name_durable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, fsync = list[bool](), os.fsync

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    create_if_absent(file, "winner")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.setattr(os, "fsync", note)
    assert create_if_absent(file, "loser") is False
    assert synced[-1] is True


@pytest.mark.parametrize(
    ("write", "old", "owner", "step"),
    [
        (create_if_absent, None, os, "fsync"),
        (create_if_absent, None, os, "link"),
        (replace, "old\n", os, "fsync"),
        (replace, "old\n", Path, "replace"),
    ],
)
def test_a_failure_leaves_what_was_there(
    file: Path, write: Write, old: str | None, owner: object, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    if old is not None:
        file.write_text(old)
    before = os.listdir(file.parent)
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="no space"):
        write(file, "new")
    assert os.listdir(file.parent) == before
    assert old is None or file.read_text() == old


def test_what_is_no_ascii_is_not_written(file: Path, write: Write) -> None:
    with pytest.raises(UnicodeEncodeError):
        write(file, "é")
    assert os.listdir(file.parent) == []
