"""The connector's list of payment methods is the acquirer's."""

from __future__ import annotations

from tallystick.lab.acquirer.scripts import SCRIPTS
from tallystick.providers.simulator.methods import METHODS


def test_the_connector_and_the_acquirer_know_the_same_payment_methods() -> None:
    assert frozenset(SCRIPTS) == METHODS
