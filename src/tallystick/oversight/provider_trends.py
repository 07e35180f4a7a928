"""How providers' calls ended and how long they took, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.oversight.latencies import percentile_ms
from tallystick.record.postgres.deployments import Deployment
from tallystick.record.postgres.trends import Step, TrendBook

#: What calls are counted as: ``provider:<name>:<outcome>``.
_CALLS: Final = "provider:"


class ProviderTrends(Struct, frozen=True, kw_only=True):
    """Of each provider: its calls by how they ended, and the p99 of all of them, in ms. ``marks``: releases and
    configurations."""

    read_at: datetime
    since: datetime
    step_s: int
    calls: Mapping[str, Mapping[str, Sequence[Step]]]
    p99_ms: Mapping[str, Sequence[Step]]
    marks: Sequence[Deployment]


async def read_provider_trends(
    book: TrendBook, since: datetime, now: datetime, step_s: int, marks: Sequence[Deployment]
) -> ProviderTrends:
    """From ``since`` on, in steps of so many seconds. Raises what the database raises."""
    calls: dict[str, dict[str, Sequence[Step]]] = {}
    times: dict[str, dict[datetime, Counter[int]]] = {}
    for name in sorted(await book.latencies_since(since)):
        if not name.startswith(_CALLS):
            continue
        _, provider, outcome = name.split(":", 2)
        steps = await book.latency_steps(name, since, step_s)
        calls.setdefault(provider, {})[outcome] = [
            Step(what=outcome, step=step, value=sum(counts.values())) for step, counts in steps.items()
        ]
        for step, counts in steps.items():
            times.setdefault(provider, {}).setdefault(step, Counter()).update(counts)
    return ProviderTrends(
        read_at=now,
        since=since,
        step_s=step_s,
        calls=calls,
        p99_ms={provider: _p99(provider, steps) for provider, steps in times.items()},
        marks=marks,
    )


def _p99(provider: str, steps: Mapping[datetime, Mapping[int, int]]) -> list[Step]:
    return [
        Step(what=provider, step=step, value=round(percentile_ms(counts, 0.99) or 0))
        for step, counts in sorted(steps.items())
    ]
