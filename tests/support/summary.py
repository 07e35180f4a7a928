"""What a run of the suites says at its end: a line a suite, the slowest tests beside their budgets, one closing line.

``make test`` runs the fast tests in one process and the others in several. The first run keeps its results
(``--keep-results``), the second adds them to its own (``--add-results``), so that pytest's closing line counts all.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.needs import suite_of

#: Files all of whose tests are fast, found by the run that keeps its results ...
FAST_FILES: Final = pytest.StashKey[list[str]]()

#: ... and passed over by the run that adds them: each of its workers would import them and make their cases once more.
PASSED_OVER: Final = pytest.StashKey[frozenset[Path]]()

#: How many of the slowest tests are shown.
SHOWN: Final = 10

#: What a test may take on two idle cores before somebody should look at it. Going over it fails nothing: no test may
#: depend on an idle machine.
BUDGET_S: Final = 10.0

#: Tests that take longer by their nature.
BUDGETS_S: Final = {
    "tests/guarantees/processes/test_kill_under_load.py": 60.0,  # a restart for each kill, load between
    "tests/guarantees/processes/test_webhook_burst.py": 30.0,  # a thousand deliveries
    "tests/guarantees/processes/test_readme.py": 60.0,  # every command of the README
    "tests/guarantees/processes/test_start.py": 30.0,  # every command of the tutorial, and the shop
    "tests/guarantees/processes/test_shop_client.py": 30.0,  # twenty orders through kills and cut connections
    "tests/guarantees/model/test_model.py": 30.0,  # hundreds of runs of the whole core
    "tests/guarantees/crash": 20.0,  # a process for each point of an instruction
    "tests/guarantees/upgrade": 20.0,  # an old database, migrated and driven
    "tests/cli/test_up.py": 30.0,  # starts, drains and kills of the whole platform
    "tests/lab/bench/test_bench.py": 20.0,  # small runs of every benchmark
}


def budget_s(nodeid: str) -> float:
    """The budget of one test: of the longest path that fits."""
    fitting = [path for path in BUDGETS_S if nodeid.startswith(path)]
    return BUDGETS_S[max(fitting, key=len)] if fitting else BUDGET_S


def passed_over(config: pytest.Config) -> frozenset[Path]:
    """Files whose tests are all among the results of the earlier run. What the command line names is collected."""
    added = config.getoption("--add-results")
    if added is None or not _files_beside(added).exists():
        return frozenset()
    named = {config.invocation_params.dir / argument.partition("::")[0] for argument in config.invocation_params.args}
    return frozenset(config.rootpath / file for file in _files_beside(added).read_text().splitlines()) - named


def _files_beside(results: str) -> Path:
    return Path(f"{results}.files")


class Summary:
    """Collects the reports of a session and prints its summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: list[pytest.TestReport] = []
        self._added: list[pytest.TestReport] = []
        self._began = time.monotonic()

    @pytest.hookimpl(optionalhook=True)  # of pytest-xdist
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended."""
        self._config.stash[FAST_FILES] = getattr(node, "workeroutput", {}).get("fast_files", [])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def pytest_sessionfinish(self) -> None:
        if kept := self._config.getoption("--keep-results"):
            hook = self._config.hook
            rows = [hook.pytest_report_to_serializable(config=self._config, report=one) for one in self._reports]
            for row in rows:
                row.pop("node", None)  # the worker of pytest-xdist: nothing that a file can keep
            Path(kept).write_text(json.dumps({"seconds": time.monotonic() - self._began, "reports": rows}))
            files: list[str] = self._config.stash.get(FAST_FILES, [])
            _files_beside(kept).write_text("\n".join(files))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        earlier_s = 0.0
        if added := self._config.getoption("--add-results"):
            kept = json.loads(Path(added).read_text())
            earlier_s = kept["seconds"]
            self._count_in(terminalreporter, kept["reports"])
        if self._config.getoption("--keep-results"):
            return  # the next run says it all
        self._write(terminalreporter, earlier_s + time.monotonic() - self._began)

    def _count_in(self, terminalreporter: Any, rows: list[dict[str, Any]]) -> None:
        """As if the tests of the earlier run had run here."""
        hook = self._config.hook
        for row in rows:
            report = hook.pytest_report_from_serializable(config=self._config, data=row)
            category = hook.pytest_report_teststatus(report=report, config=self._config)[0]
            terminalreporter.stats.setdefault(category, []).append(report)
            self._added.append(report)
        terminalreporter.stats.pop("deselected", None)  # they ran in the earlier run

    def _write(self, terminalreporter: Any, seconds: float) -> None:
        reports = [*self._added, *self._reports]
        if not reports:
            return
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{'suite':<24} {'tests':>6} {'seconds':>8}")
        for line in suites(reports):
            terminalreporter.write_line(line)
        terminalreporter.write_line("")
        terminalreporter.write_line(f"the {SHOWN} slowest tests, beside their budgets on two idle cores")
        for line in slowest(reports):
            terminalreporter.write_line(line)
        terminalreporter.write_line("")
        terminalreporter.write_line(f"all of it in {seconds:.0f} s")


def suites(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line a suite: tests, and the seconds of their set-up, run and end together."""
    tests: dict[str, set[str]] = {}
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        suite = suite_of(report.nodeid.partition("::")[0])
        tests.setdefault(suite, set()).add(report.nodeid)
        seconds[suite] += report.duration
    return [f"{suite:<24} {len(tests[suite]):>6} {seconds[suite]:>8.1f}" for suite in sorted(tests)]


def slowest(reports: Iterable[pytest.TestReport]) -> list[str]:
    """The tests that took longest in themselves (fixtures are shared, so they are nobody's), longest first."""
    calls = sorted((one for one in reports if one.when == "call"), key=lambda one: -one.duration)
    return [_beside_its_budget(one) for one in calls[:SHOWN]]


def _beside_its_budget(report: pytest.TestReport) -> str:
    budget = budget_s(report.nodeid)
    over = "  OVER ITS BUDGET" if report.duration > budget else ""
    return f"{report.duration:>7.1f} of {budget:>3.0f} s  {report.nodeid.removeprefix('tests/')}{over}"
