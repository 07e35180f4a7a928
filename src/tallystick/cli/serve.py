"""``serve``: the API."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import psycopg

from tallystick.cli.context import DataDir, Host, Port, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.roles import ParentPid, started
from tallystick.kit.clock_skew import Skew, SkewGauge
from tallystick.providers.assembly import require_sound_providers
from tallystick.run.clock_check import require_right_clock
from tallystick.run.exponents_check import require_unchanged_exponents
from tallystick.run.ports import require_free_port
from tallystick.run.serve import serve as serve_api
from tallystick.run.supervisor import child_environment

#: A database that takes longer to accept a connection is not usable.
CONNECT_TIMEOUT_S = 10


def serve(data_dir: DataDir = None, host: Host = None, port: Port = None, parent_pid: ParentPid = None) -> None:
    """Run the API. Any number of processes on any number of machines share one database."""
    settings = started(settings_from(data_dir, host=host, port=port), parent_pid)
    require_sound_providers(settings)
    require_free_port(settings.host, settings.port)
    with existing_database(settings) as database:
        require_right_clock(_require_schema(database.app_url))
        asyncio.run(require_unchanged_exponents(database.app_url))
        # The worker processes read the environment, so it must hold the settings resolved here.
        os.environ.update(child_environment(replace(settings, database_url=database.app_url)))
        serve_api(settings)


def _require_schema(database_url: str) -> Skew | None:
    """Raise the driver's error now instead of at the first request. Returns the skew of this host's clock against the
    database's."""
    with psycopg.connect(database_url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.execute("SELECT 1 FROM api_key LIMIT 1")
        gauge = SkewGauge()
        question = gauge.ask()
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        if row is not None:
            gauge.answered(question, row[0])
        return gauge.current
