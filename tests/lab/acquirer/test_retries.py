"""What the receiver did not accept is sent again: when, for how long, and across restarts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tallystick.lab.acquirer.options import RETRY_S, webhooks
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import charge, new_key
from tests.support.event_sink import Arrival, Sink, sink
from tests.support.polling import eventually

#: Six hours of retries are the least that a provider gives a receiver.
SIX_HOURS_S = 6 * 3_600


def test_the_usual_schedule_goes_on_for_more_than_six_hours() -> None:
    assert RETRY_S[:8] == (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400)
    assert sum(RETRY_S[:8]) > SIX_HOURS_S
    assert list(RETRY_S) == sorted(RETRY_S)


def test_the_schedule_can_be_shortened() -> None:
    usual, shortened = webhooks("http://h/", "s", None, 1.0), webhooks("http://h/", "s", None, 0.001)
    assert usual is not None and shortened is not None
    assert usual.retry_ms == tuple(wait * 1_000 for wait in RETRY_S)
    assert shortened.retry_ms == tuple(RETRY_S)
    given = webhooks("http://h/", "s", "10,20", 1.0)
    assert given is not None and given.retry_ms == (10, 20)
    assert webhooks(None, "", None, 1.0) is None


@pytest.mark.parametrize(
    "given",
    [
        ("ftp://h/", "s", None, 1.0),
        ("http://h/", "", None, 1.0),
        ("http://h/", "s", "soon", 1.0),
        ("http://h/", "s", "-1", 1.0),
        ("http://h/", "s", None, 0.0),
    ],
)
def test_what_makes_no_schedule_is_refused(given: tuple[str, str, str | None, float]) -> None:
    with pytest.raises(ValueError):
        webhooks(*given)


def test_a_receiver_that_was_down_gets_everything_in_the_end(tmp_path: Path) -> None:
    """5 s, 30 s, 2 min and 10 min a thousand times faster: down for the first three, answering 500 to the next."""
    inbox = Sink()
    with acquirer(tmp_path / "books.sqlite", webhook_url=inbox.url, time_scale=0.001) as sending:
        payments = [charge() for _ in range(20)]
        for body in payments:
            assert sending.call("POST", "/sim/charges", body, new_key())[0] == 200
        eventually(lambda: all(event["tries"] >= 3 for event in sending.events()))
        refused: set[str] = set()

        def once_500(arrival: Arrival) -> int:
            known = arrival.body["id"] in refused
            refused.add(arrival.body["id"])
            return 200 if known else 500

        inbox.answers = once_500
        inbox.up()
        eventually(lambda: all(event["state"] == "delivered" for event in sending.events()))
        inbox.down()
        deliveries = sending.deliveries()
        for event in sending.events():
            tries = [each for each in deliveries if each["event_id"] == event["id"]]
            assert [each["status"] for each in tries] == [None] * (len(tries) - 2) + [500, 200]
            assert {each["error"] for each in tries[:-2]} == {"ConnectionRefusedError"}
            waits = [later["sent_at"] - sooner["sent_at"] for sooner, later in pairwise(tries)]
            for wait, least_s in zip(waits, RETRY_S, strict=False):
                assert wait >= least_s / 1_000
            assert event["tries"] == len(tries)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AcquirerProcess, Sink]]:
    """An acquirer that tries again at once, and its receiver."""
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    with sink() as inbox, acquirer(books, webhook_url=inbox.url, retry_ms="10,10,10") as sending:
        yield sending, inbox


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 500, 503])
def test_only_a_2xx_is_an_acceptance(quick: tuple[AcquirerProcess, Sink], status: int) -> None:
    sending, inbox = quick
    body = charge()
    inbox.answers = lambda _: status if len(inbox.about(body["payment_id"])) < 2 else 204
    sending.call("POST", "/sim/charges", body, new_key())
    eventually(lambda: sending.events(body["payment_id"])[0]["state"] == "delivered")
    [event] = sending.events(body["payment_id"])
    answers = [each["status"] for each in sending.deliveries() if each["event_id"] == event["id"]]
    assert answers == [status, status, 204]


def test_after_the_last_wait_it_is_given_up_and_can_be_resent(tmp_path: Path) -> None:
    with sink() as inbox, acquirer(tmp_path / "books.sqlite", webhook_url=inbox.url, retry_ms="10,10") as sending:
        inbox.answers = lambda _: 500
        sending.call("POST", "/sim/charges", charge(), new_key())
        eventually(lambda: sending.events()[0]["state"] == "given_up")
        assert (sending.events()[0]["tries"], len(inbox.arrivals)) == (3, 3)
        inbox.answers = lambda _: 200
        report = sending.burst(ids=[sending.events()[0]["id"]])
        assert report["kinds"] == {"original": {"sent": 1, "answers": {"200": 1}}}
        assert sending.events()[0]["state"] == "delivered"


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_what_is_due_outlives_the_acquirer(tmp_path: Path, ending: str) -> None:
    inbox = Sink()
    books = tmp_path / "books.sqlite"
    with acquirer(books, webhook_url=inbox.url, retry_ms="600000", late_ms=60_000) as sending:
        for method in ("sim_ok", "sim_webhook_lost"):
            sending.call("POST", "/sim/charges", charge(method), new_key())
        eventually(lambda: sending.events()[0]["tries"] == 1)
        due_at = sending.events()[0]["due_at"]
        sending.call("POST", "/sim/charges", charge("sim_webhook_delayed"), new_key())
        getattr(sending, ending)()
    with closing(sqlite3.connect(books)) as db, db:  # the minute of the third event is over
        assert db.execute("UPDATE event SET due_at = ? WHERE sequence = 3", (time.time(),)).rowcount == 1
    inbox.up()
    with acquirer(books, webhook_url=inbox.url, retry_ms="600000") as again:
        assert again.events()[0]["due_at"] == due_at, "the wait goes on where it was"
        eventually(lambda: again.events()[2]["state"] == "delivered")
        assert [event["state"] for event in again.events()] == ["waiting", "lost", "delivered"]
        assert [each.body["id"] for each in inbox.arrivals] == [again.events()[2]["id"]]
    inbox.down()


def test_a_pause_holds_everything_back(tmp_path: Path) -> None:
    with sink() as inbox, acquirer(tmp_path / "books.sqlite", webhook_url=inbox.url) as sending:
        assert sending.call("POST", "/sim/webhooks/pause", {}) == (200, {"paused": True})
        for _ in range(5):
            sending.call("POST", "/sim/charges", charge(), new_key())
        assert [event["state"] for event in sending.events()] == ["waiting"] * 5
        assert inbox.arrivals == []
        assert sending.call("POST", "/sim/webhooks/resume", {}) == (200, {"paused": False})
        eventually(lambda: all(event["state"] == "delivered" for event in sending.events()))
        assert len(inbox.arrivals) == 5


def test_a_receiver_that_never_answers_keeps_no_caller_waiting(tmp_path: Path) -> None:
    """More events than connections, each held: the API goes on as if nothing were the matter."""
    with sink() as inbox, acquirer(tmp_path / "books.sqlite", webhook_url=inbox.url) as sending:
        held = True

        def hold(_: object) -> int:
            eventually(lambda: not held)
            return 200

        inbox.answers = hold
        for _ in range(60):
            assert sending.call("POST", "/sim/charges", charge(), new_key(), timeout_s=10)[0] == 200
        assert {event["state"] for event in sending.events()} == {"waiting"}
        held = False
        eventually(lambda: all(event["state"] == "delivered" for event in sending.events()))
