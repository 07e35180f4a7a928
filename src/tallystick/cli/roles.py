"""What the roles share when another process starts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from tallystick.kit.log_capture import capture_output
from tallystick.kit.logs import configure_logging, get_logger
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.otlp_spans import require_spans
from tallystick.run.supervisor import END_MARGIN_MS, end_with_parent
from tallystick.settings.load import Settings, secret_names

log = get_logger("tallystick.cli.roles")

ParentPid = Annotated[int | None, typer.Option("--parent-pid", hidden=True)]


def log_alone(level: str, log_format: str = "auto") -> None:
    """From now on this process writes lines of a log, and nothing else, to standard error."""
    configure_logging(level, secret_names(CONNECTOR_SETTINGS), log_format)
    capture_output()


def started(settings: Settings, parent_pid: int | None) -> Settings:
    """Configure logging, watch the parent process if there is one, and return the settings. Raises
    SettingsError for what the settings ask for and this installation has not."""
    log_alone(settings.log_level, settings.log_format)
    require_spans(settings)
    if parent_pid is not None:
        end_with_parent(parent_pid, settings.drain_timeout_ms + END_MARGIN_MS)
    return settings


def keeper_of(parent_pid: int | None) -> Callable[[str], None] | None:
    """A role that runs by itself keeps the embedded database running, and logs it; under ``up`` the parent does."""
    return None if parent_pid is not None else log.warning
