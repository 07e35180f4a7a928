"""The ``console`` role: the operators' console in a process of its own, apart from the API and its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tallystick.kit.log_capture import LOGGING
from tallystick.run.worker_start import end_workers_that_start
from tallystick.settings.load import Settings

#: How long granian waits for its worker beyond the drain time-out before it kills it.
KILL_MARGIN_S: Final = 3


def serve_console(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. The worker process reads the environment."""
    end_workers_that_start()
    certificate, key = settings.console_tls_certificate_file, settings.console_tls_key_file
    Granian(
        "tallystick.run.console_process:application",
        address=settings.console_host,
        port=settings.console_port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.request_head_timeout_ms),
        factory=True,
        workers=1,  # a few people; what they share is in the database
        websockets=False,
        ssl_cert=None if certificate is None else Path(certificate),
        ssl_key=None if key is None else Path(key),
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_timeout_ms // 1000 + KILL_MARGIN_S,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
    ).serve()
