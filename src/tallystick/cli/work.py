"""``work``: recovery, and what providers said."""

from __future__ import annotations

import uvloop

from tallystick.cli.context import DataDir, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.roles import ParentPid, started
from tallystick.run.work import work_until_signalled


def work(data_dir: DataDir = None, parent_pid: ParentPid = None) -> None:
    """Recover, process webhooks, deliver ours. Any number of workers share one database; leases decide."""
    settings = started(settings_from(data_dir), parent_pid)
    with existing_database(settings) as database:
        uvloop.run(work_until_signalled(settings, database.app_url))
