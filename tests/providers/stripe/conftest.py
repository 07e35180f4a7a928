"""One localstripe for the session, and the connector to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.stripe.bank import LocalStripe, localstripe


@pytest.fixture(scope="session")
def bank() -> Iterator[LocalStripe]:
    with localstripe() as process:
        yield process
