"""A scripted provider behind limits, on a clock that tests move."""

from __future__ import annotations

import pytest

from tallystick.providers.circuit import BoundedProvider
from tests.support.circuit import LIMITS, Scripted, Time


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def inner() -> Scripted:
    return Scripted()


@pytest.fixture
def provider(inner: Scripted, time: Time) -> BoundedProvider:
    return BoundedProvider(inner, LIMITS, time)
