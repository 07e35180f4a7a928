"""The table of alerts as rules for Prometheus, and all numbers as a dashboard for Grafana: the same bytes
everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final

from tallystick.domain.alert import RUNBOOKS
from tallystick.domain.measures import MEASURES
from tallystick.kit.metrics import AnyFamily, Counts, Levels
from tallystick.oversight.alerts.table import RULES, Rule
from tallystick.oversight.numbers import ALERTS, NUMBERS

_HEAD: Final = """# Printed by `tallystick alerts rules`. The product looks for the same conditions itself; these work
# while it does not. Limits are the defaults of the settings.
groups:
  - name: tallystick
    rules:
"""

#: The version of Grafana's dashboard format that the panels are written in.
SCHEMA_VERSION: Final = 39

#: A dashboard is 24 columns wide; three panels stand side by side.
_WIDTH: Final = 8
_HEIGHT: Final = 8
_COLUMNS: Final = 24


def render_rules() -> str:
    """Prometheus' rules, in YAML. Strings are in JSON, which YAML has too."""
    return _HEAD + "".join(_rule(rule) for rule in RULES)


def _rule(rule: Rule) -> str:
    waits = f"        for: {rule.for_s}s\n" if rule.for_s else ""
    return (
        f"      - alert: tallystick_{rule.name}\n"
        f"        expr: {json.dumps(rule.expression)}\n"
        f"{waits}"
        f"        labels:\n"
        f"          severity: {rule.severity}\n"
        f"        annotations:\n"
        f"          summary: {json.dumps(rule.says)}\n"
        f"          runbook: {RUNBOOKS}/{rule.name}.md\n"
    )


def render_dashboard() -> str:
    """Grafana's dashboard, in JSON: alerts first, then what the record says, then what processes count."""
    return json.dumps(dashboard(), indent=2) + "\n"


def dashboard() -> dict[str, Any]:
    """The dashboard. Its data source is chosen when it is imported."""
    return {
        "uid": "tallystick",
        "title": "Tallystick",
        "tags": ["tallystick"],
        "timezone": "utc",
        "editable": True,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
            ]
        },
        "annotations": {"list": []},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    ids, y = count(1), 0
    groups: Sequence[tuple[str, Sequence[AnyFamily]]] = (
        ("Alerts", [ALERTS]),
        ("What the record says", [each for each in NUMBERS if each is not ALERTS]),
        ("What processes count", MEASURES),
    )
    for title, families in groups:
        yield {
            "id": next(ids),
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": _COLUMNS, "x": 0, "y": y},
        }
        y += 1
        for number, family in enumerate(families):
            x = number * _WIDTH % _COLUMNS
            yield _panel(next(ids), family, {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y + number // 3 * _HEIGHT})
        y += -(-len(families) // 3) * _HEIGHT


def _panel(panel_id: int, family: AnyFamily, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    expression, unit = _query(family)
    legend = " ".join(f"{{{{{label}}}}}" for label in family.family.labels)
    return {
        "id": panel_id,
        "type": "timeseries",
        "title": family.family.name.removeprefix("tallystick_").replace("_", " "),
        "description": family.family.says,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [{"refId": "A", "datasource": source, "expr": expression, "legendFormat": legend or "__auto"}],
    }


def _query(family: AnyFamily) -> tuple[str, str]:
    """A counter is shown as its rate, a histogram as its 95th percentile. Levels of several processes add up."""
    name, labels = family.family.name, ", ".join(family.family.labels)
    by = f" by ({labels})" if labels else ""
    if isinstance(family, Counts):
        return f"sum{by} (rate({name}_total[5m]))", "ops"
    if isinstance(family, Levels):
        whole = "max" if family.furthest or name.endswith(("_seconds", "_share")) else "sum"
        return f"{whole}{by} ({name})", "s" if name.endswith("_seconds") else "short"
    with_bound = ", ".join((*family.family.labels, "le"))
    unit = "s" if name.endswith("_seconds") else "short"
    return f"histogram_quantile(0.95, sum by ({with_bound}) (rate({name}_bucket[5m])))", unit
