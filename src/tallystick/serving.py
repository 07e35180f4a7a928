"""The ``serve`` role: the API in granian's worker processes."""

from __future__ import annotations

import os
from typing import Any, Final

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from tallystick.api.app import asgi_factory

from tallystick.processes import end_with_parent
from tallystick.settings import Settings, load_settings

#: How long granian waits for its workers beyond their own drain, before it kills them.
KILL_MARGIN_S: Final = 3

#: Connections that wait to be accepted: a surge should wait in a queue, not be reset.
BACKLOG: Final = 4_096

#: Each worker starts on its own event loop; the API's own bounds answer 503 long before this many are at work.
BACKPRESSURE: Final = 16_384


def application() -> Any:
    """The ASGI application of one worker process, which ends with granian's main process."""
    settings = load_settings(os.environ)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    return asgi_factory()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then requests in flight end first. The workers read the environment."""
    Granian(
        "tallystick.serving:application",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=settings.api_processes,
        backlog=BACKLOG,
        backpressure=BACKPRESSURE,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_timeout_ms // 1000 + KILL_MARGIN_S,
        log_level=LogLevels.warning,
    ).serve()
