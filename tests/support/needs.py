"""What a test needs, found from what it names: its marker, its suite, and the group that runs on one worker.

A test is ``database`` when it uses the fixture ``new_database``, ``browser`` when it uses ``browser``, ``processes``
when it or anything of the tests that it calls names something that starts a program, and ``fast`` when it is none of
these. A fast test that starts a program all the same fails (``forbid_programs``). ``exhaustive`` alone is given by
hand: nothing that a test names says how long it takes.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

import pytest

MARKERS: Final = {
    "fast": "needs neither a database nor another program",
    "database": "needs the embedded PostgreSQL",
    "processes": "starts programs",
    "browser": "drives a browser",
    "exhaustive": "explores very many orders or values, for a fifth of a second or longer",
}

#: Modules whose use starts a program.
_STARTING_MODULES: Final = frozenset({"subprocess", "multiprocessing"})

#: Where what starts a program is looked for. The benchmarks start theirs deep below what their tests call.
_LOOKED_INTO: Final = ("tests.", "tallystick.cli.bench", "tallystick.lab.bench")

#: What starts a program and belongs to no test.
_STARTERS: Final = frozenset(
    {
        "asyncio.subprocess.create_subprocess_exec",
        "tallystick.record.postgres.embedded.server.EmbeddedPostgres",
        "tallystick.run.supervisor.Supervisor",
    }
)

#: Suites that take long: each value of their first parameter (the connector, the instruction) is a group of its own.
_SPLIT: Final = frozenset(
    {
        "tests/guarantees/crash/test_every_await.py",
        "tests/guarantees/crash/test_instructions.py",
        "tests/guarantees/crash/test_late_stories.py",
        "tests/guarantees/model/test_model.py",
        "tests/providers/test_contract_suite.py",
    }
)

#: Fixtures that one worker alone makes -> their group.
_MADE_ONCE: Final = {"stack": "stack"}

#: Files that share what takes long to make, or works as long as it is there, are one group.
_TOGETHER: Final = {
    "tests/cli/test_daily_use.py": "world",
    "tests/cli/test_every_command.py": "world",
    "tests/cli/test_status.py": "world",
    "tests/cli/test_trace.py": "world",
    "tests/guarantees/second_opinion/test_demo.py": "demonstration",
    "tests/guarantees/trace/test_demo.py": "demonstration",
    "tests/guarantees/trace/test_ways.py": "demonstration",
    "tests/interfaces/api/test_card_data.py": "stack",
    "tests/interfaces/api/test_checks.py": "stack",
    "tests/interfaces/api/test_customer_page.py": "stack",
    "tests/interfaces/api/test_keys_and_rate.py": "stack",
    "tests/interfaces/api/test_reads.py": "stack",
    "tests/interfaces/api/test_replay.py": "stack",
    "tests/interfaces/api/test_request_line.py": "stack",
    "tests/interfaces/api/test_retries_guide.py": "stack",
    "tests/interfaces/api/test_schemathesis.py": "stack",
    "tests/interfaces/api/test_slow_clients.py": "stack",
    "tests/interfaces/api/test_trace.py": "stack",
}

#: Folders whose files are one group, for the same reason.
_FOLDERS: Final = ("tests/oversight/audit", "tests/oversight/invariants", "tests/oversight/trace")

#: A group that takes long must not begin last.
_FIRST: Final = ("tests/guarantees/processes", "tests/guarantees", "tests/flows", "tests/interfaces")

#: What is looked for, and values that never hold it: tables of the tests have tens of thousands of these.
_NAMED: Final = (types.FunctionType, type, types.ModuleType)
_VALUES: Final = frozenset({str, bytes, int, float, bool, types.NoneType})

#: What the interpreter reports when a program is started.
_STARTS: Final = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})


def markers_of(item: pytest.Item) -> set[str]:
    """The names of ``MARKERS`` that are true of a test."""
    used = set(getattr(item, "fixturenames", ()))
    found = {marker for marker, fixture in (("database", "new_database"), ("browser", "browser")) if fixture in used}
    functions = [getattr(item, "obj", None), *_fixture_functions(item, used - {"new_database"})]
    copies_clusters = "clusters" in used and "new_database" not in used
    if copies_clusters or any(_starts_programs(function) for function in functions):
        found.add("processes")
    if item.get_closest_marker("exhaustive") is not None:
        found.add("exhaustive")
    return found or {"fast"}


def suite_of(path: str) -> str:
    """The room whose tests a file holds, or the guarantee: ``providers``, ``guarantees/crash``."""
    parts = PurePosixPath(path).parts[1:-1]
    return "/".join(parts[: 2 if parts[:1] == ("guarantees",) else 1]) or "tests"


def group_of(nodeid: str) -> str:
    """Tests of one group share fixtures on one worker: a file's, those of some files, or of a split suite one
    parameter's."""
    path, _, name = nodeid.partition("::")
    if path in _SPLIT:
        return f"{path}[{name.partition('[')[2].partition('-')[0].rstrip(']')}]"
    folder = path.rpartition("/")[0]
    return folder if folder in _FOLDERS else _TOGETHER.get(path, path)


def place_of(item: pytest.Item) -> int:
    """Where a test's group belongs in the order: long ones first."""
    return next((place for place, start in enumerate(_FIRST) if item.nodeid.startswith(start)), len(_FIRST))


def scattered(items: Iterable[pytest.Item]) -> list[str]:
    """Files outside of a group whose fixture they use: it would be made on several workers."""
    found = set()
    for item in items:
        for fixture in _MADE_ONCE.keys() & getattr(item, "fixturenames", ()):
            if group_of(item.nodeid) != _MADE_ONCE[fixture]:
                found.add(item.nodeid.partition("::")[0])
    return sorted(found)


def fast_files(items: Iterable[pytest.Item]) -> list[str]:
    """Files of which every test is fast."""
    every: defaultdict[str, bool] = defaultdict(lambda: True)
    for item in items:
        every[item.nodeid.partition("::")[0]] &= item.get_closest_marker("fast") is not None
    return sorted(file for file, is_fast in every.items() if is_fast)


def _fixture_functions(item: pytest.Item, names: set[str]) -> Iterator[Any]:
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for name in names & definitions.keys():
        for definition in definitions[name]:
            yield definition.func


def _starts_programs(function: Any) -> bool:
    return _reaches_a_starter(inspect.unwrap(function) if callable(function) else function)


@functools.cache  # the cases of a test share their function, and tests their fixtures
def _reaches_a_starter(function: Any) -> bool:
    return any(_is_starter(found) for found in _reached(function))


def _is_starter(found: Any) -> bool:
    if isinstance(found, types.ModuleType):
        return found.__name__ in _STARTING_MODULES
    return f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}" in _STARTERS


def _reached(start: Any) -> set[Any]:
    """All that functions and classes of the tests name, from this one on."""
    known: set[Any] = set()
    open_ends = [start]
    while open_ends:
        for found in _named_by(open_ends.pop()):
            if found not in known:
                known.add(found)
                open_ends.append(found)
    return known


@functools.cache
def _named_by(thing: Any) -> frozenset[Any]:
    """Functions, classes and modules that something of the tests names directly; of anything else nothing."""
    if isinstance(thing, types.ModuleType):
        inside = thing.__name__.startswith(_LOOKED_INTO[1:])
        return frozenset(_hashable(vars(thing).values())) if inside else frozenset()
    if not (getattr(thing, "__module__", None) or "").startswith(_LOOKED_INTO):
        return frozenset()
    if isinstance(thing, type):
        return frozenset(_hashable([*vars(thing).values(), *thing.__mro__[1:]]))
    inner = inspect.unwrap(getattr(getattr(thing, "hypothesis", None), "inner_test", thing))
    if not isinstance(inner, types.FunctionType):
        return frozenset()
    closed_over = [cell.cell_contents for cell in inner.__closure__ or () if _is_filled(cell)]
    named = [inner.__globals__[name] for name in _names(inner.__code__) if name in inner.__globals__]
    return frozenset(_hashable([*named, *closed_over]))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # an empty cell raises
    except ValueError:
        return False
    return True


def _hashable(found: Iterable[Any]) -> Iterator[Any]:
    """Functions, classes and modules, out of the descriptors, partial calls and tables that hold them."""
    for one in found:
        if type(one) in _VALUES:
            continue
        if isinstance(one, _NAMED):
            yield one
        elif isinstance(one, dict):
            yield from _hashable(one.values())
        elif isinstance(one, (list, tuple)):
            yield from _hashable(one)
        elif isinstance(one, functools.partial):
            yield from _hashable([one.func, *one.args])
        else:
            shown = one.fget if isinstance(one, property) else getattr(one, "__func__", None)
            if isinstance(shown, _NAMED):
                yield shown


_running: list[str] = []


@contextmanager
def forbid_programs(nodeid: str) -> Iterator[None]:
    """While a fast test runs, a program that is started raises where it is started."""
    _watch()
    _running.append(nodeid)
    try:
        yield
    finally:
        _running.pop()


@functools.cache
def _watch() -> None:
    """An audit hook lasts as long as the interpreter: one is enough."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event in _STARTS and _running:
            raise AssertionError(f"{_running[-1]} is marked fast and starts a program: see {__name__}")

    sys.addaudithook(hook)
