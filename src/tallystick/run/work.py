"""The ``work`` role: everything that runs in rounds, until it is stopped. Any number of workers may run, by leases."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from tallystick.domain.measures import MEASURES
from tallystick.flows.assembly import open_runtime
from tallystick.flows.circuits import LOOK_EVERY_MS, Circuits
from tallystick.flows.compliance.approved_acts import EVERY_MS as CARRY_OUT_EVERY_MS
from tallystick.flows.compliance.approved_acts import ApprovedActs
from tallystick.flows.compliance.erasure import EVERY_MS as ERASE_EVERY_MS
from tallystick.flows.compliance.erasure import PAGE_PAYMENTS, SINCE_EVERY_MS, Erasures
from tallystick.flows.deployments import note_configuration
from tallystick.flows.hourly_counts import WRITE_EVERY_MS
from tallystick.flows.process_clocks import LOOK_EVERY_MS as LOOK_AT_CLOCKS_EVERY_MS
from tallystick.flows.process_clocks import ProcessClocks
from tallystick.flows.process_numbers import ProcessNumbers, counted_process
from tallystick.flows.reconciliation.fetching import EVERY_MS as FETCH_EVERY_MS
from tallystick.flows.reconciliation.fetching import ReportFetcher
from tallystick.flows.reconciliation.folder import WatchedFolder
from tallystick.flows.reconciliation.telling import EVERY_MS as TELL_EVERY_MS
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.worker import EVERY_MS as RECONCILE_EVERY_MS
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.recovery.worker import LOOK_FOR_WAITING_EVERY_MS, RecoveryWorker
from tallystick.flows.rejections.rounds import MISSING_EVERY_MS, RULES_EVERY_MS, CaseRounds
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.worker import WAITS_AFTER_MS, InboxWorker
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds, run_rounds
from tallystick.kit.spans import end_spans
from tallystick.oversight.audit.anchors import HeadWriter
from tallystick.oversight.audit.head_sender import HeadSender, places_of
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.seal import Sealer
from tallystick.oversight.numbers import NUMBERS
from tallystick.providers.assembly import report_sources
from tallystick.record.postgres.inbox import TAKE_UP_EVERY_MS
from tallystick.record.postgres.readiness import WORKER_SESSIONS
from tallystick.run.clock_check import require_right_clock
from tallystick.run.metrics_listener import metrics_listener
from tallystick.run.otlp_spans import start_spans
from tallystick.run.watch import Watcher
from tallystick.run.worker_health import worker_health
from tallystick.settings.load import Settings

log = get_logger("tallystick.run.work")


@asynccontextmanager
async def periodic_work(runtime: Runtime, watcher: Watcher | None = None) -> AsyncIterator[list[Rounds]]:
    """The list of everything that a worker does in rounds, each under its own name. Leaving closes what was opened for
    it. ``watcher``: the one whose numbers are shown, where they are."""
    settings = runtime.settings
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
    inbox = InboxWorker(runtime, runtime.stores.inbox)
    outbox = OutboxWorker(runtime)
    circuits = Circuits(runtime.pool, runtime.providers)
    clocks = ProcessClocks(runtime.pool, runtime.clocks)
    cases = CaseRounds(runtime)
    reconciliation = ReconciliationWorker(runtime)
    teller = SettlementTeller(runtime)
    sources = report_sources(settings)
    fetcher = ReportFetcher(runtime, sources)
    erasures = Erasures(runtime)
    approved = ApprovedActs(runtime)
    watcher = watcher or Watcher(runtime)
    outage = runtime.outage
    try:
        yield [
            # A round costs several statements, and most attempts found are due again only later.
            Rounds(
                "recovery",
                settings.recovery_interval_ms,
                with_keys(runtime, recovery.round),
                full_round=settings.recovery_batch,
                finish=recovery.finish,
                watch=outage,
            ),
            Rounds(
                "waiting recovery", LOOK_FOR_WAITING_EVERY_MS, with_keys(runtime, recovery.report_waiting), watch=outage
            ),
            Rounds(
                "inbox",
                settings.webhook_interval_ms,
                with_keys(runtime, inbox.begin),
                finish=inbox.finish,
                watch=outage,
            ),
            Rounds("foreign events", TAKE_UP_EVERY_MS, with_keys(runtime, inbox.take_up_known), watch=outage),
            Rounds("waiting events", WAITS_AFTER_MS, with_keys(runtime, inbox.note_waiting), watch=outage),
            Rounds("event results", WRITE_EVERY_MS, inbox.results.write, watch=outage),
            Rounds("cases by rule", RULES_EVERY_MS, cases.close_by_rule, watch=outage),
            Rounds("missing cases", MISSING_EVERY_MS, cases.open_missing, watch=outage),
            Rounds("dispatch", settings.outbound_interval_ms, with_keys(runtime, outbox.dispatch), watch=outage),
            Rounds(
                "delivery",
                settings.outbound_interval_ms,
                with_keys(runtime, outbox.begin),
                wake=outbox.wake,
                finish=outbox.finish,
                watch=outage,
            ),
            *watched_folder(runtime),
            Rounds("settlement reports", FETCH_EVERY_MS, with_keys(runtime, fetcher.round), watch=outage),
            Rounds("reconciliation", RECONCILE_EVERY_MS, reconciliation.begin, watch=outage),
            Rounds("settlement messages", TELL_EVERY_MS, teller.round, watch=outage),
            Rounds("approved acts", CARRY_OUT_EVERY_MS, with_keys(runtime, approved.round), watch=outage),
            Rounds(
                "erasures",
                ERASE_EVERY_MS,
                with_keys(runtime, erasures.round),
                full_round=PAGE_PAYMENTS,
                watch=outage,
            ),
            Rounds("erased since", SINCE_EVERY_MS, with_keys(runtime, erasures.erase_what_came_since), watch=outage),
            Rounds("circuits", LOOK_EVERY_MS, circuits.round, finish=circuits.leave),
            Rounds("clocks", LOOK_AT_CLOCKS_EVERY_MS, clocks.round, finish=clocks.leave),
            *watcher.rounds(),
            *sealing_rounds(runtime),
        ]
    finally:
        await outbox.close()
        for source in sources.values():
            await source.close()
        await watcher.close()


def sealing_rounds(runtime: Runtime) -> list[Rounds]:
    """What seals the record and copies heads, where the settings turn it on. Raises BadSigningKey."""
    settings = runtime.settings
    if not settings.audit_sealing or settings.audit_signing_key is None:
        return []
    key = SigningKey.from_text(settings.audit_signing_key)
    sealer = Sealer(runtime.pool, runtime.clock, settings, key)
    rounds = [
        Rounds("sealing", settings.audit_sealing_interval_ms, sealer.round, finish=sealer.leave, watch=runtime.outage)
    ]
    if settings.audit_heads_directory is not None:
        writer = HeadWriter(runtime.pool, Path(settings.audit_heads_directory).expanduser(), key.public)
        rounds.append(Rounds("heads", settings.audit_heads_interval_ms, writer.round, watch=runtime.outage))
    for place in places_of(settings, runtime.clock):
        sender = HeadSender(runtime.pool, runtime.clock, settings, place, key.public)
        name, interval_ms = f"heads to a {place.name.split(' ')[0]}", settings.audit_heads_interval_ms
        rounds.append(Rounds(name, interval_ms, sender.round, finish=sender.leave, watch=runtime.outage))
    return rounds


def watched_folder(runtime: Runtime) -> list[Rounds]:
    """The folder of settlement files, where one is watched. A file waits for the sealing keys: a name in it may need
    them."""
    settings = runtime.settings
    if settings.settlement_folder is None:
        return []
    folder = WatchedFolder(runtime, Path(settings.settlement_folder))
    round = with_keys(runtime, folder.round)
    return [Rounds("settlement folder", settings.settlement_interval_ms, round, watch=runtime.outage)]


def with_keys(runtime: Runtime, round: Callable[[], Awaitable[int | None]]) -> Callable[[], Awaitable[int | None]]:
    """``round``, while this process has the record's sealing keys. Without them it would lose payers' next actions for
    good, and spend the tries of messages that another worker can sign."""

    async def held() -> int | None:
        return await round() if runtime.sealer.refused is None else 0

    return held


async def work(settings: Settings, database_url: str, stop: asyncio.Event) -> None:
    """Work until ``stop``, and finish what is under way. Raises ClockTooFarOff, OSError for a port that is taken, and
    what opening the database raises."""
    async with (
        open_runtime(settings, database_url, application_name=WORKER_SESSIONS) as runtime,
        worker_health(runtime),
        counted_process(runtime, "work") as numbers,
    ):
        watcher = Watcher(runtime)
        async with periodic_work(runtime, watcher) as rounds:
            require_right_clock(runtime.clocks.database_skew)
            await note_configuration(runtime, "work")
            with _metrics(settings, numbers, watcher):
                log.info("worker started")
                await run_rounds(rounds, stop)
    log.info("worker ended")


def _metrics(settings: Settings, numbers: ProcessNumbers, watcher: Watcher) -> AbstractContextManager[None]:
    """What this process counts, and what the record says while it has the watch."""
    return metrics_listener(
        settings.metrics_host,
        settings.worker_metrics_port,
        (lambda: numbers.latest, MEASURES),
        (lambda: watcher.reading, NUMBERS),
    )


async def work_until_signalled(settings: Settings, database_url: str) -> None:
    """Work until SIGTERM or SIGINT. Raises SettingsError for spans that cannot be made."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    start_spans(settings)
    try:
        await work(settings, database_url, stop)
    finally:
        end_spans()
