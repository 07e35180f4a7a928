"""Commands as people run them: in processes of their own, or in this one where only their words matter."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self

import httpx
import psutil
import pytest
import structlog

from tallystick.cli import main
from tallystick.domain.errors import TallystickError
from tests.support.polling import PATIENCE_S, eventually, until_ready
from tests.support.ports import free_port

#: Said by a command that would serve, work or migrate now.
WENT_ON: Final = "went on"

#: Between two looks at a program that starts or ends: each look takes from it what it needs.
LOOK_S: Final = 0.05


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This environment without settings of ours, but for those given."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")} | dict(extra)


def run_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, **settings: str
) -> Ran:
    """Run a command in this process, with settings as ``database_url=…``."""
    for name in [name for name in os.environ if name.startswith("TALLYSTICK_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(f"TALLYSTICK_{name.upper()}", value)
    given = set(os.environ)
    monkeypatch.setattr(sys, "argv", ["tallystick", *arguments])
    # Logging is this process's. A command would bind it to the standard error of this test, which is closed after it.
    monkeypatch.setattr(structlog, "configure", lambda **_: None)
    monkeypatch.setattr("tallystick.cli.roles.capture_output", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    capsys.readouterr()
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        signal.signal(signal.SIGTERM, before)
        # `serve` sets the settings of its worker processes, which are none of the next test's. ``monkeypatch`` would
        # bring back at its end what it is told to remove.
        for name in set(os.environ) - given:
            del os.environ[name]
        for name in [name for name in os.environ if name.startswith("TALLYSTICK_")]:
            monkeypatch.delenv(name)
    return Ran(code, *capsys.readouterr())


def end_where_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """``run_here`` of a start that nothing refuses says WENT_ON and exits with 2, instead of serving until a signal."""

    def went_on(*_: object) -> NoReturn:
        raise TallystickError(WENT_ON)

    async def works(*_: object) -> NoReturn:
        went_on()

    monkeypatch.setattr("tallystick.cli.serve.serve_api", went_on)
    monkeypatch.setattr("tallystick.cli.console.serve_console", went_on)
    monkeypatch.setattr("tallystick.cli.work.work_until_signalled", works)
    monkeypatch.setattr("tallystick.cli.migrate.apply_migrations", went_on)
    monkeypatch.setattr("tallystick.run.up.migrate", went_on)


def run_process(*arguments: str, timeout_s: float = 5 * PATIENCE_S, **settings: str) -> Ran:
    """Run a command in a process of its own; the time-out bounds failure alone."""
    environment = clean_environment({f"TALLYSTICK_{name.upper()}": value for name, value in settings.items()})
    done = subprocess.run(
        [sys.executable, "-m", "tallystick", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


class Up:
    """``tallystick up`` on a data directory, in a process of its own. With ``database_url`` among the settings its
    database is that one, which starts sooner than a new one. Without ``console`` it starts none."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port, self.simulator_port = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        #: For everybody who asks it: to make a client takes longer than a question.
        self.http = httpx.Client(timeout=PATIENCE_S, trust_env=False)
        self._log = data_dir.with_suffix(".log").open("ab")
        where = ["--data-dir", str(data_dir)]
        if "database_url" in settings:  # a command does not choose between two databases
            where, settings = [], {**settings, "data_dir": str(data_dir)}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tallystick", "up", *where),
                *("--port", str(self.port), "--simulator-port", str(self.simulator_port)),
            ],
            env=clean_environment(
                {f"TALLYSTICK_{name.upper()}": value for name, value in ({"console": "false"} | settings).items()}
            ),
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        ready = f"{self.address}/readyz"
        try:
            until_ready(self.process, lambda: self.http.get(ready, timeout=2).raise_for_status())
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()[-2_000:]}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
        self.http.close()

    @property
    def key(self) -> str:
        """The first-run API key."""
        return (self.data_dir / "api-key").read_text().strip()

    def said(self) -> str:
        """Everything that it and its children printed."""
        return self.data_dir.with_suffix(".log").read_text(errors="replace")

    def children(self) -> dict[str, psutil.Process]:
        """The role processes by name."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just ended
                command = child.cmdline()
                if command[1:3] == ["-m", "tallystick"]:
                    found[command[3]] = child
        return found

    def family(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def server_pid(self) -> int | None:
        """The embedded database's process, while it runs."""
        file = self.data_dir / "postgres" / "postmaster.pid"
        try:
            pid = int(file.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError):
            return None
        return pid if psutil.pid_exists(pid) else None

    def charges(self) -> int:
        """How many charges the acquirer has booked."""
        count, cursor = 0, "0"
        while cursor is not None:
            url = f"http://127.0.0.1:{self.simulator_port}/sim/charges?limit=1000&cursor={cursor}"
            page = self.http.get(url).json()
            count, cursor = count + len(page["data"]), page["next_cursor"]
        return count


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; one that nobody reaped has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: psutil.Process) -> None:
    """The process and all below it, without a word."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGKILL)
    eventually(lambda: all(is_gone(member) for member in family))
