"""``serve``: the API."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

from tallystick.cli.context import DataDir, Host, Port, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.roles import ParentPid, keeper_of, started
from tallystick.run.doctor.start import begin
from tallystick.run.serve import serve as serve_api
from tallystick.run.supervisor import child_environment


def serve(data_dir: DataDir = None, host: Host = None, port: Port = None, parent_pid: ParentPid = None) -> None:
    """Run the API. Any number of processes on any number of machines share one database."""
    settings = started(settings_from(data_dir, host=host, port=port), parent_pid)
    with existing_database(settings, keeper_of(parent_pid)) as database:
        asyncio.run(begin("serve", settings, database))
        # The worker processes read the environment, so it must hold the settings resolved here.
        os.environ.update(child_environment(replace(settings, database_url=database.app_url)))
        serve_api(settings)
