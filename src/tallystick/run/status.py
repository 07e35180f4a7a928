"""What ``tallystick status`` finds: whether each part of the platform is well, by the checks of ``doctor`` and of
``/readyz``, and what waits there. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec
from msgspec import Struct

from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE
from tallystick.kit.clock import Clock
from tallystick.providers.assembly import switched_off
from tallystick.record.postgres.connections import connect_probe, open_pool
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.migrate import newest_revision
from tallystick.record.postgres.operator_reads import Backlog, EndpointCounts, OperatorReads
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.provider_circuits import AccountCircuits, read_circuits
from tallystick.record.postgres.provider_pauses import read_pauses
from tallystick.record.postgres.readiness import DatabaseReadiness
from tallystick.record.sealing import sealer_of
from tallystick.run.doctor.examine import Examination, examine
from tallystick.run.doctor.record import configured
from tallystick.run.doctor.start import database_place
from tallystick.run.doctor.table import Finding
from tallystick.run.ports import http_address
from tallystick.settings.load import Settings

#: An API that has not answered by then is not ready, whatever it does.
API_TIMEOUT_S: Final = 2.0

#: A worker takes up what is due within a second or two. What has been due for this long is taken up by none.
LATE_MS: Final = 60_000

#: For the waits and the circuits of providers: a row for each account, or for each account in each process.
PROVIDERS_TIMEOUT_S: Final = 2.0

#: The part that a finding of ``doctor`` belongs to; the database's where it is not named.
PART_OF: Final[Mapping[str, str]] = {
    "schema": "schema",
    "schema_release": "schema",
    "sealing_keys": "schema",
    "exponents": "schema",
    "ports": "api",
    "providers": "providers",
    "open_work": "providers",
    "merchant_defaults": "providers",
}

NO_WORKER: Final = "no worker has a session in the database; start `tallystick work`"
NOT_ASKED: Final = "its circuits are in the database, which could not be asked"
NO_CIRCUIT: Final = "no running process has reported a circuit in the last 30 seconds"
NO_PROVIDER: Final = "no provider takes payments; `tallystick settings` lists what each needs"

Limit = Callable[[Settings], int]


def _late(_: Settings) -> int:
    return LATE_MS


#: What waits -> its part, and how long it may be due, or wait for a person; None where no time is kept.
LIMITS: Final[Mapping[str, tuple[str, Limit | None]]] = {
    "attempts_to_settle": ("payments", _late),
    "overdue_deadlines": ("payments", _late),
    "attempts_in_doubt": ("payments", lambda settings: settings.in_doubt_alarm_age_ms),
    "late_money": ("payments", None),
    "unknown_dispute_amounts": ("payments", None),
    "events_to_process": ("webhooks", _late),
    "dead_letters": ("webhooks", lambda settings: settings.webhook_dead_letter_alarm_age_ms),
    "messages_to_dispatch": ("webhooks", _late),
    "queues_to_send": ("webhooks", _late),
}


class Part(Struct, frozen=True, kw_only=True):
    """One part of the platform. ``well`` None: it could not be asked. ``says``: what is wrong with it, or what it
    is."""

    name: str
    well: bool | None
    says: tuple[str, ...]


class Waiting(Struct, frozen=True, kw_only=True):
    """Work that waits, with the part that it belongs to. ``longest_ms`` as of ``Backlog``."""

    what: str
    part: str
    waiting: int
    longest_ms: int | None
    overdue: bool


class Status(Struct, frozen=True, kw_only=True):
    """``endpoints``: those of merchants, None where it could not be asked. ``circuits``: of the accounts of providers,
    as the processes that run told of them. ``warnings``: what ``doctor`` only warns of."""

    parts: tuple[Part, ...]
    waiting: tuple[Waiting, ...]
    endpoints: EndpointCounts | None
    circuits: tuple[AccountCircuits, ...]
    warnings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether every part is."""
        return all(part.well for part in self.parts)


class _Record(Struct, frozen=True, kw_only=True):
    """What the record says. ``unready``: why the database cannot serve now."""

    unready: str | None
    worker_runs: bool | None
    waiting: tuple[Waiting, ...]
    endpoints: EndpointCounts
    pauses: Mapping[tuple[str, str], int]
    circuits: Sequence[AccountCircuits]


async def read_status(settings: Settings, database: DatabaseUrls, in_words: Callable[[Exception], str]) -> Status:
    """Every part. A database that cannot be reached is a finding, in the words of ``in_words``."""
    examination = await examine(settings, database, in_words)
    wrong: dict[str, list[str]] = {}
    for finding in examination.findings():
        if finding.level != "warn":
            wrong.setdefault(PART_OF.get(finding.check, "database"), []).append(finding.says)
    record = None
    if "database" not in wrong and "schema" not in wrong:
        try:
            record = await _read(settings, database.app_url)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            wrong["database"] = [in_words(error)]
    if record is not None and record.unready is not None:
        wrong["database"] = [record.unready]
    return Status(
        parts=(
            _part("database", wrong, [_database(examination, database)]),
            _part("schema", wrong, [newest_revision()], asked="schema" in examination.asked),
            await _api(settings, wrong),
            *_behind_the_schema(record),
            await _providers(settings, wrong, record),
        ),
        waiting=() if record is None else record.waiting,
        endpoints=None if record is None else record.endpoints,
        circuits=() if record is None else tuple(record.circuits),
        warnings=tuple(finding for finding in examination.findings() if finding.level == "warn"),
    )


async def _read(settings: Settings, database_url: str) -> _Record:
    readiness = DatabaseReadiness(partial(connect_probe, database_url), Outage(), sealer_of(settings))
    try:
        await readiness.first()
        unready = await readiness.reason_not_ready()
    finally:
        await readiness.close()
    async with await open_pool(database_url, settings) as pool:
        reads = OperatorReads(pool, Clock(settings.clock_shift_ms))
        return _Record(
            unready=unready,
            worker_runs=readiness.worker_runs,
            waiting=tuple(_judged(settings, await reads.backlog())),
            endpoints=await reads.endpoints([GONE, FAILING]),
            pauses=await read_pauses(pool, PROVIDERS_TIMEOUT_S),
            circuits=await read_circuits(pool, PROVIDERS_TIMEOUT_S),
        )


def _judged(settings: Settings, backlog: Iterable[Backlog]) -> Iterator[Waiting]:
    for each in backlog:
        part, limit = LIMITS[each.what]
        overdue = limit is not None and each.longest_ms is not None and each.longest_ms > limit(settings)
        yield Waiting(what=each.what, part=part, waiting=each.waiting, longest_ms=each.longest_ms, overdue=overdue)


def _part(name: str, wrong: Mapping[str, Sequence[str]], is_well: Sequence[str], *, asked: bool = True) -> Part:
    if found := wrong.get(name):
        return Part(name=name, well=False, says=tuple(found))
    return Part(name=name, well=True, says=tuple(is_well)) if asked else Part(name=name, well=None, says=())


def _behind_the_schema(record: _Record | None) -> Iterator[Part]:
    """What only the record knows of."""
    if record is None:
        yield from (Part(name=name, well=None, says=()) for name in ("workers", "payments", "webhooks"))
        return
    yield (
        Part(name="workers", well=False, says=(NO_WORKER,))
        if record.worker_runs is False
        else Part(name="workers", well=True, says=("at least one runs",))
    )
    for name in ("payments", "webhooks"):
        overdue = any(each.overdue for each in record.waiting if each.part == name)
        yield Part(name=name, well=not overdue, says=())


def _database(examination: Examination, database: DatabaseUrls) -> str:
    version = "" if examination.server is None else f", PostgreSQL {examination.server.version}"
    return database_place(database.app_url) + version


async def _api(settings: Settings, wrong: Mapping[str, Sequence[str]]) -> Part:
    """By the ``/readyz`` of the process that listens where the settings say."""
    address = http_address(settings.host, settings.port)
    if "api" not in wrong and (reason := await _not_ready(address)) is not None:
        return Part(name="api", well=False, says=(reason,))
    return _part("api", wrong, [address])


async def _not_ready(address: str) -> str | None:
    timeout = aiohttp.ClientTimeout(total=API_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{address}/readyz") as response:
            if response.status == 200:
                return None
            body: Any = msgspec.json.decode(await response.read())
            return f"the API at {address} is not ready: {body['detail']}"
    except (aiohttp.ClientError, TimeoutError):
        named = "TALLYSTICK_HOST and TALLYSTICK_PORT"
        return f"nothing answers at {address}; start `tallystick serve`, or set {named} to where it listens"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"what answers at {address} is not this API"


async def _providers(settings: Settings, wrong: Mapping[str, Sequence[str]], record: _Record | None) -> Part:
    """A provider that asked to wait is told, and is well: it said when it will be called again. One that does not
    answer some process is not."""
    taking = sorted((await configured(settings)).keys() - switched_off(settings))
    if not taking and "providers" not in wrong:
        return Part(name="providers", well=False, says=(NO_PROVIDER,))
    waits, circuits = ({}, ()) if record is None else (record.pauses, record.circuits)
    asked = [
        f"{provider}/{account} asked for a wait, {left_ms // 1_000} s more"
        for (provider, account), left_ms in sorted(waits.items())
    ]
    if not circuits:
        asked = [NOT_ASKED if record is None else NO_CIRCUIT, *asked]
    said = [", ".join(taking), *(_circuit(each) for each in circuits), *asked]
    if "providers" not in wrong and any(each.open or each.half_open for each in circuits):
        return Part(name="providers", well=False, says=tuple(said))
    return _part("providers", wrong, said)


def _circuit(found: AccountCircuits) -> str:
    """``stripe/main: circuit open in 1 of 3 processes since 2026-11-26 08:00:00 UTC (told 4 s ago)``."""
    states = [
        f"{word} in {number}" for word, number in (("open", found.open), ("half open", found.half_open)) if number
    ] or ["closed in all"]
    of = "1 process" if found.processes == 1 else f"{found.processes} processes"
    return (
        f"{found.provider}/{found.account}: circuit {' and '.join(states)} of {of}"
        f" since {found.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC (told {found.age_ms // 1_000} s ago)"
    )
