"""The worker process of the console: what granian loads."""

from __future__ import annotations

import os

from litestar import Litestar

from tallystick.interfaces.console.app import asgi_factory
from tallystick.kit.log_capture import capture_output
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.supervisor import end_with_parent
from tallystick.settings.load import load_settings


def application() -> Litestar:
    """The ASGI application by the environment's settings. It ends with granian's main process. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    app = asgi_factory()
    capture_output()
    return app
