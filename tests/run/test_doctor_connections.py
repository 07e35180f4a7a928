"""Connections of the processes of one machine, worked out by hand, beside what a server lets in."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.record.postgres.server_facts import ServerFacts
from tallystick.run.doctor.connections import connections_needed, server_connections
from tallystick.settings.load import Settings


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
        (1, 2, 8, 22),  # 1 x (2 + 2 + 8) + (2 + 8)
        (8, 2, 8, 106),  # 8 x 12 + 10
        (4, 3, 20, 123),  # 4 x (3 + 2 + 20) + (3 + 20)
    ],
)
def test_what_processes_open(processes: int, journal: int, pool: int, needed: int) -> None:
    settings = Settings(api_processes=processes, journal_connections=journal, database_connections=pool)
    assert connections_needed(settings) == needed
    assert list(server_connections(facts(server_connections=needed), settings)) == []
    assert len(list(server_connections(facts(server_connections=needed - 1), settings))) == 1


def test_a_server_as_it_is_installed_carries_seven_processes() -> None:
    """100 connections, of which 3 are reserved: (97 - 10) / 12 = 7.25."""
    assert list(server_connections(facts(server_connections=97), Settings(api_processes=7))) == []
    [said] = server_connections(facts(server_connections=97), Settings(api_processes=8))
    assert said == (
        "the server lets 97 connections in; 8 API processes and a worker open 106 at their limits, and 7 API processes"
        " would fit"
    )


def test_each_limit_is_looked_at() -> None:
    said = list(server_connections(facts(database_limit=21, login_limit=9), Settings()))
    assert [each.partition(" lets ")[0] for each in said] == ["the database tallystick", "the role tallystick_app"]
    assert said[1].endswith("and 0 API processes would fit")
