"""``versions``: the dated versions of the API, and who still uses an older one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.hourly_counts import KEEP_HOURS
from tallystick.record.postgres.version_use import OlderPin, VersionUseCount, VersionUseCounts, older_pins
from tallystick.settings.load import Settings


class ServedVersion(Struct, frozen=True, kw_only=True):
    """A version of this release, with the dates of its deprecation and its sunset."""

    date: str
    changed: str
    deprecated: str | None
    sunset: str | None


class VersionReport(Struct, frozen=True, kw_only=True):
    """What is served, what is pinned to an older version, and the requests in older versions."""

    versions: Sequence[ServedVersion]
    pinned: Sequence[OlderPin]
    used: Sequence[VersionUseCount]


def versions(
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the versions of the API, the keys and webhook endpoints that are pinned to an older one, and who sent
    requests in an older one. Running processes add their counts every few seconds."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        report = asyncio.run(_report(database.app_url, settings, hours))
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    served = [(each.date, each.changed, each.deprecated or "", each.sunset or "") for each in report.versions]
    console.print(table_of(("version", "changed", "deprecated", "sunset"), served, whole=["version"]))
    if report.pinned:
        pinned = [(each.version, f"{each.kind} {each.id}\n{each.merchant_id}") for each in report.pinned]
        console.print(table_of(("version", "pinned"), pinned, whole=["version", "pinned"], title="Pinned to older"))
    if report.used:
        columns = ("merchant, key id", "hour (UTC), version", "requests")
        used = [
            (f"{each.merchant_id}\n{each.key_id}", f"{each.hour:%Y-%m-%d %H:%M}\n{each.version}", f"{each.count:,}")
            for each in report.used
        ]
        console.print(table_of(columns, used, whole=columns, title="Requests in older versions"))
    else:
        console.print(f"No request was in an older version in the last {hours} h.", highlight=False)


async def _report(database_url: str, settings: Settings, hours: int) -> VersionReport:
    async with await open_pool(database_url, settings) as pool:
        pinned = await older_pins(pool)
        used = await VersionUseCounts(pool, Clock(settings.clock_shift_ms)).of_last(hours)
    return VersionReport(versions=[*map(_served, VERSIONS.rows)], pinned=pinned, used=used)


def _served(version: ApiVersion) -> ServedVersion:
    ends = version.deprecation
    return ServedVersion(
        date=version.date,
        changed=version.changed,
        deprecated=None if ends is None else ends.since.isoformat(),
        sunset=None if ends is None or ends.sunset is None else ends.sunset.isoformat(),
    )
