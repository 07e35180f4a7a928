"""A payment takes as many statements and round trips, whatever is written of it."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

from tallystick.lab.bench.before_after.wire import CountedWire
from tests.support.api import inside
from tests.support.database import Database
from tests.support.log_lines import lines_said
from tests.support.runtime import BookedProvider
from tests.support.spans import spans_kept

#: Of each kind; what a process does by itself meanwhile, such as a look at its clock, meets few of them.
PAYMENTS = 15


async def test_with_everything_on_and_off(database: Database, fresh_merchant: str) -> None:
    with CountedWire(database.app_url) as wire:
        async with inside(database._replace(app_url=wire.url), fresh_merchant, BookedProvider()) as api:
            usual = {}
            for level, with_spans in (("error", False), ("error", False), ("info", False), ("debug", True)):
                counted: Counter[tuple[int, int]] = Counter()
                with ExitStack() as on:
                    said = on.enter_context(lines_said(level))
                    if with_spans:
                        on.enter_context(spans_kept())
                    for _ in range(PAYMENTS):
                        before = wire.counts()
                        assert (await api.pay()).status_code == 201
                        now = wire.counts()
                        counted[now.statements - before.statements, now.round_trips - before.round_trips] += 1
                    assert len(said.of("instruction")) == (0 if level == "error" else PAYMENTS)
                usual[level, with_spans] = counted.most_common(1)[0][0]
    assert len(usual) == 3 and len(set(usual.values())) == 1, usual
    assert usual["error", False][0] >= 10
