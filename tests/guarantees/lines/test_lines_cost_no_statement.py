"""A payment takes as many statements and round trips, whatever is written of it."""

from __future__ import annotations

from tallystick.lab.bench.before_after.wire import CountedWire
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.log_lines import lines_said
from tests.support.runtime import BookedProvider
from tests.support.spans import spans_kept

#: A process looks at its clock and at pauses by itself meanwhile: of so many payments one at least meets no such look.
PAYMENTS = 20

#: So many are tried before it is said that they cost more.
MOST = 300


async def cost(api: Inside, wire: CountedWire) -> tuple[int, int]:
    """Statements and round trips of one payment, and of what the process does meanwhile."""
    before = wire.counts()
    assert (await api.pay()).status_code == 201
    now = wire.counts()
    return now.statements - before.statements, now.round_trips - before.round_trips


async def test_with_everything_on_and_off(database: Database, fresh_merchant: str) -> None:
    with CountedWire(database.app_url) as wire:
        async with inside(database._replace(app_url=wire.url), fresh_merchant, BookedProvider()) as api:
            await cost(api, wire)  # statements are prepared
            with lines_said("error") as said:
                off = min([await cost(api, wire) for _ in range(PAYMENTS)])
            assert not said.lines and off[0] >= 10
            with lines_said("debug") as said, spans_kept() as spans:
                for _ in range(MOST):
                    if await cost(api, wire) <= off:
                        break
                else:
                    raise AssertionError(f"none of {MOST} payments took {off} alone")
            assert said.of("instruction") and said.of("provider called") and spans.of("change committed")
