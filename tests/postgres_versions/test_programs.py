"""What was not tried has not passed, and what was fetched is what was pinned."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import platform
import re
import tarfile
from pathlib import Path

import pytest

from tests.postgres_versions import programs
from tests.postgres_versions.programs import PINS, SUPPORTED, programs_of, unpack
from tests.support.trials import FAILED, INCOMPLETE, PASSED, CannotBeHad, Missing, Trial, exit_code, summary

GOOD = [Trial(f"PostgreSQL {major}", "one role", None) for major in SUPPORTED]
BAD = Trial("PostgreSQL 16", "one role", "it broke")
AWAY = Missing("PostgreSQL 17", "npm is not installed")


@pytest.mark.parametrize(
    ("trials", "missing", "code", "last"),
    [
        (GOOD, [], PASSED, "4 passed, 0 failed, 0 skipped"),
        ([*GOOD, BAD], [], FAILED, "4 passed, 1 failed, 0 skipped"),
        (GOOD[:2], [AWAY], INCOMPLETE, "2 passed, 0 failed, 1 skipped"),
        ([BAD], [AWAY], FAILED, "0 passed, 1 failed, 1 skipped"),
        ([], [AWAY], INCOMPLETE, "0 passed, 0 failed, 1 skipped"),
        ([], [], INCOMPLETE, "0 passed, 0 failed, 0 skipped"),
    ],
)
def test_what_was_not_tried_has_not_passed(trials: list[Trial], missing: list[Missing], code: int, last: str) -> None:
    assert exit_code(trials, missing) == code
    lines = list(summary(trials, missing))
    assert lines[-1] == last
    assert ("passed" in lines[-2].split("; ")[1].split()) is (code != FAILED)
    assert any("NOT TRIED: npm is not installed" in line for line in lines) is (AWAY in missing)


def packed(path: Path) -> str:
    """A package as npm has it, and its hash."""
    files = {"native/bin/initdb": b"#!/bin/sh", "native/lib/libpq.so.5.16": b"library"}
    links = [{"source": "native/lib/libpq.so.5.16", "target": "native/lib/libpq.so"}]
    files["native/pg-symlinks.json"] = json.dumps(links).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_a_package_is_unpacked_with_its_links_and_only_if_it_is_the_pinned_one(tmp_path: Path) -> None:
    package, home = tmp_path / "package.tgz", tmp_path / "unpacked"
    pin = packed(package)
    with pytest.raises(CannotBeHad, match=r"is not what was pinned: its SHA-512 is "):
        unpack(package, PINS[16].sha512, home)
    assert not home.exists()
    unpack(package, pin, home)
    assert (home / "lib/libpq.so").read_bytes() == b"library"
    assert (home / "bin/initdb").stat().st_mode & 0o111


def test_a_version_without_its_programs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(programs, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    with pytest.raises(CannotBeHad, match="npm is not installed"):
        programs_of(16)
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(CannotBeHad, match="is for Linux on x86_64"):
        programs_of(16)
    assert programs_of(18).origin == "the locked wheel"


def test_pins_name_exact_versions_and_no_host() -> None:
    assert set(PINS) | {18} == set(SUPPORTED)
    for major, pin in PINS.items():
        assert re.fullmatch(rf"{major}\.\d+\.\d+-beta\.\d+", pin.version)
        assert len(base64.b64decode(pin.sha512)) == 64
    assert "://" not in Path(programs.__file__).read_text(encoding="utf-8")
