"""Rules on the source that no linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src" / "tallystick"

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


#: A table of tests: it has their modules to see that what it names is there, and takes nothing else from them.
NAMES_TESTS: Final = {"guarantees/test_every_edge.py"}

#: An import of the tests' own modules: from where, and what.
_OWN: Final = re.compile(
    r"^\s*(?:from\s+(tests[\w.]*|\.[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+(tests[\w.]*))", re.MULTILINE
)

_TEST_MODULE: Final = re.compile(r"\b(?:test_\w+|conftest)\b")


def taken_from_tests(source: str) -> Iterator[str]:
    """Imports of a test module or a conftest, or of what is in one."""
    for found in _OWN.finditer(source):
        origin, names = found[1] or found[3], found[2] or ""
        looked_at = origin if origin.startswith("tests.support") else f"{origin} {names}"
        if _TEST_MODULE.search(looked_at):
            yield " ".join(found[0].split())


def test_no_module_imports_from_a_test_module() -> None:
    """A test module is changed for its own tests' sake, and whoever imports one imports all that it needs."""
    taken = {
        name: lines
        for file in TESTS.rglob("*.py")
        if (name := str(file.relative_to(TESTS))) not in NAMES_TESTS
        and (lines := [*taken_from_tests(file.read_text(encoding="utf-8"))])
    }
    assert taken == {}, "what several tests need is in tests/support/"


@pytest.mark.parametrize(
    "line",
    [
        "from tests.flows.operations.test_late_money import late",
        "    from tests.cli.test_disputes import (\n        lost,\n    )",
        "from tests.guarantees.crash import (\n    points,\n    test_acts,\n)",
        "from tests.guarantees.crash.conftest import own_url",
        "import tests.cli.test_disputes as disputes",
        "from .test_disputes import lost",
        "from . import test_disputes",
    ],
)
def test_an_import_from_a_test_module_is_found(line: str) -> None:
    assert len([*taken_from_tests(f"import re\n{line}\n")]) == 1
    others = "from tests.support.acts import test_name\nfrom tests.failover.nodes import Nodes\n"
    assert [*taken_from_tests(others)] == []
