"""A reader of a page who types its commands: in a fresh directory, one after the other, on ports that are free here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from tests.support.commands import Up, clean_environment
from tests.support.polling import PATIENCE_S, eventually

ROOT: Final = Path(__file__).parents[2]

ENVIRONMENT: Final = Path(sys.prefix)

_BLOCK: Final = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

_ASSIGNMENT: Final = re.compile(r"(export )?[A-Z_]+=")

#: Ids and secrets that a later command is given in place of an ellipsis.
_NAMED: Final = {
    "pay_": r"\bpay_[0-9a-f]{32}\b",
    "evt_": r"\bevt_[0-9a-f]{32}\b",
    "whsec_": r"\bwhsec_[A-Za-z0-9+/=_-]+",
}

_SECTION: Final = re.compile(r"^## (.*)$", re.MULTILINE)


def commands_of(text: str) -> list[str]:
    """The commands of all blocks, in their order: without comments, continued lines joined."""
    joined = "".join(_BLOCK.findall(text)).replace("\\\n", " ")
    lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def sections_of(text: str) -> dict[str, list[str]]:
    """The commands of each section, by its title."""
    _, *parts = _SECTION.split(text)
    return {title: commands_of(part) for title, part in zip(parts[::2], parts[1::2], strict=True)}


class Reader:
    """Types commands into a shell, with ids and secrets where the page has an ellipsis. ``settings``: of the platform.
    ``run_as``: commands that are run in another way than they are written. ``ports``: what the page says -> what it is
    here."""

    def __init__(self, home: Path, *, settings: Mapping[str, str], run_as: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.up: Up | None = None
        self.ports: dict[int, int] = {}
        self._settings, self._run_as = dict(settings), dict(run_as or {})
        self._assignments: list[str] = []
        self._named: dict[str, str] = {}
        self._stays: list[subprocess.Popen[str]] = []
        (home / ".venv").symlink_to(ENVIRONMENT, target_is_directory=True)
        (home / "examples").symlink_to(ROOT / "examples", target_is_directory=True)

    def run(self, command: str) -> str:
        """Run one command, and give back what it says. Raises AssertionError where it fails."""
        if " up " in command:
            assert "--data-dir ./data" in command
            self.up = Up(self.home / "data", **self._settings)
            self.up.__enter__()
            self.ports |= {8400: self.up.port, 8401: self.up.simulator_port}
            return ""
        typed = self._typed(self._run_as.get(command, command))
        if _ASSIGNMENT.match(command):
            self._assignments.append(typed)
        out = eventually(lambda: self._shell(typed), until=_says_something) if "curl" in typed else self._shell(typed)
        self._remember(out)
        return out

    def leave_running(self, command: str, says: str) -> None:
        """Run a command that stays in the foreground of a terminal of its own, until it has said this."""
        out = self.home / f"terminal-{len(self._stays)}"
        with out.open("w") as file:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", "\n".join([*self._assignments, f"exec {self._typed(command)}"])],
                cwd=self.home,
                env=clean_environment({"PYTHONUNBUFFERED": "1"}),
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._stays.append(process)

        def said() -> str:
            text = out.read_text()
            assert process.poll() is None, f"{command}\n{text}"
            return text

        self._remember(eventually(said, until=lambda text: says in text))

    def close(self) -> None:
        """Stop what the reader started. Not by Ctrl-C: where the suite runs in the background, it is ignored."""
        try:
            for process in reversed(self._stays):
                _end(process)
        finally:
            if self.up is not None:
                self.up.__exit__()

    def _remember(self, out: str) -> None:
        assert "urn:tallystick:error" not in out, out
        for prefix, pattern in _NAMED.items():
            for name in re.findall(pattern, out)[:1]:
                self._named[prefix] = name

    def _typed(self, command: str) -> str:
        for prefix, name in self._named.items():
            command = command.replace(f"{prefix}…", name)
        assert "…" not in command, f"nothing to put for the ellipsis: {command}"
        for written, here in self.ports.items():
            command = re.sub(rf":{written}\b", f":{here}", command)
        return command

    def _shell(self, command: str) -> str:
        # Without the address of the acquirer, which is on a free port here: commands know it from the data directory.
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join([*self._assignments, command])],
            cwd=self.home,
            env=clean_environment({}),
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        psutil.Process(process.pid).kill()
        process.wait()
        raise


def _says_something(out: str) -> bool:
    """A list that webhooks fill is filled after some seconds."""
    return '"data":[]' not in out.replace(" ", "")
