"""The record that the commands for daily use are tried on, made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tallystick.cli.context import console
from tests.support.commands import Ran, run_here
from tests.support.database import NewDatabase
from tests.support.operators import World, make_world


@pytest.fixture(scope="session")
def world(new_database: NewDatabase) -> World:
    return asyncio.run(make_world(new_database()))


@pytest.fixture
def operate(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """A command on that record, in 80 columns."""
    monkeypatch.setattr(console, "width", 80)
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, **({"database_url": world.database.app_url} | settings)
    )
