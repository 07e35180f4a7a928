"""What stands around a connector passes on all that a connector has."""

from __future__ import annotations

import pytest

from tallystick.flows.screened_provider import ScreenedProvider
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.port import Provider

PUBLIC = sorted(name for name in vars(Provider) if not name.startswith("_"))


def test_a_provider_has_properties_and_calls() -> None:
    assert {"pause", "drift", "circuit", "supports"} <= set(PUBLIC)


@pytest.mark.parametrize("around", [BoundedProvider, ScreenedProvider])
@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_falls_back_to_what_a_provider_alone_says(around: type[Provider], name: str) -> None:
    """A default of the port would say *none* where the connector inside says something."""
    assert name in vars(around), f"{around.__name__} does not pass {name} on"
