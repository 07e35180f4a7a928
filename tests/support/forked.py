"""Programs of the tests as processes of their own, forked from one that has loaded them: to start Python and load the
test acquirer takes half a second of CPU, and tests start some ninety.

    python -m tests.support.forked    one program as JSON a line in, its process's number a line out
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import psutil
from msgspec import Struct

ROOT: Final = Path(__file__).parents[2]


class Program(Struct, frozen=True):
    """``main()`` of a module, by arguments, in an environment."""

    module: str
    arguments: list[str]
    environment: dict[str, str]


_PROGRAM: Final = msgspec.json.Decoder(Program)


class Forked:
    """One running program. It has what tests ask of a ``subprocess.Popen``, but for how it ended."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.args = [module, *arguments]
        self.returncode = "an unknown code"
        number = _loader().fork(Program(module, list(arguments), dict(os.environ)))
        self._process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):  # it ended at once
            self._process = psutil.Process(number)

    def poll(self) -> int | None:
        """None while it runs."""
        return None if self._process is not None and self._process.is_running() else 0

    def terminate(self) -> None:
        """As an operator does."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does."""
        self._send(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> None:
        """Until it has ended. Raises psutil.TimeoutExpired."""
        if self._process is not None:
            self._process.wait(timeout)

    def _send(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            if self._process is not None:
                self._process.send_signal(number)


class _Loader:
    """The process that loads programs and forks them, until this one ends."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.forked"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn = threading.Lock()
        atexit.register(self._process.communicate)

    def fork(self, program: Program) -> int:
        """The number of the program's process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(msgspec.json.encode(program) + b"\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        assert said, "the process that loads programs is gone"
        return int(said)


_loaders: list[_Loader] = []


def _loader() -> _Loader:
    """A plain function, so that ``tests/support/needs.py`` sees that a program is started."""
    if not _loaders:
        _loaders.append(_Loader())
    return _loaders[0]


def _become(program: Program) -> NoReturn:
    """In the process of the program itself."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        os.environ.clear()
        os.environ.update(program.environment)
        random.seed()
        sys.argv = [program.module, *program.arguments]
        importlib.import_module(program.module).main()
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    """Fork program after program, until the input ends. Nobody asks how one ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the tests
    for line in sys.stdin.buffer:
        program = _PROGRAM.decode(line)
        if program.module not in sys.modules:
            importlib.import_module(program.module)
            gc.collect()
            gc.freeze()
        child = os.fork()
        if child == 0:
            _become(program)
        sys.stdout.buffer.write(b"%d\n" % child)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
