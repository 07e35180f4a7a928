"""What the roles share when another process starts them."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.kit.logs import configure_logging
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.supervisor import END_MARGIN_MS, end_with_parent
from tallystick.settings.load import Settings, secret_names

ParentPid = Annotated[int | None, typer.Option("--parent-pid", hidden=True)]


def started(settings: Settings, parent_pid: int | None) -> Settings:
    """Configure logging, watch the parent process if there is one, and return the settings."""
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS))
    if parent_pid is not None:
        end_with_parent(parent_pid, settings.drain_timeout_ms + END_MARGIN_MS)
    return settings
