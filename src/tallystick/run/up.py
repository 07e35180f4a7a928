"""Everything on one machine: database, migrations, first API key, test acquirer, worker and API, kept running.

On SIGTERM or SIGINT the API finishes its requests, then the worker stops, then the acquirer, then the database. A
second signal skips the drain. If this process is killed, its children notice, drain, and the last one stops the
database.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from msgspec import Struct

from tallystick.access import key_store
from tallystick.access.first_operator import FirstSignIn, first_sign_in
from tallystick.domain.errors import TallystickError
from tallystick.providers.assembly import switched_off
from tallystick.providers.simulator.setup import SIMULATOR, SimulatorSettings
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.embedded.server import DatabaseUrls, resolve_database
from tallystick.record.postgres.migrate import migrate
from tallystick.record.postgres.open_payments import count_open_payments
from tallystick.run.doctor.examine import Examination
from tallystick.run.ports import SIMULATOR_HOST, console_address, http_address
from tallystick.run.supervisor import END_MARGIN_MS, Role, Supervisor, child_environment
from tallystick.settings.load import Settings

Result = TypeVar("Result")

#: The merchant of the first run's API key.
FIRST_MERCHANT: Final = "demo"

#: A first start on a slow disk takes a few seconds; after this long it will not succeed.
READY_WITHIN_S: Final = 60

READY_POLL_S: Final = 0.1


class CannotStart(TallystickError):
    """The platform cannot be started here; the message says why."""


class Platform(Struct, frozen=True, kw_only=True):
    """A platform that is up."""

    settings: Settings
    database: DatabaseUrls
    address: str
    simulator_address: str | None  # None where the test acquirer is off
    console_address: str | None  # None where the console is off
    key_file: Path
    api_key: str
    first_sign_in: FirstSignIn | None = None  # of the console, while its first operator has not signed in


async def bring_up(
    settings: Settings,
    body: Callable[[Platform], Awaitable[Result]],
    *,
    announce: Callable[[str], None],
    logs: Path | None = None,
) -> Result | None:
    """Start everything, run ``body``, and stop everything. Returns None if a signal ended it.

    The children's output goes to files in ``logs``, by default to this process's output. Raises CannotStart,
    StartRefused and DatabaseUnavailable.
    """
    data_dir = Path(settings.data_dir).expanduser().absolute()
    settings = _on_one_machine(settings, data_dir)
    examination = Examination(settings, "up")
    examination.machine()
    examination.require_start()
    simulator = settings.connector(SimulatorSettings)
    simulator_is_on = SIMULATOR.name not in switched_off(settings)
    supervisor = Supervisor(announce, drain_limit_ms=settings.drain_timeout_ms + END_MARGIN_MS)
    stop = _stop_on_signals(supervisor, announce)
    _make_directory(data_dir)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_sole_supervisor(data_dir))
        await examination.ports()
        examination.require_start()
        database_context = resolve_database(settings, announce)
        database = await asyncio.to_thread(database_context.__enter__)
        stack.push_async_callback(asyncio.to_thread, database_context.__exit__, None, None, None)
        await examination.as_owner(database.owner_url)
        for finding in examination.require_start():
            announce(f"{finding.level}: {finding.says}")
        await asyncio.to_thread(migrate, database.owner_url, announce)
        key_file = data_dir / "api-key"
        api_key = await key_store.ensure_first_key(database.app_url, key_file, FIRST_MERCHANT)
        invited = await first_sign_in(database.app_url) if settings.console else None
        if not simulator_is_on:
            announce(f"the test acquirer is off; {await _open_there(database)} payments are open there")
        stack.push_async_callback(supervisor.drain)
        for role in _roles(settings, data_dir, logs):
            if not stop.is_set():
                await supervisor.start(role)
        platform = Platform(
            settings=settings,
            database=database,
            address=http_address(settings.host, settings.port),
            simulator_address=simulator.url if simulator_is_on else None,
            console_address=console_address(settings) if settings.console else None,
            key_file=key_file,
            api_key=api_key,
            first_sign_in=invited,
        )
        return await _until_stopped(_when_ready(platform, body), supervisor, stop)


def _on_one_machine(settings: Settings, data_dir: Path) -> Settings:
    url = http_address(SIMULATOR_HOST, settings.connector(SimulatorSettings).port)
    return replace(settings, data_dir=str(data_dir)).with_connector(SimulatorSettings, url=url)


def _roles(settings: Settings, data_dir: Path, logs: Path | None) -> list[Role]:
    """In the order of their start; the drain runs in reverse."""
    environment = child_environment(settings)
    api = http_address(settings.host, settings.port)
    webhook_url = f"{api}/v1/webhooks/simulator/{settings.connector(SimulatorSettings).account}"
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    return [
        Role(
            name=name,
            command=[sys.executable, "-m", "tallystick", name, "--parent-pid", str(os.getpid()), *options],
            environment=environment,
            log=logs / f"{name}.log" if logs is not None else None,
        )
        for name, options, is_on in (
            ("simulate", ("--webhook-url", webhook_url), SIMULATOR.name not in switched_off(settings)),
            ("work", (), True),
            ("console", (), settings.console),
            ("serve", (), True),
        )
        if is_on
    ]


async def _open_there(database: DatabaseUrls) -> int:
    """How many payments the test acquirer has not finished."""
    connection = await connect(database.app_url, command_timeout_ms=READY_WITHIN_S * 1000)
    try:
        return await count_open_payments(connection, SIMULATOR.name)
    finally:
        await connection.close()


def _stop_on_signals(supervisor: Supervisor, announce: Callable[[str], None]) -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            announce("stopping at once; recovery finishes what is left open")
            supervisor.hurry()
        else:
            announce("draining; press again to stop at once")
            stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _make_directory(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"cannot use {data_dir} as data directory: {error.strerror}") from error


@contextlib.contextmanager
def _sole_supervisor(data_dir: Path) -> Iterator[None]:
    """At most one process for a data directory. The lock ends with the process, however it ends."""
    try:
        lock = (data_dir / "up.lock").open("a+b")
    except OSError as error:
        raise CannotStart(f"cannot use {data_dir} as data directory: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            other = lock.read().decode() or "unknown"
            raise CannotStart(f"tallystick is already running on {data_dir} (process {other})") from error
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        yield


async def _when_ready(platform: Platform, body: Callable[[Platform], Awaitable[Result]]) -> Result:
    give_up = time.monotonic() + READY_WITHIN_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while (reason := await _not_ready(session, platform.address)) is not None:
            if time.monotonic() > give_up:
                raise CannotStart(f"{platform.address}/readyz was not ready within {READY_WITHIN_S} s: {reason}")
            await asyncio.sleep(READY_POLL_S)
    return await body(platform)


async def _not_ready(session: aiohttp.ClientSession, address: str) -> str | None:
    """What the API says of itself; None once it is ready."""
    try:
        async with session.get(f"{address}/readyz") as response:
            return None if response.status == 200 else str((await response.json(content_type=None)).get("detail"))
    except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as error:
        return f"no answer ({type(error).__name__})"


async def _until_stopped(body: Awaitable[Result], supervisor: Supervisor, stop: asyncio.Event) -> Result | None:
    """``body``'s result, or None if a signal came first. Raises CannotStart if a child cannot run."""
    running = asyncio.ensure_future(body)
    stopped = asyncio.create_task(stop.wait())
    refused = asyncio.create_task(supervisor.refused())
    try:
        await asyncio.wait((running, stopped, refused), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        if refused.done():
            raise CannotStart("a child process cannot run as configured; its output says why")
        return None
    finally:
        for task in (running, stopped, refused):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, TallystickError):
            await running
