"""Checks of this machine and of the settings: nothing of them needs the database."""

from __future__ import annotations

import re
import resource
import shutil
from collections.abc import Iterator
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Final

import aiohttp

from tallystick.flows.payments.instructions import NEW_PAYMENTS_SHARE
from tallystick.providers.assembly import limits_of, require_sound_providers, switched_off
from tallystick.providers.registry import PROVIDERS
from tallystick.providers.simulator.setup import SIMULATOR, SimulatorSettings
from tallystick.run.doctor.table import Command
from tallystick.run.ports import SIMULATOR_HOST, AddressInUse, http_address, require_free_port
from tallystick.settings.fields import variable
from tallystick.settings.load import Settings, SettingsError

#: As much as the log of the embedded database may grow between two checkpoints (``max_wal_size``).
DISK_SPACE_BYTES: Final = 4 * 2**30

#: Log, listeners, event loop, libraries: about 30 are open in an idle process.
OTHER_DESCRIPTORS: Final = 64

#: As which this program is installed.
DISTRIBUTION: Final = "tallystick"

#: Before the versions and markers of a requirement.
_DISTRIBUTION_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: A program that does not say within this that it is ours is another one.
ASK_TIMEOUT_S: Final = 2.0


def providers(settings: Settings) -> Iterator[str]:
    """A default provider that takes no payments; the test acquirer beside a live key."""
    try:
        require_sound_providers(settings)
    except SettingsError as error:
        yield str(error)


def packages(_: Settings) -> Iterator[str]:
    """Packages that the release needs and this environment has not. A tree that was never installed says nothing of
    what it needs."""
    try:
        needed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return
    names = [_DISTRIBUTION_NAME.match(each) for each in needed if "extra ==" not in each]
    missing = [found[0] for found in names if found is not None and not _is_installed(found[0])]
    if missing:
        yield f"not installed here: {', '.join(missing)}; install what this release needs (docs/operate/install.md)"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def disk_space(settings: Settings) -> Iterator[str]:
    """Too little of it for the embedded database; the disk of another database cannot be seen from here."""
    if settings.database_url is not None:
        return
    directory = Path(settings.data_dir).expanduser().absolute()
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free < DISK_SPACE_BYTES:
        yield f"{free // 2**20} MiB are free in {settings.data_dir}; keep {DISK_SPACE_BYTES // 2**20} MiB free"


def file_descriptors(settings: Settings) -> Iterator[str]:
    """Fewer than one process may need. A start raises its own limit to the hard one first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_needed(settings)
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield f"a process may open {hard} files and may need {needed} at its limits; raise the limit (ulimit -n)"


def descriptors_needed(settings: Settings) -> int:
    """Of one process at its limits: a client for each payment in flight, a connection for each call, the database."""
    taking = sum(_takes_payments(settings, name) for name in PROVIDERS)
    calls = taking * limits_of(settings).calls_at_once
    database = settings.database_connections + settings.journal_connections
    return settings.in_flight_limit + calls + database + OTHER_DESCRIPTORS


def provider_peak(settings: Settings) -> Iterator[str]:
    """Limits that carry less than the peak rate where each call takes the p99."""
    peak, p99_ms = settings.provider_peak_per_s, settings.provider_latency_p99_ms
    needed = ceil(peak * p99_ms / 1_000)
    for name, wanted, carried in (
        ("provider_connections", needed, limits_of(settings).calls_at_once),
        ("in_flight_limit", ceil(needed / NEW_PAYMENTS_SHARE), settings.in_flight_limit * NEW_PAYMENTS_SHARE),
    ):
        if carried < needed:
            yield (
                f"{variable(name)} carries {carried * 1_000 // p99_ms:.0f} payments/s of {peak} where a provider takes"
                f" {p99_ms} ms; set it to {wanted}, or {variable('provider_peak_per_s')} to the peak of one process"
            )


def raise_descriptor_limit(settings: Settings) -> None:
    """Raise this process's limit to what it may need, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = descriptors_needed(settings)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def ports(settings: Settings, command: Command | None) -> list[str]:
    """Ports that another program has. For ``doctor`` a port that a running API has is well used."""
    serves, works = command not in ("work", "console"), command not in ("serve", "console")
    wanted = [(settings.host, settings.port)] if serves else []
    if works and settings.worker_health_port is not None:
        wanted.append((settings.host, settings.worker_health_port))
    if serves and settings.metrics_port is not None:
        wanted.append((settings.metrics_host, settings.metrics_port))
    if works and settings.worker_metrics_port is not None:
        wanted.append((settings.metrics_host, settings.worker_metrics_port))
    if command == "console" or (command == "up" and settings.console):
        wanted.append((settings.console_host, settings.console_port))
    if command == "up" and SIMULATOR.name not in switched_off(settings):
        wanted.append((SIMULATOR_HOST, settings.connector(SimulatorSettings).port))
    taken = []
    for host, port in wanted:
        try:
            require_free_port(host, port)
        except AddressInUse as error:
            if command is not None or not await _is_ours(http_address(host, port)):
                taken.append(str(error))
    return taken


async def _is_ours(address: str) -> bool:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)) as session,
            session.get(f"{address}/healthz") as response,
        ):
            return isinstance(body := await response.json(), dict) and body.get("status") == "ok"
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


def _takes_payments(settings: Settings, name: str) -> bool:
    if name == SIMULATOR.name:
        return name not in switched_off(settings)
    return PROVIDERS[name].moves_money(settings)
