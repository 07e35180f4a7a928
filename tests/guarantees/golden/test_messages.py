"""What merchants are told of every life in ``table.py`` is what ``messages.json`` says: order, number, ids, bodies.

Where messages change on purpose, record them anew, look at the difference that is printed, and commit it:

    TALLYSTICK_TEST_GOLDEN=record python -m pytest -n 0 tests/guarantees/golden/test_messages.py
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest

from tests.guarantees.golden.lives import lost, played, told
from tests.guarantees.golden.table import LIVES, ONCE_LOST, OTHERS
from tests.support.recorded_messages import FILE, Messages, recorded

pytestmark = pytest.mark.exhaustive

#: Key of the file -> the lives whose messages are under it.
PARTS: Final[Mapping[str, Mapping[str, str]]] = {"lives": LIVES | OTHERS, "once_lost": ONCE_LOST}


def as_text(parts: Mapping[str, Mapping[str, Messages]]) -> str:
    """The file: a line for each message, so that a life is seen at a glance and a difference is one of few lines."""
    return _braces("", (f" {json.dumps(part)}: {_lives(lives)}" for part, lives in parts.items())) + "\n"


def test_the_file_has_these_lives_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    if os.environ.get("TALLYSTICK_TEST_GOLDEN") == "record":
        before = FILE.read_text("utf-8") if FILE.exists() else ""
        now = {part: {name: told(played(name, lives[name])) for name in lives} for part, lives in PARTS.items()}
        FILE.write_text(as_text(now), "utf-8")
        difference = difflib.unified_diff(before.splitlines(), as_text(now).splitlines(), "before", "now", n=1)
        with capsys.disabled():
            print(*difference, sep="\n")
    found = recorded()
    assert {part: list(lives) for part, lives in found.items()} == {part: list(lives) for part, lives in PARTS.items()}
    assert as_text(found) == FILE.read_text("utf-8"), "the file is written by this test alone"


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, lives in PARTS.items() for name in lives])
def test_a_life_tells_what_it_always_told(part: str, name: str) -> None:
    messages = told(played(name, PARTS[part][name]))
    before = recorded()[part][name]
    assert [_head(each) for each in messages] == [_head(each) for each in before]
    for now, then in zip(messages, before, strict=True):
        assert now == then, f"message {now['number']}, {now['type']}"


def test_messages_are_lost_in_the_marked_lives_alone() -> None:
    losing = {name for lives in PARTS.values() for name in lives if lost(played(name, lives[name]))}
    assert losing == set(ONCE_LOST)


def _braces(margin: str, entries: Iterable[str]) -> str:
    inside = ",\n".join(entries)
    return f"{{\n{inside}\n{margin}}}"


def _lives(lives: Mapping[str, Messages]) -> str:
    return _braces(" ", (f"  {json.dumps(name)}: {_rows(messages)}" for name, messages in lives.items()))


def _rows(messages: Messages) -> str:
    rows = ",\n".join(f"   {json.dumps(message)}" for message in messages)
    return f"[\n{rows}\n  ]"


def _head(message: dict[str, Any]) -> tuple[Any, ...]:
    return (message["number"], message["type"], message["subject"], message["version"])
