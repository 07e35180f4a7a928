"""Real workers, killed with SIGKILL at every statement, without depth at every so many-th one: whoever comes next
finishes, and nothing shows of it.

The acquirer is a program of its own with books of its own, so there is somebody to disagree with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import asyncpg
import pytest

from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope, envelope_of
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.simulator.charges import list_charges
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.settings.load import Settings, environment_of
from tests.support.acquirer import WEBHOOK_SECRET, AcquirerProcess, acquirer
from tests.support.crash.killed_worker import End, Life, Lives
from tests.support.crash.points import OF_ANSWERS, OF_EVERY_CHANGE, OF_RECOVERY, OF_THE_INBOX, chosen, stride
from tests.support.crash.scenario import ROUNDS, SETTINGS, STEP_MS, gone
from tests.support.database import Database
from tests.support.event_sink import Sink, sink
from tests.support.inbox import accept
from tests.support.outbox import deliveries, drain, pay, queues, register, runtime_for, tries, worker_at
from tests.support.polling import eventually
from tests.support.receivers import heard, receiving
from tests.support.runtime import Client, read
from tests.support.screen import SCREEN

#: Without depth. The webhook worker and recovery are killed at more of their statements in the suites beside this one,
#: where a death is one of sockets alone; the outgoing worker is killed here alone.
STRIDE: Final = 15
STRIDE_OUTGOING: Final = 9

RECEIVER: Final = SimulatorReceiver("main", [WEBHOOK_SECRET])

#: What the code has now. Fewer points mean that the enumeration lost sight of something; more are welcome.
POINTS: Final = {
    "a capture": 36,
    "a refund that fails": 36,
    "a dispute": 60,
    "late money": 36,
    "a charge is closed": 50,
    "the outbox": 60,
}


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with Lives() as running:
        yield running


@pytest.fixture(scope="module")
def inbox() -> Iterator[Sink]:
    with sink() as made:
        yield made


@pytest.fixture(scope="module")
def bank(inbox: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    with acquirer(books, webhook_url=inbox.url, late_ms=1) as process:
        yield process


class Story(NamedTuple):
    """A payment, and what the acquirer tells of it that nobody knows yet. ``steps``: what our
    record says of it in the end."""

    method: str
    manual: bool
    news: tuple[str, ...]
    steps: list[str]


STORIES: Final = {
    "a capture": Story(
        "sim_capture_pending", True, ("charge.captured",), ["create", "authorized", "capture", "captured"]
    ),
    "a refund that fails": Story(
        "sim_refund_fails_late",
        False,
        ("refund.failed",),
        ["create", "captured", "refund_opened", "refund_succeeded", "refund_failed"],
    ),
    "a dispute": Story(
        "sim_ok",
        False,
        ("dispute.opened", "dispute.funds_withdrawn"),
        ["create", "captured", "dispute_opened", "dispute_updated"],
    ),
    "late money": Story("sim_late_capture", False, ("charge.captured",), ["create", "declined", "late_capture"]),
}


async def happen(runtime: Runtime, bank: AcquirerProcess, merchant_id: str, story: str) -> str:
    """A payment of which the acquirer will tell more; its id."""
    client, key, method = Client(runtime, merchant_id), new_id("req"), STORIES[story].method
    payment = read(await client.create(key, manual=STORIES[story].manual, payment_method=method))
    match story:
        case "a capture":
            assert (await client.capture(f"{key}-then", payment["id"], 600)).status == 202
        case "a refund that fails":
            assert (await client.refund(f"{key}-then", payment["id"], 400)).status == 201
        case "a dispute":
            path = f"/sim/charges/{payment['provider_reference']}/dispute"
            _, dispute = await bank.acall("POST", path, {"amount": 300})
            await bank.acall("POST", f"/sim/disputes/{dispute['dispute_id']}/withdraw", {})
    return cast(str, payment["id"])


def news_of(inbox: Sink, payment_id: str, story: str) -> list[Envelope]:
    """The events that nobody knows yet, as the intake would have them."""
    eventually(lambda: inbox.kinds(payment_id), until=set(STORIES[story].news).issubset)
    envelopes = []
    for kind in STORIES[story].news:
        arrival = next(each for each in inbox.about(payment_id) if each.kind == kind)
        now = datetime.now(UTC)
        (notification,) = RECEIVER.receive(arrival.raw, arrival.headers, now)
        envelopes.append(envelope_of(RECEIVER, notification, arrival.raw, arrival.headers, now, SCREEN))
    return envelopes


async def backends(runtime: Runtime) -> list[int]:
    """Who is connected to the database."""
    rows = await runtime.pool.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    return [row[0] for row in rows]


async def live(lives: Lives, runtime: Runtime, life: Life) -> End:
    """One life. What it had sent to the database has landed or is gone when this returns."""
    before = await backends(runtime)
    end = await asyncio.to_thread(lives.live, life)
    await gone(runtime, [pid for pid in await backends(runtime) if pid not in before])
    return end


async def processed(runtime: Runtime, shift_ms: int) -> None:
    """What a worker that nobody kills finds when the leases of the dead have run out."""
    runtime.clock.shift_ms = shift_ms
    processing = InboxWorker(runtime, runtime.stores.inbox)
    while await processing.round():
        pass


async def record_of(runtime: Runtime, merchant_id: str, payment_id: str) -> dict[str, list[Any]]:
    """All that is left of a payment's life, without names and times."""
    queries = {
        "steps": "SELECT subject, event, from_state, to_state FROM history WHERE merchant_id = $1"
        " AND stream_id = $2 ORDER BY subject, subject_id, version",
        "money": "SELECT kind, debit, credit, amount FROM transfer WHERE merchant_id = $1 AND stream_id = $2"
        " ORDER BY kind, leg",
        "messages": "SELECT type, version FROM outbox WHERE merchant_id = $1 AND stream_id = $2 ORDER BY version, type",
        "events": "SELECT e.type, e.state, p.number, p.result FROM inbox e JOIN processing p USING"
        " (provider, account, provider_event_id) WHERE e.merchant_id = $1 AND e.payment_id = $2 ORDER BY e.event_id",
    }
    return {
        name: [tuple(row) for row in await runtime.pool.fetch(query, merchant_id, payment_id)]
        for name, query in queries.items()
    }


async def agree(runtime: Runtime, bank: AcquirerProcess, settings: Settings, merchant_id: str) -> None:
    """Every invariant of our record, and that the acquirer's books say the same."""
    async with runtime.pool.acquire() as pooled:
        connection = cast(asyncpg.Connection, pooled)
        alone = await verify(connection, settings=settings, merchant_id=merchant_id)
        charges, clock = list_charges(bank.url), Clock(settings.clock_shift_ms)
        beside = await tally(connection, charges, merchant_id=merchant_id, clock=clock)
    assert alone.holds, alone
    assert beside.holds, beside
    assert beside.checked["open"] == 0


@pytest.mark.timeout(600)  # a hundred lives: seconds, unless others keep the machine busy
@pytest.mark.parametrize("story", STORIES)
async def test_the_webhook_worker_killed_at_every_statement(
    own_url: str,
    lives: Lives,
    bank: AcquirerProcess,
    inbox: Sink,
    fresh_merchant: str,
    story: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each time another finishes: the effect once, the event acknowledged once, as where nobody dies."""
    # A hundred payments at once, all of which must be answered, on however busy a machine.
    settings = replace(
        SETTINGS,
        provider_request_timeout_ms=60_000,
        provider_connect_timeout_ms=20_000,
        provider_wait_ms=60_000,
        provider_circuit_calls=1_000_000,
    )
    settings = settings.with_connector(SimulatorSettings, url=bank.url)
    database, shift_ms = Database(own_url, own_url), 0
    wrong: dict[str, dict[str, list[Any]]] = {}

    async def told(payment_id: str, kill_at: int | None) -> tuple[End, dict[str, list[Any]]]:
        """The events arrive, a worker lives, and another after it; what is left of them."""
        nonlocal shift_ms
        for envelope in await asyncio.to_thread(news_of, inbox, payment_id, story):
            await accept(database, [envelope])  # one after another: they are processed in this order
        life = Life("inbox", own_url, environment_of(replace(settings, clock_shift_ms=shift_ms)), kill_at)
        end = await live(lives, runtime, life)
        shift_ms += STEP_MS
        await processed(runtime, shift_ms)
        return end, await record_of(runtime, fresh_merchant, payment_id)

    async with open_runtime(settings, own_url) as runtime:
        whole, expected = await told(await happen(runtime, bank, fresh_merchant, story), None)
        assert not whole.killed
        assert [event for subject, event, *_ in expected["steps"] if subject == "payment"] == STORIES[story].steps
        assert expected["events"] == [(kind, "applied", 1, "applied") for kind in STORIES[story].news]
        numbers = chosen(whole.points, STRIDE, elsewhere=OF_EVERY_CHANGE | OF_THE_INBOX | OF_ANSWERS)
        payment_ids = await asyncio.gather(*(happen(runtime, bank, fresh_merchant, story) for _ in numbers))
        for number, payment_id in zip(numbers, payment_ids, strict=True):
            end, record = await told(payment_id, number)
            assert end == End(True, whole.points[: number + 1])
            if record != expected:
                wrong[f"{number}: {whole.points[number]}"] = record
        assert wrong == {}
        await agree(runtime, bank, replace(settings, clock_shift_ms=shift_ms), fresh_merchant)
    with capsys.disabled():
        print(f"\n  {story}: the webhook worker killed at {len(numbers)} of {len(whole.points)} points", end="")
    assert len(whole.points) >= POINTS[story]


@pytest.mark.timeout(600)
async def test_recovery_killed_while_it_closes_a_charge(
    own_url: str, lives: Lives, bank: AcquirerProcess, fresh_merchant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The payer left: the decline and the call that closes the charge come to the same end, whoever dies on the way."""
    # An answer is never late on a busy machine, and a payer's time is not over while the clock is shifted.
    settings = replace(SETTINGS, provider_request_timeout_ms=60_000, provider_connect_timeout_ms=20_000)
    settings = settings.with_connector(SimulatorSettings, url=bank.url)
    shift_ms = 0

    async def ended(runtime: Runtime, kill_at: int | None) -> tuple[End, dict[str, list[Any]]]:
        nonlocal shift_ms
        runtime.clock.shift_ms = shift_ms
        payment = read(
            await Client(runtime, fresh_merchant).create(new_id("req"), payment_method="sim_action_required")
        )
        await bank.acall("POST", f"/sim/charges/{payment['provider_reference']}/abandon", {})
        life = Life("recovery", own_url, environment_of(replace(settings, clock_shift_ms=shift_ms)), kill_at)
        end = await live(lives, runtime, life)
        recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
        due = 1
        while due:
            # Beyond the leases of the dead, whose own clock went on as far as this.
            shift_ms += ROUNDS * STEP_MS
            runtime.clock.shift_ms = shift_ms
            due = await recovery.round()
        record = await record_of(runtime, fresh_merchant, payment["id"])
        record["steps"] = [step for step in record["steps"] if step[0] == "payment"]
        attempts = await runtime.pool.fetch(
            "SELECT purpose, state FROM attempt WHERE merchant_id = $1 AND payment_id = $2 ORDER BY purpose",
            fresh_merchant,
            payment["id"],
        )
        return end, record | {"attempts": [tuple(row) for row in attempts]}

    async with open_runtime(settings, own_url) as runtime:
        whole, expected = await ended(runtime, None)
        assert not whole.killed
        assert [event for _, event, *_ in expected["steps"]] == ["create", "action_required", "declined"]
        assert [purpose for purpose, _ in expected["attempts"]] == ["close", "instruction"]
        assert {state for _, state in expected["attempts"]} <= ATTEMPT.final
        wrong = {}
        for number in (numbers := chosen(whole.points, STRIDE, elsewhere=OF_EVERY_CHANGE | OF_RECOVERY | OF_ANSWERS)):
            end, record = await ended(runtime, number)
            assert end == End(True, whole.points[: number + 1])
            if record != expected:
                wrong[f"{number}: {whole.points[number]}"] = record
        assert wrong == {}
        await agree(runtime, bank, replace(settings, clock_shift_ms=shift_ms), fresh_merchant)
    with capsys.disabled():
        print(f"\n  recovery, closing a charge: killed at {len(numbers)} of {len(whole.points)} points", end="")
    assert len(whole.points) >= POINTS["a charge is closed"]


@pytest.mark.timeout(600)
async def test_the_outgoing_worker_killed_at_every_statement(
    own_url: str, lives: Lives, fresh_merchant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each message arrives, in the order of its payment, and the log has each arrival that was recorded, once."""
    database, shift_ms, number, killed = Database(own_url, own_url), 0, 0, True
    async with receiving() as receiver, runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, receiver)
        points: list[str] = []
        while killed:
            receiver.got.clear()
            payment_id = await pay(runtime, fresh_merchant, f"k{number}", captured_later=True)
            environment = environment_of(replace(runtime.settings, clock_shift_ms=shift_ms))
            life = Life("outbox", own_url, environment, number)
            end = await live(lives, runtime, life)
            killed, points = end.killed, end.points
            where = f"{number}: {points[-1]}"
            shift_ms += STEP_MS
            async with worker_at(database, shift_ms) as survivor:
                await drain(survivor)
            assert heard(receiver) == [(payment_id, "payment.authorized"), (payment_id, "payment.captured")], where
            assert len(receiver.got) <= 3, f"at most the one message under way is sent twice: {where}"
            told = {one["message_id"]: one["state"] for one in await deliveries(runtime, fresh_merchant)}
            assert set(told.values()) == {"delivered"}, where
            assert {got.message_id for got in receiver.got} <= set(told)
            logged = sorted(
                (one["message_id"], one["number"], one["result"]) for one in await tries(runtime, fresh_merchant)
            )
            assert logged == [(message_id, 1, "delivered") for message_id in sorted(told)], where
            assert await queues(runtime, fresh_merchant) == 0, where
            number += stride(STRIDE_OUTGOING)
    with capsys.disabled():
        print(f"\n  the outgoing worker killed at some of {len(points)} points", end="")
    assert len(points) >= POINTS["the outbox"]
