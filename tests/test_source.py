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


#: Functions that match on what is no closed set of ours -> why. All others end in assert_never, so that mypy finds the
#: value that was added and forgotten.
OPEN_MATCHES = {
    "flows/reconciliation/formats/camt053.py:_head": "elements of somebody's file",
    "flows/reconciliation/formats/mt940.py:_head": "tags of somebody's file",
    "flows/reconciliation/formats/paypal.py:record": "records of somebody's file",
    "lab/bench/before_after/side.py:main": "a word from the command line",
    "lab/bench/fill_rows.py:_cell": "values of any type",
    "providers/simulator/calls.py:verdict_of": "statuses of a provider",
    "providers/stripe/objects.py:read_canceled": "statuses of a provider",
    "providers/stripe/objects.py:read_captured": "statuses of a provider",
    "providers/stripe/objects.py:refund_standing": "statuses of a provider",
    "providers/stripe/objects.py:standing": "statuses of a provider",
    "record/postgres/outage.py:kind_of": "errors of a driver",
}


#: A statement, and not the word in a sentence.
_MATCH = re.compile(r"^\s+match .+:$", re.MULTILINE)


def open_matches(source: str) -> set[str]:
    """The innermost functions with a match that does not end in assert_never."""
    found = set[str]()
    if _MATCH.search(source):  # most files have none: parsing them all takes a second
        _look_into(ast.parse(source), "", found)
    return found


def _look_into(node: ast.AST, function: str, found: set[str]) -> None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    if isinstance(node, ast.Match) and not _is_closed(node.cases[-1]):
        found.add(function)
    for child in ast.iter_child_nodes(node):
        _look_into(child, function, found)


def _is_closed(last: ast.match_case) -> bool:
    any_value = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None
    return any_value and ast.unparse(last.body[-1]).startswith("assert_never(")


def test_a_match_over_a_closed_set_names_every_value() -> None:
    found = {
        f"{file.relative_to(SOURCE)}:{function}"
        for file in SOURCE.rglob("*.py")
        for function in open_matches(file.read_text(encoding="utf-8"))
    }
    assert found == set(OPEN_MATCHES), "name the remaining values and end in `case _: assert_never(value)`"


def test_a_match_that_passes_over_a_value_is_found() -> None:
    named = "def f(a):\n match a:\n  case 'x': return 1\n"
    assert open_matches(named) == {"f"}
    assert open_matches(f"{named}  case _: return 2") == {"f"}
    assert open_matches(f"{named}  case _ if a: assert_never(a)") == {"f"}
    assert open_matches(f"{named}  case _: assert_never(a)") == set()
    assert open_matches(f"{named}  case rest: assert_never(rest)") == set()


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
