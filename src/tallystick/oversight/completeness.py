"""Audit completeness: of the payments that are final, how many have all that must stand beside them.

Payments are examined once, a minute after they were made, and those that are not final then again later. What must
stand there is what the edges of its steps declare: the checkpoints of ``trace/missing.py``, which the trace of the
payment names too. What else is wrong with it is named by the invariant that it breaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.kit.clock import Clock
from tallystick.kit.ids import id_floor, moment_of
from tallystick.oversight.invariants.catalogue import INVARIANTS, PaymentLook
from tallystick.oversight.trace.missing import Recorded, missing_checkpoints
from tallystick.record.postgres.number_reads import NumberReads, events_routed, words_beside
from tallystick.record.postgres.payment_record import PaymentRecord, payment_records
from tallystick.settings.load import Settings

#: What is shown, by the names of the windows.
WINDOWS: Final[Mapping[str, timedelta]] = {"1h": timedelta(hours=1), "24h": timedelta(hours=24)}

#: Counts are kept for longer than the longest window.
KEEP: Final = timedelta(hours=48)

#: Payments in one look: some tens of milliseconds.
AT_ONCE: Final = 500

#: Of those that were not final at their first look, so many are looked at again in one round: each alone.
AGAIN_AT_ONCE: Final = 20

#: Payments that were not final at the first look, and are remembered. A hold may be open for a week; a process that
#: begins anew remembers none. More than these are not.
REMEMBERED: Final = 10_000


class Incomplete(Struct, frozen=True, kw_only=True):
    """A final payment that lacks something or is wrong. ``missing``: its checkpoints that are not there; with one it is
    not complete. ``broken``: its invariants that do not hold. Both are "name: in words"."""

    merchant_id: str
    payment_id: str
    missing: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


class Completeness:
    """The examination of one process, which has the watch."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, settings: Settings) -> None:
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._reads = NumberReads(pool, clock)
        self._after: str | None = None  # nothing above this id was examined
        self._open: dict[str, str] = {}  # payment -> merchant
        # Those that depend on settings say that something waits for too long, which other alerts do.
        self._looks: list[tuple[str, PaymentLook]] = [
            (each.name, look) for each in INVARIANTS for look in (each.of_stream, each.of_payment) if look is not None
        ]

    async def round(self) -> tuple[int, Sequence[Incomplete]]:
        """Examine what is due: how many payments were looked at for the first time, and what is missing. Raises what
        the database raises."""
        below = id_floor("pay", self._clock.now() - timedelta(milliseconds=self._settings.audit_delay_ms))
        if self._after is None:
            newest = await self._reads.examined_until()
            day = self._clock.now() - WINDOWS["24h"]
            self._after = id_floor("pay", day if newest is None else max(day, newest + timedelta(minutes=1)))
        made = await self._reads.payments_made(self._after, below, AT_ONCE) if self._after < below else []
        look = _Look(self._missing, self._broken)
        async with self._pool.acquire() as proxy, proxy.transaction(isolation="repeatable_read", readonly=True):
            connection = cast(asyncpg.Connection, proxy)  # one snapshot: between two of them a payment may move
            for merchant_id, ids in _by_merchant(made).items():
                await look.at(connection, merchant_id, ids, self._clock)
            for payment_id, merchant_id in list(self._open.items())[:AGAIN_AT_ONCE]:
                del self._open[payment_id]
                await look.at(connection, merchant_id, [payment_id], self._clock)
        for payment_id, merchant_id in list(look.open.items())[: REMEMBERED - len(self._open)]:
            self._open[payment_id] = merchant_id
        if look.final:
            await self._reads.count_complete([(at, number, look.complete[at]) for at, number in look.final.items()])
            await self._reads.forget_complete(self._clock.now() - KEEP)
        self._after = made[-1][1] if len(made) == AT_ONCE else max(self._after, below)
        return len(made), look.incomplete

    def _missing(self, recorded: Recorded) -> Iterator[str]:
        """The one place that says what must stand beside a final payment."""
        for each in missing_checkpoints(recorded, self._settings):
            yield f"{each.checkpoint}: {each.says} ({each.subject_id})"

    def _broken(self, record: PaymentRecord) -> Iterator[str]:
        for name, look in self._looks:
            for finding in look(record):
                yield f"{name}: {finding.detail}"


class _Look:
    """What one round saw, by the minute in which payments were made."""

    def __init__(
        self, missing: Callable[[Recorded], Iterable[str]], broken: Callable[[PaymentRecord], Iterable[str]]
    ) -> None:
        self._missing = missing
        self._broken = broken
        self.final: Counter[datetime] = Counter()
        self.complete: Counter[datetime] = Counter()
        self.incomplete: list[Incomplete] = []
        self.open: dict[str, str] = {}

    async def at(self, connection: asyncpg.Connection, merchant_id: str, ids: Sequence[str], clock: Clock) -> None:
        """Look at payments of one merchant that follow each other."""
        after = ids[0][:-1]  # what an id begins with comes before it, in every collation
        final = []
        async for page in payment_records(connection, merchant_id, clock, after=after, limit=len(ids)):
            for record in page:
                if record.payment.state in PAYMENT.final:
                    final.append(record)
                else:
                    self.open[record.payment.payment_id] = merchant_id
        if not final:
            return
        words = await words_beside(connection, merchant_id, [id_ for record in final for id_, _ in record.subjects])
        events = await events_routed(connection, merchant_id, [record.stream_id for record in final])
        for record in final:
            self._note(
                Recorded(record=record, words=words, events=events.get(record.stream_id, set()), now=clock.now())
            )

    def _note(self, recorded: Recorded) -> None:
        record = recorded.record
        minute = moment_of(record.stream_id).replace(second=0, microsecond=0)
        missing, broken = tuple(self._missing(recorded)), tuple(self._broken(record))
        self.final[minute] += 1
        self.complete[minute] += not missing
        if missing or broken:
            merchant_id = record.payment.merchant_id
            self.incomplete.append(
                Incomplete(merchant_id=merchant_id, payment_id=record.stream_id, missing=missing, broken=broken)
            )


def _by_merchant(payments: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for merchant_id, payment_id in payments:
        found.setdefault(merchant_id, []).append(payment_id)
    return found
