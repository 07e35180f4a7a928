"""The published list of failure codes is every code that the source gives, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tallystick.decisions.verdicts import VOIDED
from tallystick.domain.failure_codes import FAILURE_CODES
from tallystick.providers.simulator.codes import DECLINES, PLAIN_DECLINES
from tallystick.providers.stripe.codes import REFUND_FAILURES

SOURCE: Final = Path(__file__).resolve().parents[2] / "src" / "tallystick"

#: What carries a code of a failure, and where it stands among the arguments.
MAKERS: Final = {"DeclineReason": 0, "Failure": 0, "Declined": 0, "Reversed": 0}

#: Codes that are no words of the source at their place: from another verdict, or from a table of a connector's.
FROM_TABLES: Final = {
    "verdict.code", "code", "ours", "theirs", "VOIDED", "FAILURES[operation].code",
}  # fmt: skip


def codes_in(text: str) -> Iterator[ast.expr]:
    """The argument ``code`` of everything that carries one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            named = [each.value for each in node.keywords if each.arg == "code"]
            yield from named or node.args[:1]


def words_of(code: ast.expr) -> set[str]:
    """The words that a code may be: one, or one of two."""
    if isinstance(code, ast.IfExp):
        return words_of(code.body) | words_of(code.orelse)
    return {code.value} if isinstance(code, ast.Constant) and isinstance(code.value, str) else set()


def test_the_list_is_what_the_source_gives() -> None:
    rooms = [SOURCE / name for name in ("decisions", "flows", "providers")]
    given = [code for room in rooms for file in room.rglob("*.py") for code in codes_in(file.read_text("utf-8"))]
    others = {ast.unparse(code) for code in given if not words_of(code)}
    assert others == FROM_TABLES, "a code from elsewhere: say where it comes from"
    words = {word for code in given for word in words_of(code)}
    tables = {VOIDED, *REFUND_FAILURES.values(), *PLAIN_DECLINES, *(reason.code for reason in DECLINES.values())}
    assert sorted(words | tables) == sorted(FAILURE_CODES)


def test_each_code_has_a_sentence() -> None:
    assert all(meaning[0].isupper() and meaning.endswith(".") for meaning in FAILURE_CODES.values())
