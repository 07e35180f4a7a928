"""A fake Adyen with empty books for each test: what it has to tell is that test's alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.adyen.process import FakeAdyen, fake_adyen


@pytest.fixture(scope="module")
def running_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAdyen]:
    """One process for a module: starting one costs more than most tests here."""
    with fake_adyen(tmp_path_factory.mktemp("adyen") / "books.sqlite3") as process:
        yield process


@pytest.fixture
def bank(running_bank: FakeAdyen) -> FakeAdyen:
    running_bank.forget()
    return running_bank
