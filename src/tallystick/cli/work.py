"""``work``: recovery, provider events, and messages to merchants."""

from __future__ import annotations

import os

import uvloop

from tallystick.cli.context import DataDir, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.roles import ParentPid, keeper_of, started
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.run.doctor.start import begin
from tallystick.run.work import work_until_signalled
from tallystick.settings.load import Settings


def work(data_dir: DataDir = None, parent_pid: ParentPid = None) -> None:
    """Recover attempts, process provider events, deliver messages. Any number of workers may run."""
    settings = started(settings_from(data_dir), parent_pid)
    if settings.database_url is not None or parent_pid is not None:  # else this process keeps the database as well
        os.nice(settings.worker_niceness)
    with existing_database(settings, keeper_of(parent_pid)) as database:
        uvloop.run(_work(settings, database))


async def _work(settings: Settings, database: DatabaseUrls) -> None:
    await begin("work", settings, database)
    await work_until_signalled(settings, database.app_url)
