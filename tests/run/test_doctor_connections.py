"""Connections of the processes of one machine, worked out by hand, beside what a server lets in."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest

from tallystick.record.postgres.server_facts import ServerFacts
from tallystick.run.doctor.connections import connections_needed, server_connections
from tallystick.settings.load import Settings
from tests.support.database import NewDatabase
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of


def facts(**limits: Any) -> ServerFacts:
    given: dict[str, Any] = {"server_connections": 1_000, "database_limit": None, "login_limit": None}
    return ServerFacts(
        name="tallystick",
        version_number=180_000,
        version="18.0",
        encoding="UTF8",
        fsync=True,
        full_page_writes=True,
        synchronous_commit="on",
        read_only=False,
        login="tallystick_app",
        may_create_roles=False,
        app_role_exists=True,
        may_act_as_app=True,
        has_admin_option=False,
        schema="public",
        may_create_tables=False,
        **(given | limits),
    )


@pytest.mark.parametrize(
    ("processes", "journal", "pool", "needed"),
    [
        (1, 2, 8, 24),  # 1 x (2 + 2 + 8 + 1) + (2 + 8 + 1)
        (8, 2, 8, 115),  # 8 x 13 + 11
        (4, 3, 20, 128),  # 4 x (3 + 2 + 20 + 1) + (3 + 20 + 1)
    ],
)
def test_what_processes_open(processes: int, journal: int, pool: int, needed: int) -> None:
    settings = Settings(api_processes=processes, journal_connections=journal, database_connections=pool)
    assert connections_needed(settings) == needed
    assert list(server_connections(facts(server_connections=needed), settings)) == []
    assert len(list(server_connections(facts(server_connections=needed - 1), settings))) == 1


async def test_a_worker_at_its_limits_has_as_many_sessions_as_are_counted(new_database: NewDatabase) -> None:
    database, settings = new_database(), replace(SETTINGS, api_processes=0, database_connections=3)
    async with (
        runtime_of(database.app_url, BookedProvider(), settings=settings) as runtime,
        contextlib.AsyncExitStack() as held,
    ):
        await eventually_async(runtime.readiness.check, until="ready".__eq__)
        taken = [await held.enter_async_context(runtime.pool.acquire()) for _ in range(3)]
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert await taken[0].fetchval(sessions) == connections_needed(settings)


def test_a_server_as_it_is_installed_carries_six_processes() -> None:
    """100 connections, of which 3 are reserved: (97 - 11) / 13 = 6.6."""
    assert list(server_connections(facts(server_connections=97), Settings(api_processes=6))) == []
    [said] = server_connections(facts(server_connections=97), Settings(api_processes=7))
    assert said == (
        "the server lets 97 connections in; 7 API processes and a worker open 102 at their limits, and 6 API processes"
        " would fit"
    )


def test_each_limit_is_looked_at() -> None:
    said = list(server_connections(facts(database_limit=21, login_limit=9), Settings()))
    assert [each.partition(" lets ")[0] for each in said] == ["the database tallystick", "the role tallystick_app"]
    assert said[1].endswith("and 0 API processes would fit")
