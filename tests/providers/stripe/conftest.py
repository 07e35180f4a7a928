"""A localstripe with empty books for each test: a look-up reads all of them, and the time-outs here are short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stripe.localstripe import LocalStripe, localstripe


@pytest.fixture(scope="module")
def running_bank() -> Iterator[LocalStripe]:
    """One process for a module: starting one costs more than most tests here."""
    with localstripe() as process:
        yield process


@pytest.fixture
def bank(running_bank: LocalStripe) -> LocalStripe:
    running_bank.forget()
    return running_bank
