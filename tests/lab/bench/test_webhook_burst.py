"""The benchmark's webhooks are what the test acquirer sends."""

from __future__ import annotations

import random

import msgspec

from tallystick.lab.acquirer.scripts import API_VERSION
from tallystick.lab.bench.before_after import side
from tallystick.lab.bench.webhooks import SECRET, burst
from tallystick.lab.bench.workload import new_payment
from tallystick.providers.simulator.receiver import SimulatorReceiver


def test_its_events_are_read_without_a_difference() -> None:
    # A difference is counted and written for each event, which is work that no real event makes.
    receiver = SimulatorReceiver("main", [SECRET])
    for delivery in burst([new_payment()[0]], 3, random.Random(1)):
        (found,) = receiver.translate(delivery.body)
        assert found.drift == () and found.api_version == API_VERSION and found.notice is not None


def test_a_checkout_with_events_without_a_version_sends_them_with_one() -> None:
    def event(_: object) -> bytes:
        return b'{"id":"evt_1","type":"charge.captured"}'

    said = msgspec.json.decode(side._with_api_version(event)(None))
    assert said == {"api_version": API_VERSION, "id": "evt_1", "type": "charge.captured"}
