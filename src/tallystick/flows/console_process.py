"""Assembles one process of the operators' console: a runtime, and who is signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext

from msgspec import Struct

from tallystick.access.sessions import Sessions
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import Provider
from tallystick.record.postgres.embedded.server import DatabaseUrls, resolve_database
from tallystick.settings.load import Settings

#: How others see the console's sessions in the database.
SESSIONS = "tallystick console"


class ConsoleProcess(Struct, frozen=True, kw_only=True):
    """What one process of the console has open."""

    runtime: Runtime
    sessions: Sessions


@asynccontextmanager
async def open_console_process(
    settings: Settings, database_url: str | None = None, *, providers: Mapping[str, Provider] | None = None
) -> AsyncIterator[ConsoleProcess]:
    """Everything that the console needs, open. Without ``database_url`` the settings name the database. Raises what
    opening the database raises."""
    with (
        resolve_database(settings) if database_url is None else nullcontext(DatabaseUrls(database_url, database_url))
    ) as urls:
        async with open_runtime(settings, urls.app_url, providers=providers, application_name=SESSIONS) as runtime:
            if database_url is None:  # a process of its own: it listens once it knows whether it is ready
                await runtime.readiness.first()
            sessions = Sessions(runtime.pool, runtime.clock, settings, runtime.sealer)
            yield ConsoleProcess(runtime=runtime, sessions=sessions)
