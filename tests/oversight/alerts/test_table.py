"""The table of alerts, its runbooks, and what is printed from it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.command import COMMANDS
from tallystick.contract.monitoring import dashboard, render_dashboard, render_rules
from tallystick.domain.alert import RUNBOOKS
from tallystick.domain.measures import MEASURES
from tallystick.kit.metrics import Counts, Spreads
from tallystick.oversight.alerts.table import PAGES_AT_MOST, RULES
from tallystick.oversight.numbers import NUMBERS

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "monitoring"

#: What Debian's package ``prometheus`` has, or where it was unpacked.
PROMTOOL = os.environ.get("TALLYSTICK_TEST_PROMTOOL") or shutil.which("promtool")


def test_at_most_twelve_page() -> None:
    assert sum(rule.severity == "page" for rule in RULES) <= PAGES_AT_MOST == 12
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_has_a_runbook(rule: Any) -> None:
    text = (ROOT / RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "How to look", "What to do"]
    kind = "It pages." if rule.severity == "page" else "It is a notice."
    assert f"`{rule.name}`. {kind}" in text


def test_there_is_no_runbook_without_an_alert() -> None:
    pages = {file.stem for file in (ROOT / RUNBOOKS).glob("*.md")} - {"README"}
    assert pages == {rule.name for rule in RULES}


def test_the_page_of_alerts_has_each_as_the_table_does() -> None:
    page = (ROOT / RUNBOOKS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(rule.name, rule.name, rule.severity, rule.says) for rule in RULES]


def test_the_files_for_prometheus_and_grafana_are_what_the_table_says() -> None:
    again = "is out of date: tallystick alerts {} > examples/monitoring/{}"
    rules, board = "tallystick.rules.yml", "tallystick.dashboard.json"
    assert (EXAMPLES / rules).read_text(encoding="utf-8") == render_rules(), again.format("rules", rules)
    assert (EXAMPLES / board).read_text(encoding="utf-8") == render_dashboard(), again.format("dashboard", board)


def series() -> set[str]:
    """Every name of a series that ``/metrics`` has."""
    names = set()
    for each in (*MEASURES, *NUMBERS):
        name = each.family.name
        if isinstance(each, Counts):
            names.add(f"{name}_total")
        elif isinstance(each, Spreads):
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        else:
            names.add(name)
    return names


def expressions() -> Iterator[str]:
    for rule in RULES:
        yield rule.expression
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_every_expression_is_over_numbers_that_there_are() -> None:
    used = {name for expression in expressions() for name in re.findall(r"tallystick_\w+", expression)}
    assert used - series() == set()
    shown = {name for name in used if any(name in panel for panel in map(json.dumps, dashboard()["panels"]))}
    families = {each.family.name for each in (*MEASURES, *NUMBERS)}
    assert {name for name in families if not any(each.startswith(name) for each in shown)} == set(), "no panel has it"


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here: install Debian's prometheus to check the rules")
def test_promtool_takes_the_rules() -> None:
    assert PROMTOOL is not None
    checked = subprocess.run(
        [PROMTOOL, "check", "rules", str(EXAMPLES / "tallystick.rules.yml")], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout


def test_grafanas_own_types_take_the_dashboard_whole() -> None:
    """By the types that Grafana generates from its schema: what they do not know they drop."""
    models = pytest.importorskip(
        "grafana_foundation_sdk.models.dashboard",
        reason="grafana-foundation-sdk is not here: pip install it to check the dashboard",
    )
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    plugins.register_default_plugins()
    known = json.loads(encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(dashboard())))
    assert list(lost(dashboard(), known)) == []


def lost(ours: Any, known: Any, path: str = "") -> Iterator[str]:
    """Where Grafana's types have not what ours says."""
    if isinstance(ours, dict) and isinstance(known, dict):
        for name, value in ours.items():
            if name in known:
                yield from lost(value, known[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}"
    elif isinstance(ours, list) and isinstance(known, list) and len(ours) == len(known):
        for number, (value, other) in enumerate(zip(ours, known, strict=True)):
            yield from lost(value, other, f"{path}/{number}")
    elif ours != known:
        yield path


def test_every_alert_names_the_command_to_begin_with() -> None:
    """Each is a command of the program: somebody pastes it at night."""
    for rule in RULES:
        for command in rule.look.split("; "):
            program, name, *_ = command.split()
            assert program == "tallystick" and name in COMMANDS, rule.name
