"""Ten incidents on one platform among thousands of payments that went well, and how a person finds each of them from
the first page: by words and numbers that stand there, and by no id that this file knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

import asyncpg
import pytest
from msgspec import Struct

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Approved, Declined, Verdict
from tallystick.flows.api_process import telling_of_itself
from tallystick.flows.deployments import mark_release
from tallystick.flows.latencies import call_name
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import FAILING
from tallystick.kit.clock import Clock, utc_now
from tallystick.kit.ids import new_id
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.providers.port import CircuitState, ProviderCall
from tallystick.record.postgres.rates import RateBook
from tests.support.console_scene import PATIENT
from tests.support.database import Database
from tests.support.host_clock import set_host_clock
from tests.support.inbox import accept, again, captured, drain, envelope
from tests.support.runtime import BookedProvider, Client, read, runtime_of, timed_out
from tests.support.watch import WATCH_SETTINGS, alert_of, watched

HOUR: Final = timedelta(hours=1)

#: As an operator leaves them, but that the watch looks often, and that nothing ends while a person looks.
WATCHED: Final = replace(
    WATCH_SETTINGS,
    alert_clear_ms=86_400_000,
    alert_unknown_age_ms=86_400_000,
    alert_unknown_amounts="EUR=1000000",
    alert_clearing_age_ms=259_200_000,
    alert_queue_age_ms=60_000,
    alert_message_age_ms=900_000,
    alert_watch_gap_ms=86_400_000,
)


class Click(Struct, frozen=True):
    """A link by what it says: ``link`` is a pattern of its words. In the row of a table that has the words ``row``,
    where these are named; its first link, where no pattern is."""

    link: str = ""
    row: str = ""


class Incident(Struct, frozen=True):
    """``clicks``: from the first page on. ``shows``: patterns of what a person reads at the end."""

    name: str
    clicks: tuple[Click, ...]
    shows: tuple[str, ...]


#: Written down before the pages could do it. Amounts and counts are those that ``prepared`` makes.
INCIDENTS: Final = (
    Incident(
        "a provider does not answer",
        (Click("circuit open"), Click("^Providers$", row="look at")),
        (r"simulator/main\s+open", r"simulator\s+unknown\s+240"),
    ),
    Incident(
        "repeated instructions since a release",
        (Click("repeats off trend"),),
        (r"repeats are 20\.\d% of instructions since v9, and were 1\.0% before",),
    ),
    Incident(
        "a clearing balance does not return to zero",
        (Click("^refunds_in_flight:simulator$"), Click(row="77.31 EUR")),
        (r"refund", r"77\.31 EUR", r"shop-03", r"4 d"),
    ),
    Incident(
        "dead letters of one type",
        (Click("^Dead letters: 12$"), Click(row="charge.renamed")),
        (r"charge\.renamed", r"its payment is not known"),
    ),
    Incident(
        "an attempt in doubt above an amount",
        (Click("^In doubt: 2$"), Click(row="12,500.00 EUR")),
        (r"authorize", r"12,500\.00 EUR", r"shop-05"),
    ),
    Incident(
        "an endpoint was given up",
        (Click("endpoint given up"), Click("^Merchants$", row="look at"), Click(row="disabled, failing")),
        (r"https://shop-07\.example/hooks: disabled",),
    ),
    Incident(
        "late money",
        (Click("^Late money: 1$"), Click("^pay_", row="33.07 EUR")),
        (r"33\.07 EUR", r"shop-09"),
    ),
    Incident(
        "an event came again with other content",
        (Click("conflicting event"), Click("^evt_")),
        (r"41\.99 EUR", r"shop-11"),
    ),
    Incident(
        "a worker takes no events",
        (Click("queue age rising"),),
        (r"30 events to process wait, the oldest for [6-9]\d\d s",),
    ),
    Incident(
        "a host's clock is wrong",
        (Click("clocks apart"),),
        (r"(59|60)\d{3} ms apart", r"database"),
    ),
)

#: More than a person wants to make before knowing.
CLICKS_AT_MOST: Final = 3


class Silent(BookedProvider):
    """A provider whose circuit is open."""

    @property
    def circuit(self) -> CircuitState:
        """As after minutes without an answer."""
        return "open"


@asynccontextmanager
async def prepared(database: Database, payments: int) -> AsyncIterator[None]:
    """The platform with its ten incidents, seen by the watch. A process goes on telling of its circuit."""
    await asyncio.to_thread(prepare, database.owner_url, database.app_url)
    await copy_chunk(database.owner_url, 0, payments)
    with pytest.MonkeyPatch.context() as patch:
        set_host_clock(patch, -60_000)
        async with watched(database.app_url, None, "clocks", settings=WATCHED) as runtime:
            await alert_of(runtime, "clocks_apart")
    await _release(database)
    await _open_refund(database)
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT) as runtime:
        await _dead_letters(database)
        await _late_money(runtime)
        await _conflict(runtime, database)
        await _given_up(runtime)
    await _in_doubt(database)
    await _stuck(database)
    await _slow_calls(database)
    async with (
        runtime_of(database.app_url, Silent(), settings=PATIENT) as beside,
        telling_of_itself(beside),
        watched(database.app_url, None, "dispatch", settings=WATCHED) as runtime,
    ):
        for name in (
            "circuit_open",
            "clearing_not_zero",
            "conflicting_event",
            "dead_letter_old",
            "endpoint_given_up",
            "queue_age_rising",
            "repeats_off_trend",
            "unknown_outcome",
        ):
            await alert_of(runtime, name)
        yield


async def _counted(database: Database, age: timedelta, **counts: int) -> None:
    async with asyncpg.create_pool(database.app_url, min_size=1, max_size=1) as pool:
        await RateBook(pool, Clock(-round(age.total_seconds() * 1_000))).add(counts)  # type: ignore[arg-type]


async def _release(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider(), shift_ms=-1_200_000) as runtime:
        await mark_release(runtime, asked_act("shell:kim@here", None, "release.mark", "v9", "The drill."))
    await _counted(database, HOUR, instructions=10_000, repeats=100, replays=100)
    await _counted(
        database, HOUR / 6, instructions=5_000, repeats=1_000, replays=1_000, arrivals=5_000, redeliveries=50
    )


async def _stored(runtime: Runtime, merchant_id: str, payment_id: str) -> PaymentSnapshot:
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    return loaded.stored


async def _parked(runtime: Runtime, merchant_id: str, payment_id: str) -> None:
    """Recovery has asked often enough."""
    stored = await _stored(runtime, merchant_id, payment_id)
    step = Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger="recovery", actor="recovery")
    await runtime.journal.commit(park(stored, stored.attempts[-1].attempt_id, step))


async def _open_refund(database: Database) -> None:
    """Four days ago, and nobody knows whether the provider has done it."""
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider, shift_ms=-4 * 86_400_000, settings=PATIENT) as runtime:
        client = Client(runtime, "shop-03")
        payment_id = str(read(await client.create("order-31", 9_900))["id"])
        provider.after = timed_out
        await client.refund("order-31-refund", payment_id, 7_731)
        await _parked(runtime, "shop-03", payment_id)


async def _in_doubt(database: Database) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    async with runtime_of(database.app_url, provider, settings=PATIENT) as runtime:
        payment_id = str(read(await Client(runtime, "shop-05").create("order-32", 1_250_000))["id"])
        await _parked(runtime, "shop-05", payment_id)


async def _late_money(runtime: Runtime) -> None:
    async def refuses(_: ProviderCall) -> Verdict:
        return Declined(code="card_declined", message="No.")

    provider = runtime.providers["simulator"].behind  # type: ignore[attr-defined]
    provider.before = refuses
    payment_id = str(read(await Client(runtime, "shop-09").create("order-33", 3_307))["id"])
    provider.before = None
    stored = await _stored(runtime, "shop-09", payment_id)
    said = Approved(amount=3_307, currency="EUR", effect="captured", reference="ch_late")
    attempt_id = stored.attempts[0].attempt_id
    await settle_verdict(runtime, stored, attempt_id, said, cause="webhook", actor="provider:simulator")


async def _conflict(runtime: Runtime, database: Database) -> None:
    payment_id = str(read(await Client(runtime, "shop-11").create("order-34", 4_199))["id"])
    stored = await _stored(runtime, "shop-11", payment_id)
    first = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
    await accept(database, [first])
    await accept(database, [again(first, digest=b"x" * 32)])
    await drain(runtime, "shop-11")
    await _counted(database, timedelta(0), other_bytes=1)


async def _given_up(runtime: Runtime) -> None:
    endpoint_id = new_id("we")
    await runtime.pool.execute(
        "INSERT INTO webhook_endpoint (merchant_id, endpoint_id, url, state, created_at)"
        " VALUES ('shop-07', $1, 'https://shop-07.example/hooks', 'enabled', now())",
        endpoint_id,
    )
    assert await runtime.stores.endpoint_book.disable("shop-07", endpoint_id, FAILING, actor="delivery")


def _unknown_charge() -> AttemptNotice:
    said = Approved(amount=500, currency="EUR", effect="captured", reference="ch_nobodys")
    return AttemptNotice(operation="authorize", attempt_id=new_id("att"), verdict=said)


async def _dead_letters(database: Database) -> None:
    """Since two hours: the provider gave a type of events another name."""
    made = [envelope(new_id("req"), _unknown_charge(), type="charge.renamed") for _ in range(12)]
    await accept(database, made)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(
            "UPDATE inbox SET state = 'dead', next_try_at = NULL, tries = 8, closed_at = now() - interval '2 hours',"
            " detail = 'its payment is not known' WHERE event_id = ANY ($1)",
            [each.event_id for each in made],
        )
    finally:
        await owner.close()


async def _stuck(database: Database) -> None:
    """Events of ten minutes ago: no worker takes them, as none here does the rounds of the inbox."""
    made = [envelope(new_id("req"), _unknown_charge()) for _ in range(30)]
    await accept(database, made, shift_ms=-600_000)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute(
            "UPDATE inbox SET next_try_at = now() - interval '10 minutes' WHERE event_id = ANY ($1)",
            [each.event_id for each in made],
        )
    finally:
        await owner.close()


async def _slow_calls(database: Database) -> None:
    now = utc_now().replace(second=0, microsecond=0)
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.executemany(
            "INSERT INTO latency_count (what, minute, bound_ms, n) VALUES ($1, $2, $3, $4)",
            [
                (call_name("simulator", "unknown"), now - timedelta(minutes=minute), 10_000, 60)
                for minute in range(2, 6)
            ],
        )
    finally:
        await owner.close()
