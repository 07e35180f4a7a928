"""A worker process of granian that gets a signal to end while it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.polling import PATIENCE_S, eventually
from tests.support.ports import free_port

#: An application that is never made.
STARTING = """
import threading
from pathlib import Path
def application():
    Path("starts").touch()
    threading.Event().wait()
"""

#: Its server, which kills no worker, however long it waits for one.
SERVER = """
import sys
from granian import Granian
from granian.constants import Interfaces
from tallystick.run.worker_start import end_workers_that_start
end_workers_that_start()
Granian("starting:application", interface=Interfaces.ASGI, factory=True, port=int(sys.argv[1])).serve()
"""


def test_a_worker_that_starts_ends_with_its_server(tmp_path: Path) -> None:
    (tmp_path / "starting.py").write_text(STARTING)
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(free_port())], cwd=tmp_path, start_new_session=True)
    try:
        eventually((tmp_path / "starts").exists)
        server.terminate()
        assert server.wait(PATIENCE_S) == 0
    finally:
        _kill_all(server)


def _kill_all(server: subprocess.Popen[bytes]) -> None:
    """With its worker, which would go on without it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
