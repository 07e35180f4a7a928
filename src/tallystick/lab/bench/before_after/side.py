"""What a comparison asks of one checkout. This file runs on the code of either, which PYTHONPATH names.

So it imports nothing of ours by name: each module is looked for where the checkout has it. The names that it uses of
the modules have to be in both; where one of them changed, this file is where both are served. Arguments:

``stages 200``              for each line of standard input, CPU time by stage of 200 payments
``database``                a migrated database, described as JSON, until standard input ends
``api``                     the same with the API on it
``commit URL 200 5000 50``  so many payments through the journal, 50 at once: first unmeasured, then on a line
``idle 25``                 for each line, milliseconds of the commits of so many payments, one at a time
``webhooks 10000 64``       for each line, a burst of so many deliveries over so many connections, drained by one worker
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

#: Payments of one batch in stages: what a busy API process collects while a batch is on its way.
BATCH_PAYMENTS: Final = 50

#: What the test acquirer's events say they are of.
EVENTS_API_VERSION: Final = "1"

#: Payments before the first that is timed: a connection keeps a plan after five runs of a statement.
WARM_UP_IDLE: Final = 20

#: After two, caches and specialised bytecode are as they stay.
WARM_UP_CHUNKS: Final = 2


@cache  # a search that finds nothing takes longer than many a stage
def module(*paths: str) -> Any:
    """The first of these modules that the checkout has. Raises ModuleNotFoundError where it has none of them."""
    for path in paths:
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name is None or not path.startswith(error.name):
                raise  # the module is there, and what it imports is missing
    raise ModuleNotFoundError(f"this checkout has none of {', '.join(paths)}")


def bench(name: str) -> Any:
    """One module of the checkout's own benchmarks."""
    return module(f"tallystick.lab.bench.{name}", f"tallystick.bench.{name}")


class Stages:
    """CPU time by stage."""

    def __init__(self) -> None:
        self.cpu_ns: dict[str, int] = {}

    def timed(self, stage: str, work: Callable[[], Result]) -> Result:
        """What ``work`` returns; its CPU time is added to the stage."""
        started = time.process_time_ns()
        result = work()
        self.cpu_ns[stage] = self.cpu_ns.get(stage, 0) + time.process_time_ns() - started
        return result


def answer_stages(payments: int) -> None:
    """For each line of standard input, the cost of so many payments as one line of JSON. ``us``: microseconds of CPU a
    payment by stage. ``held_blocks``: memory blocks that one payment holds while both of its changes are on their
    way."""
    for _ in range(WARM_UP_CHUNKS):
        _run_stages(Stages(), payments)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would fall into some stage by chance; what there is to collect is counted in blocks
    for _ in sys.stdin:
        stages = Stages()
        held = _run_stages(stages, payments)
        gc.collect()
        us = {name: ns / 1000 / payments for name, ns in stages.cpu_ns.items()}
        print(json.dumps({"us": us, "held_blocks": held}), flush=True)


def _run_stages(stages: Stages, count: int) -> float:
    workload, ceiling = bench("workload"), bench("ceiling")
    views, reads = module("tallystick.domain.views", "tallystick.views"), _reads()
    new_id = module("tallystick.kit.ids", "tallystick.ids").new_id
    utc_now = module("tallystick.kit.clock", "tallystick.clock").utc_now
    body = workload.body_bytes(workload.BODY)
    commands = stages.timed("parse", lambda: [_parse(body) for _ in range(count)])
    inputs = [(workload.new_instruction(new_id("req")), new_id("pay"), command) for command in commands]
    verdicts = [workload.approval(f"bnc_{number}", 4999, "EUR", utc_now()) for number in range(count)]
    blocks = sys.getallocatedblocks()
    creates = stages.timed("decide, first commit", lambda: [_decide_create(*each) for each in inputs])
    first = stages.timed("rows, first commit", lambda: [ceiling.Entry(each) for each in creates])
    stages.timed("batch, first commit", lambda: _run_batches(ceiling, first))
    settled = stages.timed(
        "decide, second commit",
        lambda: [workload.settled_change(*each) for each in zip(creates, verdicts, strict=True)],
    )
    second = stages.timed("rows, second commit", lambda: [ceiling.Entry(each) for each in settled])
    held = (sys.getallocatedblocks() - blocks) / count
    stages.timed("batch, second commit", lambda: _run_batches(ceiling, second))
    paid = [_payment_of(each) for each in settled]
    stages.timed("encode answer", lambda: [views.encode(views.payment_view(each, in_doubt=False)) for each in paid])
    rows = [(_row(payment), _row(_attempt_of(change))) for payment, change in zip(paid, settled, strict=True)]
    stages.timed("read and decode", lambda: [(reads.payment_of(one), reads.attempt_of(two)) for one, two in rows])
    return held


def _parse(body: bytes) -> Any:
    json_body = module("tallystick.domain.requests.json_body", "tallystick.edge.json_body")
    prints = module("tallystick.domain.requests.fingerprint", "tallystick.edge.fingerprint")
    commands = module("tallystick.domain.requests.commands", "tallystick.edge.commands")
    document = json_body.parse_json_object(body)
    prints.fingerprint("POST", "/v1/payments", prints.canonical(document))
    return commands.parse_create_payment(document)


def _decide_create(instruction: Any, payment_id: str, command: Any) -> Any:
    workload = bench("workload")
    return workload.decide.create_payment(
        instruction,
        payment_id,
        amount=command.amount,
        currency=command.currency,
        payment_method=command.payment_method,
        automatic=command.capture_method == "automatic",
        provider=workload.PROVIDER,
        description=command.description,
        metadata=command.metadata,
        terms=workload.TERMS,
    )


def _run_batches(ceiling: Any, entries: list[Any]) -> None:
    """What the journal does with a batch, before the driver."""
    # Since 0.3 a batch takes the process's clock; before, the clock's shift by name.
    named = "clock_shift_ms" in inspect.signature(ceiling.run_batch).parameters
    clock = {"clock_shift_ms": 0} if named else {"clock": ceiling.Clock()}
    for start in range(0, len(entries), BATCH_PAYMENTS):
        batch = entries[start : start + BATCH_PAYMENTS]
        _finish(ceiling.run_batch(ceiling.Recorder(), batch, **clock, after_loss=False))


def _finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run to its end what never waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("a recorder made a batch wait")


def _reads() -> Any:
    return module("tallystick.record.postgres.reads", "tallystick.record.reads")


def _payment_of(change: Any) -> Any:
    kinds = module("tallystick.domain.subjects", "tallystick.model")
    return change.one(kinds.Payment) if hasattr(change, "one") else change.payment


def _attempt_of(change: Any) -> Any:
    kinds = module("tallystick.domain.subjects", "tallystick.model")
    return change.one(kinds.Attempt) if hasattr(change, "one") else change.attempts[0]


def _row(subject: Any) -> dict[str, Any]:
    """A subject as its row comes back: JSON as text."""
    values = {name: getattr(subject, name) for name in subject.__struct_fields__}
    return {name: json.dumps(value) if isinstance(value, dict | tuple) else value for name, value in values.items()}


async def commit_payments(url: str, warm_up: int, payments: int, batch: int) -> None:
    """Creates and then outcomes, ``batch`` at once, so that batches are the same in every run."""
    new_payment = bench("workload").new_payment
    async with _commits().open_journal(_settings(), url) as journal:
        for count in (warm_up, payments):
            for start in range(0, count, batch):
                made = [new_payment() for _ in range(min(batch, count - start))]
                await asyncio.gather(*(journal.commit(create) for create, _ in made))
                await asyncio.gather(*(journal.commit(outcome) for _, outcome in made))
            await asyncio.to_thread(_say_and_wait, {"payments": count})


def _commits() -> Any:
    return module("tallystick.lab.bench.commits", "tallystick.lab.bench.door", "tallystick.bench.door")


async def answer_idle(payments: int) -> None:
    """For each line of standard input, how long each commit of so many payments took, one after another through the
    journal of a process that does nothing else; and the CPU time of this process a payment."""
    new_payment = bench("workload").new_payment
    with bench("stage").open_database(None) as database:
        async with _commits().open_journal(_settings(), database.app_url) as journal:
            await _commit_in_turn(journal, [new_payment() for _ in range(WARM_UP_IDLE)])
            await asyncio.to_thread(_say_and_wait, {"postgres_pid": database.server_pid})
            while True:
                made = [new_payment() for _ in range(payments)]
                cpu = time.process_time()
                ms = await _commit_in_turn(journal, made)
                cpu_us = (time.process_time() - cpu) / payments * 1e6
                if not await asyncio.to_thread(_say_and_wait, {"ms": ms, "cpu_us": cpu_us}):
                    return


async def _commit_in_turn(journal: Any, payments: list[Any]) -> list[float]:
    took: list[float] = []
    for changes in payments:
        for change in changes:
            started = time.perf_counter()
            await journal.commit(change)
            took.append((time.perf_counter() - started) * 1_000)
    return took


def answer_webhooks(deliveries: int, connections: int) -> None:
    """For each line of standard input, one burst at the checkout's own API, and its drain, by the checkout's own
    benchmark."""
    webhooks = bench("webhooks")
    webhooks._event = _with_api_version(webhooks._event)
    _log_errors_alone()
    os.environ["TALLYSTICK_SIMULATOR_WEBHOOK_SECRETS"] = webhooks.SECRET
    stage, run = bench("stage"), importlib.import_module("uvloop").run
    with tempfile.TemporaryDirectory() as folder, stage.open_database(None) as database:
        work = Path(folder)
        os.environ["TALLYSTICK_DATA_DIR"] = str(database.data_dir)  # where the sealing key is
        settings = _settings()
        with stage.open_server("api", settings, database, work / "api.log") as api:
            going_on = _say_and_wait({"ready": True})
            while going_on:
                originals = int(deliveries * (1 - webhooks.REDELIVERIES - webhooks.FORGED))
                waiting = run(webhooks._waiting_payments(settings, database.app_url, originals))
                file = work / "burst"
                file.write_bytes(_msgpack(webhooks.burst(waiting, deliveries, random.Random(1))))
                taken = webhooks._deliver(api.port, file, connections, None)
                _, drained_per_s = run(webhooks._drain(settings, database.app_url))
                going_on = _say_and_wait(
                    {
                        "acknowledged_per_s": taken.per_s,
                        "p50_ms": taken.latency.p50_ms,
                        "p99_ms": taken.latency.p99_ms,
                        "drained_per_s": drained_per_s,
                        "failures": taken.failures,
                    }
                )


def _with_api_version(event: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """The checkout's own events, as the test acquirer sends them: up to 0.3.0 the benchmark left their version out, and
    a checkout that compares the fields of events counted each as drift."""

    def made(create: Any) -> bytes:
        said = {"api_version": EVENTS_API_VERSION, **json.loads(event(create))}
        return json.dumps(said, separators=(",", ":")).encode()

    return made


def _log_errors_alone() -> None:
    """Where nothing is said, log lines go to standard output, among the answers."""
    configure = module("tallystick.kit.logs", "tallystick.logs").configure_logging
    # Since 0.3 it is told the names of the settings that are secret.
    takes_names = len(inspect.signature(configure).parameters) > 1
    configure("error", *([frozenset()] if takes_names else []))


def _msgpack(deliveries: Any) -> bytes:
    encoded: bytes = importlib.import_module("msgspec").msgpack.encode(deliveries)
    return encoded


@contextmanager
def opened(with_api: bool) -> Iterator[dict[str, Any]]:
    """A database of the checkout's own schema, and the API on it where asked for."""
    stage = bench("stage")
    with tempfile.TemporaryDirectory() as logs, stage.open_database(None) as database:
        found = {"app_url": database.app_url, "postgres_pid": database.server_pid}
        if not with_api:
            yield found
            return
        with stage.open_server("api", _settings(), database, Path(logs) / "api.log") as server:
            keys = module("tallystick.access.key_store", "tallystick.keys")
            api_key = asyncio.run(keys.create_key(database.app_url, bench("workload").MERCHANT))
            yield found | {"port": server.port, "api_pid": server.pid, "api_key": api_key}


def _settings() -> Any:
    load = module("tallystick.settings.load", "tallystick.settings")
    try:
        registry = module("tallystick.providers.registry")
    except ModuleNotFoundError:
        return load.load_settings(os.environ)
    return load.load_settings(os.environ, registry.CONNECTOR_SETTINGS)


def _say_and_wait(found: dict[str, Any]) -> bool:
    """Whether there is another line."""
    print(json.dumps(found), flush=True)
    return bool(sys.stdin.readline())


def main(what: str, *arguments: str) -> None:
    """One question from the command line."""
    match what:
        case "stages":
            answer_stages(int(arguments[0]))
        case "commit":
            asyncio.run(commit_payments(arguments[0], *(int(each) for each in arguments[1:])))
        case "idle":
            importlib.import_module("uvloop").run(answer_idle(int(arguments[0])))
        case "webhooks":
            answer_webhooks(int(arguments[0]), int(arguments[1]))
        case "database" | "api":
            with opened(what == "api") as found:
                _say_and_wait(found)
        case _:
            raise SystemExit(f"no such question: {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
