"""The page on alerts has every line of the log that is for a person."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "operate" / "alerts.md").read_text(encoding="utf-8")


def alerts(source: str) -> Iterator[str]:
    """The texts of a module's lines that may be alerts."""
    if "alert" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        called = ast.unparse(node.func)
        named = any(keyword.arg == "alert" for keyword in node.keywords)
        if called.split(".")[-1] in ("_alert", "alert") or (
            called.startswith("log.") and (named or node.args[0].value == "database fails")
        ):
            yield str(node.args[0].value)


def in_source() -> set[str]:
    files = (ROOT / "src" / "tallystick").rglob("*.py")
    return {found for file in files for found in alerts(file.read_text(encoding="utf-8"))}


@pytest.mark.exhaustive
def test_every_alert_has_a_row() -> None:
    rows = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)) - {"event"}
    assert len(in_source()) > 15
    assert rows == in_source()


def silent(source: str) -> Iterator[str]:
    """Lines of the log for a person that say nothing of what to do next."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
            names = {keyword.arg for keyword in node.keywords}
            if (
                "alert" in names
                and "next" not in names
                and "where" not in {ast.unparse(each.value) for each in node.keywords if each.arg is None}
            ):
                yield ast.unparse(node.args[0])


@pytest.mark.exhaustive
def test_every_alert_says_what_to_do_next() -> None:
    files = (ROOT / "src" / "tallystick").rglob("*.py")
    assert [found for file in files for found in silent(file.read_text(encoding="utf-8"))] == []


def test_an_alert_is_found_however_it_is_written() -> None:
    written = (
        "log.error('a', alert=True)\nlog.warning('b', alert=x.alert)\nself._alert('c', d)\nself._intake.alert('e', d)"
    )
    assert list(alerts(written)) == ["a", "b", "c", "e"]
    assert list(alerts("log.error('a')  # no alert")) == []
