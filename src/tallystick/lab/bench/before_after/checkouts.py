"""Checkouts of this project, each in a work tree of its own, and how each is asked (see ``side``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from tallystick.domain.errors import TallystickError

SIDE: Final = Path(__file__).with_name("side.py")

#: What there was before releases had tags.
FIRST_COMPARED: Final = "e0d16a3"

#: For what is counted: a second connection changes nothing but which batch a payment is in.
ONE_CONNECTION: Final = {"TALLYSTICK_JOURNAL_CONNECTIONS": "1"}


class SideFailed(TallystickError):
    """A checkout did not answer; standard error says why."""


class Checkout(Struct, frozen=True, kw_only=True):
    """A commit, and its sources on disk."""

    commit: str
    source: Path


@contextmanager
def checkouts(repository: Path, befores: Sequence[str], after: str) -> Iterator[list[Checkout]]:
    """Work trees of all of them, ``after`` last, gone afterwards. No ``befores``: the last release before ``after``.
    Raises SideFailed."""
    refs = [*(befores or [last_release(repository, after)]), after]
    with tempfile.TemporaryDirectory(prefix="tsc-") as folder:
        made: list[Checkout] = []
        try:
            for number, ref in enumerate(refs):
                path = Path(folder) / str(number)
                _git(repository, "worktree", "add", "--quiet", "--detach", str(path), ref)
                made.append(Checkout(commit=_git(path, "rev-parse", "--short", "HEAD"), source=path / "src"))
            yield made
        finally:
            for checkout in made:
                _git(repository, "worktree", "remove", "--force", str(checkout.source.parent))


def last_release(repository: Path, ref: str) -> str:
    """The last tag before ``ref``, or where there is none the first commit that was ever compared."""
    try:
        return _git(repository, "describe", "--tags", "--abbrev=0", f"{ref}^")
    except SideFailed:
        return FIRST_COMPARED


class Side:
    """A process that runs a checkout's code and answers in lines of JSON. Use as a context manager. ``settings``:
    variables that differ from the checkout's defaults."""

    def __init__(self, checkout: Checkout, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SIDE), *arguments],
            env={**os.environ, **(settings or {}), "PYTHONPATH": str(checkout.source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self) -> None:
        """Go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Its next line. Raises SideFailed where it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SideFailed(f"a checkout ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self) -> Any:
        """One question and its answer."""
        self.say()
        return self.hear()

    def end(self) -> None:
        """Wait until it is through. Raises SideFailed where it failed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait() != 0:
            raise SideFailed(f"a checkout ended with {self._process.returncode}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SideFailed(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
