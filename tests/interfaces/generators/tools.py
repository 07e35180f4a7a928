"""The generators of clients, installed once into the user's cache: their versions and hashes are in this folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).resolve().parent

#: openapi-typescript does not start on an older one.
NODE_MAJOR: Final = 20


def python_tools() -> Path:
    """The folder of the Python generator's packages. Skips the test where they cannot be installed."""
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes")
    return _installed("python.txt", (), (*pip, "-r", "python.txt", "--target", "."))


def node_tools() -> Path:
    """The folder of the TypeScript generator's programs. Skips the test where there is no Node, or an old one, and
    where they cannot be installed."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("there is no Node with npm on this machine")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MAJOR:
        pytest.skip(f"Node {version} is older than {NODE_MAJOR}")
    npm = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    return _installed("package-lock.json", ("package.json",), npm) / "node_modules" / ".bin"


def _installed(lock: str, with_it: Sequence[str], command: Sequence[str]) -> Path:
    """The folder in which ``command`` installed what ``lock`` names: it is whole, or not there."""
    digest = hashlib.sha256((HERE / lock).read_bytes() + sys.version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallystick-tests"
    place = cache / f"{lock.partition('.')[0]}-{digest}"
    if place.exists():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache))
    try:
        for name in (lock, *with_it):
            shutil.copy(HERE / name, partial)
        done = subprocess.run(command, cwd=partial, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"what {lock} names cannot be installed: {done.stderr.strip()[-300:]}")
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place
