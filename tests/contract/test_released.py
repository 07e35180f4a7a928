"""A release keeps its contract and its OpenAPI document as they were: later versions are compared with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tallystick import __version__
from tallystick.contract.released import CONTRACT, OPENAPI, PAGE, files

RELEASES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "releases"


def test_every_release_keeps_its_documents() -> None:
    kept = {folder.name: {file.name for file in folder.iterdir()} for folder in RELEASES.iterdir() if folder.is_dir()}
    assert "v0.2.0" in kept
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", name) for name in kept)
    assert kept.pop("v0.2.0") == {PAGE, OPENAPI}, "it had no contract for programs"
    assert all(files >= {PAGE, OPENAPI, CONTRACT} for files in kept.values())


@pytest.mark.skipif(not re.fullmatch(r"\d+\.\d+\.\d+", __version__), reason="between releases nothing is kept yet")
def test_a_release_keeps_what_it_serves() -> None:
    folder = RELEASES / f"v{__version__}"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files()
