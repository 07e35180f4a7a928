"""One worker process of the API: what granian loads."""

from __future__ import annotations

import os

from litestar import Litestar

from tallystick.api.app import asgi_factory
from tallystick.garbage import let_garbage_wait
from tallystick.processes import end_with_parent
from tallystick.settings.load import load_settings


def application() -> Litestar:
    """The ASGI application by the environment's settings. It ends with granian's main process. Raises SettingsError."""
    settings = load_settings(os.environ)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    app = asgi_factory()
    let_garbage_wait()
    return app
