"""The reference page of all numbers, printed by ``tallystick metrics --markdown``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tallystick.contract import markdown
from tallystick.domain.measures import MEASURES
from tallystick.kit.metrics import AnyFamily, Counts, Levels
from tallystick.oversight.numbers import NUMBERS

_HEAD: Final = """# Numbers

Printed by `tallystick metrics --markdown`. What they are for: [numbers](../operate/numbers.md). Prometheus adds
`_total` to a counter's name, and `_bucket`, `_sum` and `_count` to a histogram's. No label names a merchant, a payment
or a key."""

_GROUPS: Final = (
    (
        "What processes count",
        "Of the API (`TALLYSTICK_METRICS_PORT`) and of each worker (`TALLYSTICK_WORKER_METRICS_PORT`). Counts begin"
        " at 0 with a process.",
        MEASURES,
    ),
    (
        "What the record says",
        "Of the one worker that has the watch: it reads the record, and no scrape does. Sums over workers are right.",
        NUMBERS,
    ),
)


def kind_of(family: AnyFamily) -> str:
    """As Prometheus names it."""
    return "counter" if isinstance(family, Counts) else "gauge" if isinstance(family, Levels) else "histogram"


def metric_rows(families: Iterable[AnyFamily]) -> list[tuple[str, str, str, str]]:
    """(name, kind, labels, meaning) of each family."""
    return [(each.family.name, kind_of(each), ", ".join(each.family.labels), each.family.says) for each in families]


def render_metrics() -> str:
    """A table for each group."""
    parts = [_HEAD]
    for title, about, families in _GROUPS:
        rows = [
            (f"`{name}`", kind, markdown.code(labels.split(", ")) if labels else "", says)
            for name, kind, labels, says in metric_rows(families)
        ]
        parts += [f"## {title}", about, markdown.table(("name", "kind", "labels", "what it is"), rows)]
    return "\n\n".join(parts) + "\n"
