"""A release keeps its contract and its OpenAPI document as they were: later versions are compared with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tallystick import __version__
from tallystick.contract.document import render_contract
from tallystick.interfaces.api.openapi import openapi_document

RELEASES = Path(__file__).resolve().parents[1] / "docs" / "reference" / "releases"


def test_every_release_keeps_both_files() -> None:
    kept = {folder.name: {file.name for file in folder.iterdir()} for folder in RELEASES.iterdir() if folder.is_dir()}
    assert "v0.2.0" in kept
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", name) for name in kept)
    assert all(files == {"contract.md", "openapi.json"} for files in kept.values())


@pytest.mark.skipif(not re.fullmatch(r"\d+\.\d+\.\d+", __version__), reason="between releases nothing is kept yet")
def test_a_release_keeps_what_it_serves() -> None:
    folder = RELEASES / f"v{__version__}"
    assert (folder / "contract.md").read_text("utf-8") == render_contract()
    assert json.loads((folder / "openapi.json").read_text("utf-8")) == json.loads(openapi_document())
