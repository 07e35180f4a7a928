"""Every command and option that a document shows exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tallystick.cli.command import app

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
    if "releases" not in path.parts and path.name != "CHANGELOG.md"  # they speak of other versions
)

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)

#: A command line, with what it goes on with after a backslash.
_COMMAND = re.compile(r"(?<![\w/.-])(?:\S*/bin/)?tallystick((?: (?:\\\n\s*)?[^\s`|#;>)]+)+)")


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``tallystick`` of each command in a document's code."""
    for code in _CODE.findall(text):
        for found in _COMMAND.findall(code):
            words = found.replace("\\\n", " ").split()
            if re.fullmatch(r"[a-z][a-z-]*|--[a-z-]+", words[0]):
                yield words


def unknown(words: list[str]) -> str | None:
    """The first word that is neither a command nor an option of it, or None."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command)
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--"):
            options = {option for each in command.get_params(context) for option in each.opts}
            if name not in options:
                return word
        elif hasattr(command, "get_command"):
            below = command.get_command(context, word)
            if below is None:
                return word
            command = below
            context = typer.Context(command)
    return None


@pytest.mark.exhaustive
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_in_a_document_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    lost = {" ".join(words): word for words in commands(text) if (word := unknown(words)) is not None}
    assert lost == {}


def test_a_command_or_option_that_does_not_exist_is_found() -> None:
    text = (
        "`tallystick late-money forget pay_…`, `.venv/bin/tallystick verify --quickly --data-dir ./data`, `tallystick`"
    )
    assert [unknown(words) for words in commands(text)] == ["forget", "--quickly"]
    block = "```sh\ntallystick in-doubt resolve att_1 --outcome executed \\\n  --proof x   # why\n```"
    assert [unknown(words) for words in commands(block)] == ["--proof"]
    assert [unknown(words) for words in commands("`tallystick late-money list|accept|return`")] == [None]
