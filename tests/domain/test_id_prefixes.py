"""The table of id prefixes is complete, and holds nothing that no id has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tallystick
from tallystick.domain.id_prefixes import ID_PREFIXES

SOURCE = Path(tallystick.__file__).parent

#: Functions that make an id; the prefix is their first argument.
MAKERS = {"new_id", "sibling_id", "derived_id"}

#: An id that a statement makes of names.
IN_SQL = re.compile(r"'([a-z]+)_' \|\| md5\(")


def made_in(source: str) -> Iterator[str]:
    """The prefixes of the ids that a module makes."""
    if not any(f"{maker}(" in source for maker in MAKERS):  # most files: parsing them all takes half a second
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            prefix = node.args[0]
            assert isinstance(prefix, ast.Constant), f"line {node.lineno}: a prefix that this test cannot read"
            yield str(prefix.value)


def test_the_table_is_what_the_source_makes() -> None:
    made = {prefix for file in SOURCE.rglob("*.py") for prefix in made_in(file.read_text())}
    made |= {prefix for file in SOURCE.rglob("*.sql") for prefix in IN_SQL.findall(file.read_text())}
    assert made == ID_PREFIXES.keys()
