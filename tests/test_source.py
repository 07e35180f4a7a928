"""Rules on the source that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "tallystick"

#: Programs that decode one thing as they start, in one thread.
STARTS = ("lab/bench/",)


def first_uses(source: str) -> list[int]:
    """The lines that decode into a class which nothing described to msgspec before."""
    if "decode(" not in source:  # most files: parsing them all takes a second
        return []
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("msgspec.json.decode", "msgspec.msgpack.decode", "decode")
        and any(keyword.arg == "type" and not _is_plain(keyword.value) for keyword in node.keywords)
    ]


def _is_plain(kind: ast.expr) -> bool:
    """A type without a class of ours: msgspec keeps no description of it."""
    return ast.unparse(kind).partition("[")[0] in ("dict", "list", "tuple", "int", "str", "Any")


def test_types_are_described_when_modules_are_imported() -> None:
    """msgspec describes a class at its first use, and two threads that use it first at once crash the process."""
    modules = {file: str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py")}
    late = {
        name: lines
        for file, name in modules.items()
        if not name.startswith(STARTS) and (lines := first_uses(file.read_text(encoding="utf-8")))
    }
    assert late == {}, "make a msgspec Decoder beside the class: docs/decisions/0063-decoders-are-made-at-import.md"


@pytest.mark.parametrize("line", ["msgspec.json.decode(body, type=Event)", "msgspec.json.decode(row[0], type=a.B)"])
def test_a_first_use_is_found(line: str) -> None:
    assert first_uses(f"def read(body, row):\n    return {line}\n") == [2]
    assert first_uses("msgspec.json.decode(body, type=dict[str, Any])") == []


#: Where connections are made by other rules: the embedded server has one host, and the benchmarks measure theirs.
CONNECTS = ("record/postgres/hosts.py", "record/postgres/migrate.py", "record/postgres/embedded/", "lab/")


def test_connections_know_several_hosts() -> None:
    """Of several hosts, a connection goes to the one that takes writes, and passes over one that does not answer."""
    direct = [
        name
        for file in SOURCE.rglob("*.py")
        if not (name := str(file.relative_to(SOURCE))).startswith(CONNECTS)
        and any(made in file.read_text(encoding="utf-8") for made in ("asyncpg.connect(", "psycopg.connect("))
    ]
    assert direct == [], "use record.postgres.hosts.open_connection"
