"""One worker process of the API: what granian loads."""

from __future__ import annotations

import os

from litestar import Litestar

from tallystick.interfaces.api.app import asgi_factory, create_app
from tallystick.kit.log_capture import capture_output
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.gc_tuning import tune_collector
from tallystick.run.otlp_spans import start_spans
from tallystick.run.supervisor import end_with_parent
from tallystick.settings.load import Settings, load_settings


def prepare(settings: Settings) -> None:
    """What all worker processes need alike, made once in the process that they begin as copies of: this module with all
    that it imports, the documents that the API publishes, and what the framework loads for its first application. A
    worker that is started, also in place of one that was killed, takes that over within milliseconds, and shares its
    memory."""
    create_app(settings)
    tune_collector()


def application() -> Litestar:
    """The ASGI application by the environment's settings. It ends with granian's main process. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    app = asgi_factory()
    capture_output()
    start_spans(settings)
    tune_collector()
    return app
