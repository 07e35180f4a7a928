"""The burst adds up: what was wished for is what was sent, and what was sent is what was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tallystick.lab.acquirer.burst import BurstOptions, plan
from tallystick.providers.receiver import BadSignature
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tests.support.acquirer import WEBHOOK_SECRET, AcquirerProcess, acquirer
from tests.support.acquirer_calls import charge, new_key
from tests.support.event_sink import Arrival, Sink, sink

EVENTS = 200
FEW = 20
RECEIVER = SimulatorReceiver("main", [WEBHOOK_SECRET])

WISH = BurstOptions(duplicates=0.3, shuffled=0.2, forged=0.01, connections=16, seed=7)


def as_the_platform_does(arrival: Arrival) -> int:
    try:
        RECEIVER.receive(arrival.raw, arrival.headers, datetime.now(UTC))
    except BadSignature:
        return 401
    return 200


@pytest.fixture
def inbox() -> Iterator[Sink]:
    with sink() as made:
        made.answers = as_the_platform_does
        yield made


@contextmanager
def holding(books: Path, url: str, events: int) -> Iterator[AcquirerProcess]:
    """An acquirer that keeps so many events until it is asked for them."""
    with acquirer(books, webhook_url=url, retry_ms="60000,60000,60000") as process:
        process.call("POST", "/sim/webhooks/pause", {})
        for _ in range(events):
            process.call("POST", "/sim/charges", charge(), new_key())
        yield process


@pytest.fixture
def held(tmp_path: Path, inbox: Sink) -> Iterator[AcquirerProcess]:
    with holding(tmp_path / "books.sqlite", inbox.url, EVENTS) as process:
        yield process


@pytest.fixture
def held_few(tmp_path: Path, inbox: Sink) -> Iterator[AcquirerProcess]:
    with holding(tmp_path / "books.sqlite", inbox.url, FEW) as process:
        yield process


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    """One for wishes that are refused."""
    with holding(tmp_path_factory.mktemp("acquirer") / "books.sqlite", "http://127.0.0.1:9/", 2) as process:
        yield process


def test_a_burst_adds_up(held: AcquirerProcess, inbox: Sink) -> None:
    report = held.burst(duplicates=0.3, shuffle=0.2, forged=0.01, connections=16, seed=7)
    assert (report["events"], report["out_of_order"], report["connections"]) == (EVENTS, 40, 16)
    assert report["kinds"] == {
        "original": {"sent": 200, "answers": {"200": 200}},
        "duplicate": {"sent": 60, "answers": {"200": 60}},
        "forged": {"sent": 2, "answers": {"401": 2}},
    }
    assert report["sent"] == report["planned"] == len(inbox.arrivals) == 262
    assert Counter(arrival.status for arrival in inbox.arrivals) == {200: 260, 401: 2}
    assert len({arrival.body["id"] for arrival in inbox.arrivals if arrival.status == 200}) == EVENTS
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] <= report["latency_ms"]["max"]
    assert len(inbox.connections) <= 16
    events = held.events()
    assert {event["state"] for event in events} == {"delivered"}
    assert Counter(each["kind"] for each in held.deliveries()) == {"original": 200, "duplicate": 60, "forged": 2}
    held.call("POST", "/sim/webhooks/resume", {})
    assert held.events() == events, "what a burst delivered is not due any more"


def test_a_burst_is_of_the_events_that_were_chosen(held_few: AcquirerProcess, inbox: Sink) -> None:
    assert held_few.burst(since=15)["events"] == 5
    wanted = [event["id"] for event in held_few.events()[10:13]]
    before = len(inbox.arrivals)
    assert held_few.burst(ids=wanted, connections=1)["sent"] == 3
    assert [arrival.body["id"] for arrival in inbox.arrivals[before:]] == wanted
    assert held_few.burst(since=FEW)["sent"] == 0


def test_what_a_burst_could_not_deliver_stays_due(held_few: AcquirerProcess, inbox: Sink) -> None:
    inbox.answers = lambda _: 503
    report = held_few.burst(since=10)
    assert report["kinds"]["original"] == {"sent": 10, "answers": {"503": 10}}
    assert [event["tries"] for event in held_few.events()] == [0] * 10 + [1] * 10
    inbox.down()
    lost = held_few.burst(since=15)
    assert lost["kinds"]["original"] == {"sent": 5, "answers": {"none": 5}}
    assert {event["state"] for event in held_few.events()} == {"waiting"}


@pytest.mark.parametrize(
    "options",
    [{"duplicates": 1.5}, {"connections": 0}, {"connections": 10_000}, {"ids": [1]}, {"since": -1}, {"nonsense": 1}],
)
def test_a_wish_that_cannot_be_is_refused(asked: AcquirerProcess, options: dict[str, object]) -> None:
    assert asked.call("POST", "/sim/webhooks/resend", options)[0] == 400


def test_a_plan_is_what_was_wished_for_and_the_same_for_a_seed() -> None:
    events = [(number, b'{"id":"e","type":"t","data":{"status":"approved"}}') for number in range(1_000)]
    shots, moved = plan(events, WISH)
    kinds = Counter(shot.kind for shot in shots)
    assert (kinds, moved) == ({"original": 1_000, "duplicate": 300, "forged": 10}, 200)
    order = [shot.sequence for shot in shots if shot.kind == "original"]
    assert sum(place != sequence for place, sequence in enumerate(order)) == 200
    assert sorted(order) == list(range(1_000))
    side_by_side = sum(
        later.kind == "duplicate" and later.sequence == sooner.sequence for sooner, later in pairwise(shots)
    )
    assert side_by_side > 150
    again, _ = plan(events, WISH)
    assert [(shot.sequence, shot.kind) for shot in again] == [(shot.sequence, shot.kind) for shot in shots]
