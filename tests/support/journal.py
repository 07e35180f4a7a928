"""Changes that a test commits by a journal of its own."""

from __future__ import annotations

from tallystick.domain.change import Change
from tallystick.lab.bench.commits import open_journal
from tallystick.settings.load import Settings
from tests.support.database import Database


async def commit(database: Database, *changes: Change) -> None:
    """Commit changes one after another."""
    async with open_journal(Settings(), database.app_url) as journal:
        for change in changes:
            await journal.commit(change)
