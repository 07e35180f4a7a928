"""The ``serve`` role: the API in granian's worker processes. This process only supervises them."""

from __future__ import annotations

from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tallystick.kit.log_capture import LOGGING
from tallystick.run.metrics_listener import metrics_of_children
from tallystick.run.worker_start import end_workers_that_start
from tallystick.settings.load import Settings

#: How long granian waits for its workers beyond their drain time-out before it kills them.
KILL_MARGIN_S: Final = 3

#: Connections waiting to be accepted: a surge should queue, not be reset.
BACKLOG: Final = 4_096

#: Requests in one process before granian stops accepting; the API itself responds 503 long before.
BACKPRESSURE: Final = 16_384


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then requests in flight end first. The workers read the environment. Raises
    OSError if the port of the metrics is taken."""
    from tallystick.run.api_process import prepare  # not by a start that is refused: it takes half a second

    prepare(settings)
    end_workers_that_start()
    with metrics_of_children(settings):  # in this process, which outlives each of them
        Granian(
            "tallystick.run.api_process:application",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            # HTTP/1.1 alone: while granian waits to see whether a connection speaks HTTP/2, no time-out bounds it.
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=settings.request_head_timeout_ms),
            factory=True,
            workers=settings.api_processes,
            backlog=BACKLOG,
            backpressure=BACKPRESSURE,
            websockets=False,
            respawn_failed_workers=True,
            workers_kill_timeout=settings.drain_timeout_ms // 1000 + KILL_MARGIN_S,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
        ).serve()
