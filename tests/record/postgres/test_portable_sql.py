"""Statements keep to what a sharded PostgreSQL and CockroachDB accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.record.postgres import sql

SQL = sorted(Path(sql.__file__).parent.glob("*.sql"))


@pytest.mark.parametrize("file", SQL, ids=[one.name for one in SQL])
def test_json_travels_as_text(file: Path) -> None:
    """CockroachDB has no arrays of JSON: a value is sent as text, and cast where it is selected."""
    text = file.read_text()
    assert "json[]" not in text and "jsonb[]" not in text


def test_the_statements_are_found() -> None:
    assert {"inbox.sql", "journal.sql"} <= {one.name for one in SQL}
