"""Webhooks: a burst at the API without a worker, then a worker that drains it, each beside its ceiling.

The burst has 30 % redeliveries, most of them next to their original, 20 % out of order, 1 %
forged. The ceiling of the intake is a POST that only parses and answers; the ceiling of the drain are the statements
and rows of the journal without application code.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.change import Acknowledgement, Change
from tallystick.domain.subjects import Attempt, Payment
from tallystick.domain.verdicts import Approved, Pending
from tallystick.flows.assembly import open_runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.kit.rounds import run_rounds
from tallystick.lab.acquirer.scripts import API_VERSION
from tallystick.lab.bench.ceiling import CONNECTIONS as CEILING_CONNECTIONS
from tallystick.lab.bench.ceiling import Exchange, play, record_batch, unseen_by_collector
from tallystick.lab.bench.latency import Latency, median, median_latency
from tallystick.lab.bench.provider import BenchProvider
from tallystick.lab.bench.stage import HOST, Database, StageFailed, open_server
from tallystick.lab.bench.webhook_load import Delivery, WebhookLoad, WebhookResult
from tallystick.lab.bench.workload import PATH, approval, create_change, new_instruction, settled_change
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.record.postgres.connections import connect_journal
from tallystick.run.work import periodic_work
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: The burst, as shares of all deliveries.
REDELIVERIES: Final = 0.30
OUT_OF_ORDER: Final = 0.20
FORGED: Final = 0.01

#: Of the redeliveries, those that come right behind their original, into the same batch.
ADJACENT: Final = 0.5

SECRET: Final = "whsec_benchmark"

WEBHOOK_PATH: Final = "/v1/webhooks/simulator/main"

#: Changes in one transaction of the ceiling, as in a busy worker.
_CEILING_BATCH: Final = 200

#: Changes offered to the journal together while a round is prepared.
_AT_ONCE: Final = 5_000

_STATEMENT_TIMEOUT_MS: Final = 60_000


class SimulatedBank(BenchProvider):
    """The benchmark's provider under the name whose webhooks are delivered."""

    name = "simulator"


class WebhookPlan(Struct, frozen=True, kw_only=True):
    """Sizes of the burst."""

    rounds: int
    deliveries: int
    connections: int


class WebhookFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench webhooks``: medians over rounds."""

    plan: WebhookPlan
    intake_per_s: float
    intake_latency: Latency
    noop_per_s: float
    noop_latency: Latency
    of_noop: float
    events: int
    drain_per_s: float
    drain_ceiling_per_s: float
    of_ceiling: float
    rounds: list[dict[str, float]]
    failures: dict[str, int]


class _Round(Struct, frozen=True, kw_only=True):
    intake: WebhookResult
    noop: WebhookResult
    events: int
    drain_per_s: float
    ceiling_per_s: float


def measure_webhooks(
    settings: Settings, database: Database, work: Path, plan: WebhookPlan, announce: Announce
) -> WebhookFigures:
    """Every round: payments that wait for their outcome, the burst, the drain, the ceilings. Raises StageFailed."""
    settings = database.settings_for(settings).with_connector(SimulatorSettings, webhook_secrets=SECRET)
    rounds = []
    with (
        open_server("noop", settings, database, work / "noop.log") as noop,
        open_server("api", settings, database, work / "api.log") as api,
    ):
        for number in range(plan.rounds):
            announce("rounds", number, plan.rounds)
            originals = int(plan.deliveries * (1 - REDELIVERIES - FORGED))
            waiting = uvloop.run(_waiting_payments(settings, database.app_url, originals))
            file = work / f"burst-{number}"
            file.write_bytes(msgspec.msgpack.encode(burst(waiting, plan.deliveries, random.Random(number))))
            intake = _deliver(api.port, file, plan.connections, None)
            events, drain_per_s = uvloop.run(_drain(settings, database.app_url))
            noop_file = work / f"noop-{number}"
            requests = msgspec.msgpack.decode(file.read_bytes(), type=list[Delivery])
            noop_file.write_bytes(msgspec.msgpack.encode([replace(each, path=PATH) for each in requests]))
            beside = _deliver(noop.port, noop_file, plan.connections, 201)
            ceiling = uvloop.run(_ceiling(settings, database.app_url, min(events, 4_000)))
            rounds.append(
                _Round(intake=intake, noop=beside, events=events, drain_per_s=drain_per_s, ceiling_per_s=ceiling)
            )
        announce("rounds", plan.rounds, plan.rounds)
    return _figures(plan, rounds)


def burst(payments: Sequence[Change], deliveries: int, rng: random.Random) -> list[Delivery]:
    """The deliveries in the order in which they leave."""
    originals = [_signed(_event(payment), SECRET, 200) for payment in payments]
    ordered: list[Delivery] = []
    late: list[Delivery] = []
    for each in originals:
        (late if rng.random() < OUT_OF_ORDER else ordered).append(each)
    for each in late:
        ordered.insert(rng.randrange(len(ordered) + 1), each)
    left = int(deliveries * REDELIVERIES)
    again: dict[int, int] = {}
    for _ in range(int(left * ADJACENT)):
        place = rng.randrange(len(ordered))
        again[place] = again.get(place, 0) + 1
    leaving = [each for place, first in enumerate(ordered) for each in [first] * (1 + again.get(place, 0))]
    for _ in range(left - sum(again.values())):
        leaving.insert(rng.randrange(len(leaving) + 1), rng.choice(originals))
    forged = [_signed(rng.choice(originals).body, "not the secret", 401) for _ in range(deliveries - len(leaving))]
    for each in forged:
        leaving.insert(rng.randrange(len(leaving) + 1), each)
    return leaving


def _event(create: Change) -> bytes:
    """The acquirer's event that a payment was captured."""
    attempt = create.every(Attempt)[0]
    at = utc_now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = {
        "merchant_id": attempt.merchant_id,
        "payment_id": attempt.payment_id,
        "attempt_id": attempt.attempt_id,
        "operation": "authorize",
        "status": "approved",
        "effect": "captured",
        "amount": attempt.amount,
        "currency": attempt.currency,
        "charge_id": f"ch_{attempt.attempt_id}",
        "reference": f"ch_{attempt.attempt_id}",
        "decline_code": None,
        "decline_message": None,
        "next_action": None,
        "occurred_at": at,
    }
    event = {
        "id": f"evt_sim_{new_id('evt')}",
        "type": "charge.captured",
        "api_version": API_VERSION,
        "created": at,
        "sequence": 1,
        "data": data,
    }
    return msgspec.json.encode(event)


def _signed(body: bytes, secret: str, expected: int) -> Delivery:
    second = str(int(time.time()))
    digest = hmac.new(secret.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()
    return Delivery(WEBHOOK_PATH, f"t={second},v1={digest}", body, expected)


async def _waiting_payments(settings: Settings, database_url: str, count: int) -> list[Change]:
    """Payments that were sent, and whose provider said that the outcome comes later."""
    creates = [_create() for _ in range(count)]
    waiting = [settled_change(create, Pending(reference=None)) for create in creates]
    async with open_runtime(settings, database_url, providers={"simulator": SimulatedBank()}) as runtime:
        for changes in (creates, waiting):
            for start in range(0, count, _AT_ONCE):  # the journal's queue is bounded
                await asyncio.gather(*(runtime.journal.commit(each) for each in changes[start : start + _AT_ONCE]))
    return creates


def _create() -> Change:
    change = create_change(new_instruction(new_id("req")), new_id("pay"))
    return replace(
        change,
        subjects=tuple(replace(cast(Any, subject), provider="simulator") for subject in change.subjects),
        transitions=tuple(replace(step, change=step.change | {"provider": "simulator"}) for step in change.transitions),
    )


def _deliver(port: int, file: Path, connections: int, expected: int | None) -> WebhookResult:
    load = WebhookLoad(host=HOST, port=port, deliveries=str(file), connections=connections, expected=expected)
    command = [sys.executable, "-m", "tallystick.lab.bench.webhook_load", msgspec.json.encode(load).decode()]
    done = subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise StageFailed(f"the load generator ended with {done.returncode}")
    return msgspec.json.decode(done.stdout, type=WebhookResult)


async def _drain(settings: Settings, database_url: str) -> tuple[int, float]:
    """Events, and how many a second one worker closes."""
    async with open_runtime(settings, database_url, providers={"simulator": SimulatedBank()}) as runtime:
        open_events = int(await runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE next_try_at IS NOT NULL"))
        stop = asyncio.Event()
        async with periodic_work(runtime) as rounds:
            started = time.perf_counter()
            worker = asyncio.create_task(run_rounds([each for each in rounds if each.name == "inbox"], stop))
            while await runtime.pool.fetchval("SELECT EXISTS (SELECT FROM inbox WHERE next_try_at IS NOT NULL)"):
                await asyncio.sleep(0.02)
            elapsed_s = time.perf_counter() - started
            stop.set()
            await worker
    return open_events, open_events / elapsed_s


async def _ceiling(settings: Settings, database_url: str, count: int) -> float:
    """Effects with their acknowledgements a second, with no application code."""
    creates = await _waiting_payments(settings, database_url, count)
    batches: list[list[Exchange]] = []
    for start in range(0, count, _CEILING_BATCH):
        changes = [_acknowledged(create) for create in creates[start : start + _CEILING_BATCH]]
        batches.append(await record_batch(changes))
    connections = [
        await connect_journal(database_url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
        for _ in range(CEILING_CONNECTIONS)
    ]
    queue = list(reversed(batches))

    async def play_rest(connection: Any) -> None:
        while queue:
            await play(connection, queue.pop())

    try:
        with unseen_by_collector():
            started = time.perf_counter()
            await asyncio.gather(*(play_rest(connection) for connection in connections))
            return count / (time.perf_counter() - started)
    finally:
        for connection in connections:
            await connection.close()


def _acknowledged(create: Change) -> Change:
    from_pending = settled_change(create, Pending(reference=None))
    payment, attempts = create.every(Payment), from_pending.every(Attempt)
    approved = settled_change(replace(create, subjects=(*payment, *attempts)), _approval(create))
    now = utc_now()
    ack = Acknowledgement(
        provider="simulator",
        account="main",
        provider_event_id=new_id("evt"),
        try_id=new_id("try"),
        number=1,
        started_at=now,
        ended_at=now,
        result="applied",
        state="applied",
        change_id=approved.change_id,
        actor="worker",
        merchant_id=create.merchant_id,
        payment_id=create.stream_id,
    )
    return replace(approved, acknowledgements=(ack,))


def _approval(create: Change) -> Approved:
    attempt = create.every(Attempt)[0]
    return approval(f"ch_{attempt.attempt_id}", attempt.amount, attempt.currency, utc_now())


def _figures(plan: WebhookPlan, rounds: Sequence[_Round]) -> WebhookFigures:
    failures: dict[str, int] = {}
    for each in rounds:
        for result in (each.intake, each.noop):
            for reason, count in result.failures.items():
                failures[reason] = failures.get(reason, 0) + count
    return WebhookFigures(
        plan=plan,
        intake_per_s=median([each.intake.per_s for each in rounds]),
        intake_latency=median_latency([each.intake.latency for each in rounds]),
        noop_per_s=median([each.noop.per_s for each in rounds]),
        noop_latency=median_latency([each.noop.latency for each in rounds]),
        of_noop=median([each.intake.per_s / each.noop.per_s for each in rounds]),
        events=rounds[0].events,
        drain_per_s=median([each.drain_per_s for each in rounds]),
        drain_ceiling_per_s=median([each.ceiling_per_s for each in rounds]),
        of_ceiling=median([each.drain_per_s / each.ceiling_per_s for each in rounds]),
        rounds=[
            {"intake_per_s": each.intake.per_s, "p99_ms": each.intake.latency.p99_ms, "drain_per_s": each.drain_per_s}
            for each in rounds
        ],
        failures=failures,
    )
