"""What a role says when it starts: one line of what it serves with, and one of each thing that was found."""

from __future__ import annotations

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tallystick import __version__
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import default_provider, switched_off
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.postgres.migrate import newest_revision
from tallystick.run.doctor.examine import Examination, require_start
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.run.doctor.record import configured
from tallystick.run.doctor.table import Command
from tallystick.run.ports import console_address, http_address
from tallystick.settings.load import Settings

log = get_logger("tallystick.run.doctor")


async def begin(role: Command, settings: Settings, database: DatabaseUrls) -> None:
    """Ask a role's checks, and log what it starts with. Raises StartRefused, and what connecting to the database
    raises."""
    raise_descriptor_limit(settings)
    examination = await require_start(role, settings, database)
    log.info("starting", **await start_line(role, settings, database, examination))
    for finding in examination.findings():
        log.warning(finding.says, check=finding.check, check_level=finding.level)


async def start_line(
    role: Command, settings: Settings, database: DatabaseUrls, examination: Examination
) -> dict[str, Any]:
    """What a person looks for first in a log. Nothing of it is a secret."""
    other = any(finding.check == "schema_release" for finding in examination.findings())
    addresses = {"serve": http_address(settings.host, settings.port), "console": console_address(settings)}
    address = {"address": addresses[role]} if role in addresses else {}
    return {
        "role": role,
        "version": __version__,
        **address,
        "providers": sorted((await configured(settings)).keys() - switched_off(settings)),
        "default_provider": default_provider(settings),
        "database": database_place(database.app_url),
        "database_version": None if examination.server is None else examination.server.version,
        "schema": "other" if other else newest_revision(),
    }


def database_place(url: str) -> str:
    """Where a database is: hosts, ports and name, without role and password."""
    parts = conninfo_to_dict(url)
    hosts = str(parts.get("host") or "localhost").split(",")
    ports = str(parts.get("port") or "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False))
    return f"{places}/{parts.get('dbname') or ''}"
