"""One localstripe for a module: a look-up reads all of its books, and the time-outs here are short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stripe.localstripe import LocalStripe, localstripe


@pytest.fixture(scope="module")
def bank() -> Iterator[LocalStripe]:
    with localstripe() as process:
        yield process
