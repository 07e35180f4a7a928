"""A fake Adyen for each test: what it has to tell is that test's alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.adyen.process import FakeAdyen, fake_adyen


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[FakeAdyen]:
    with fake_adyen(tmp_path / "adyen.sqlite3") as process:
        yield process
