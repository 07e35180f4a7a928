"""Every script that is about webhooks, as it arrives at the other end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tallystick.lab.acquirer.scripts import AFTERWARDS, DEPARTURES
from tallystick.lab.acquirer.signing import signature
from tallystick.providers.receiver import BadSignature, Notification
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tests.support.acquirer import WEBHOOK_SECRET, AcquirerProcess, acquirer
from tests.support.acquirer_calls import AMOUNT, charge, follow_up, lookup, new_key
from tests.support.event_sink import Arrival, Sink, sink
from tests.support.polling import eventually

LATE_MS = 150

#: A moment in which what must not come would have come.
QUIET_S = 4 * LATE_MS / 1000

RECEIVER = SimulatorReceiver("main", [WEBHOOK_SECRET])


@pytest.fixture(scope="module")
def inbox() -> Iterator[Sink]:
    with sink() as made:
        yield made


@pytest.fixture(scope="module")
def sending(inbox: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    with acquirer(books, webhook_url=inbox.url, late_ms=LATE_MS, retry_ms="50,100") as process:
        yield process


def pay(sending: AcquirerProcess, method: str, *, manual: bool = False) -> tuple[str, str, str]:
    """A new charge: payment id, charge id, attempt id."""
    body = charge(method, capture=not manual)
    answer = sending.call("POST", "/sim/charges", body, new_key())[1]
    return body["payment_id"], answer["charge_id"], body["attempt_id"]


def then(sending: AcquirerProcess, charge_id: str, action: str, amount: int | None = None) -> str:
    """A later call on a charge: its attempt."""
    body = follow_up(amount)
    assert sending.call("POST", f"/sim/charges/{charge_id}/{action}", body, new_key())[0] in (200, 402)
    return str(body["attempt_id"])


def read(arrival: Arrival) -> Notification:
    (notification,) = RECEIVER.receive(arrival.raw, arrival.headers, datetime.fromtimestamp(arrival.at, UTC))
    return notification


def quiet(inbox: Sink, payment_id: str) -> list[str]:
    """What came about a payment, after a time in which more would have come."""
    time.sleep(QUIET_S)  # nothing can be awaited: what must not come would come in this time
    return inbox.kinds(payment_id)


def test_every_event_says_whose_it_is_and_is_signed(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, charge_id, attempt_id = pay(sending, "sim_ok")
    (arrival,) = inbox.wait_for(payment_id, 1)
    found = read(arrival)
    assert (found.type, found.payment_id, found.merchant_id) == ("charge.captured", payment_id, "m")
    assert found.charge_reference == charge_id
    data = arrival.body["data"]
    assert (data["attempt_id"], data["reference"], data["status"]) == (attempt_id, charge_id, "approved")
    assert (data["amount"], data["currency"], data["effect"]) == (AMOUNT, "EUR", "captured")
    assert found.provider_event_id.startswith("evt_sim_")
    assert [each["id"] for each in sending.events(payment_id)] == [found.provider_event_id]


def test_each_step_of_a_life_is_told(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, charge_id, _ = pay(sending, "sim_ok", manual=True)
    then(sending, charge_id, "capture", AMOUNT + 1)
    then(sending, charge_id, "capture", 700)
    then(sending, charge_id, "cancel")
    then(sending, charge_id, "refunds", 300)
    then(sending, charge_id, "refunds", 500)
    expected = [
        "charge.authorized",
        "capture.declined",
        "charge.captured",
        "cancel.declined",
        "refund.succeeded",
        "refund.declined",
    ]
    inbox.wait_for(payment_id, len(expected))
    # The books have them in their order; each is delivered by itself.
    assert [event["type"] for event in sending.events(payment_id)] == expected
    assert Counter(quiet(inbox, payment_id)) == Counter(expected)


@pytest.mark.parametrize("method", ["sim_declined", "sim_insufficient_funds"])
def test_declines_are_told(sending: AcquirerProcess, inbox: Sink, method: str) -> None:
    payment_id, _, _ = pay(sending, method)
    assert [each.kind for each in inbox.wait_for(payment_id, 1)] == ["charge.declined"]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("complete", ["charge.action_required", "charge.captured"]),
        ("abandon", ["charge.action_required", "charge.declined"]),
        ("cancel", ["charge.action_required", "charge.declined", "charge.voided"]),
    ],
)
def test_what_the_customer_does_is_told(sending: AcquirerProcess, inbox: Sink, action: str, told: list[str]) -> None:
    payment_id, charge_id, _ = pay(sending, "sim_action_required")
    inbox.wait_for(payment_id, 1)
    if action == "cancel":
        then(sending, charge_id, action)
    else:
        sending.call("POST", f"/sim/charges/{charge_id}/{action}", {})
    inbox.wait_for(payment_id, len(told))
    assert sorted(quiet(inbox, payment_id)) == sorted(told)


def test_what_was_pending_is_told_without_anyone_asking(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, _, _ = pay(sending, "sim_pending")
    assert [each.kind for each in inbox.wait_for(payment_id, 1)] == ["charge.captured"]


@pytest.mark.parametrize("operation", ["capture", "cancel", "refund"])
def test_later_calls_that_were_pending_are_told(sending: AcquirerProcess, inbox: Sink, operation: str) -> None:
    payment_id, charge_id, _ = pay(sending, f"sim_{operation}_pending", manual=operation != "refund")
    path = "refunds" if operation == "refund" else operation
    then(sending, charge_id, path, None if operation == "cancel" else 400)
    last = {"capture": "charge.captured", "cancel": "charge.voided", "refund": "refund.succeeded"}[operation]
    first = "charge.captured" if operation == "refund" else "charge.authorized"
    assert sorted(each.kind for each in inbox.wait_for(payment_id, 2)) == sorted([first, last])


def test_duplicate(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, _, _ = pay(sending, "sim_webhook_duplicate")
    arrivals = inbox.wait_for(payment_id, 3)
    assert len(quiet(inbox, payment_id)) == 3
    assert len({read(each).provider_event_id for each in arrivals}) == len({each.raw for each in arrivals}) == 1


def test_reordered(sending: AcquirerProcess, inbox: Sink) -> None:
    # Paused, so that no event leaves where two calls are further apart than the wait of an event.
    sending.call("POST", "/sim/webhooks/pause", {})
    payment_id, charge_id, _ = pay(sending, "sim_webhook_reordered", manual=True)
    then(sending, charge_id, "capture", AMOUNT)
    then(sending, charge_id, "refunds", 100)
    sending.call("POST", "/sim/webhooks/resume", {})
    inbox.wait_for(payment_id, 3)
    # Here the order is what is promised: each is sent once the one after it was answered.
    assert quiet(inbox, payment_id) == ["refund.succeeded", "charge.captured", "charge.authorized"]
    last = sending.events(payment_id)[-1]
    assert inbox.about(payment_id)[0].at - last["created_at"] >= LATE_MS / 1000


def test_delayed(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, _, _ = pay(sending, "sim_webhook_delayed")
    (arrival,) = inbox.wait_for(payment_id, 1)
    assert arrival.at - sending.events(payment_id)[0]["created_at"] >= LATE_MS / 1000


def test_lost(sending: AcquirerProcess, inbox: Sink) -> None:
    payment_id, _, _ = pay(sending, "sim_webhook_lost")
    assert quiet(inbox, payment_id) == []
    assert [(each["state"], each["tries"]) for each in sending.events(payment_id)] == [("lost", 0)]


def test_forged(sending: AcquirerProcess, inbox: Sink) -> None:
    """The forgery fails our receiver; the twin passes it, and cannot be told apart but by its bytes."""
    payment_id, _, _ = pay(sending, "sim_webhook_forged")
    forged, right, twin = inbox.wait_for(payment_id, 3)
    with pytest.raises(BadSignature):
        read(forged)
    assert (forged.kind, right.kind) == ("charge.declined", "charge.captured")
    assert read(forged_as_signed(forged, right)).provider_event_id != read(right).provider_event_id
    assert read(twin).provider_event_id == read(right).provider_event_id
    assert (twin.raw != right.raw, twin.body["data"]["amount"]) == (True, AMOUNT + 1)
    eventually(lambda: len(_deliveries(sending, payment_id)) == 3)
    assert _deliveries(sending, payment_id) == ["forged", "original", "twin"]


def forged_as_signed(forged: Arrival, right: Arrival) -> Arrival:
    """The forger's event as if it had known the secret."""
    return Arrival(right.at, {"acquirer-signature": signature(WEBHOOK_SECRET, forged.raw, right.at)}, forged.raw)


def _deliveries(sending: AcquirerProcess, payment_id: str) -> list[str]:
    ids = {event["id"] for event in sending.events(payment_id)}
    return [each["kind"] for each in sending.deliveries() if each["event_id"] in ids]


@pytest.mark.parametrize("status", [200, 503])
def test_early(sending: AcquirerProcess, inbox: Sink, status: int) -> None:
    """The event is there, and answered, before the caller of the API hears anything."""
    slow_s = 0.3

    def answers(arrival: Arrival) -> int:
        if arrival.body["data"]["payment_id"] == body["payment_id"]:
            time.sleep(slow_s)  # the receiver takes so long
            return status
        return 200

    body = charge("sim_webhook_early", capture=False)
    inbox.answers = answers
    try:
        started = time.time()
        _, answer = sending.call("POST", "/sim/charges", body, new_key())
        answered_at = time.time()
    finally:
        inbox.answers = lambda _: 200
    first = inbox.about(body["payment_id"])[0]
    assert started <= first.at < answered_at - slow_s / 2
    assert first.kind == "charge.authorized"
    then(sending, answer["charge_id"], "capture", AMOUNT)
    captured_at = time.time()
    assert max(each.at for each in inbox.about(body["payment_id"]) if each.kind == "charge.captured") < captured_at


def test_early_waits_for_a_dead_receiver_no_longer_than_a_caller_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    nobody = Sink()
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    with acquirer(books, webhook_url=nobody.url) as process:
        started = time.monotonic()
        assert process.call("POST", "/sim/charges", charge("sim_webhook_early"), new_key())[0] == 200
        assert time.monotonic() - started < 10  # which is what a caller waits for an answer


def test_only_the_webhook_tells(sending: AcquirerProcess, inbox: Sink) -> None:
    """Whoever asks is told pending until the webhook has been accepted."""
    told: list[str] = []

    def answers(arrival: Arrival) -> int:
        if arrival.body["data"]["payment_id"] == body["payment_id"] and not told:
            told.append("refused once")
            time.sleep(0.1)  # the receiver takes so long
            return 500
        return 200

    body = charge("sim_webhook_only", capture=False)
    inbox.answers = answers
    try:
        made = sending.call("POST", "/sim/charges", body, new_key())[1]
        assert made["status"] == "pending"
        inbox.wait_for(body["payment_id"], 1)
        found = lookup(sending, body["attempt_id"])
        assert (found["status"], found["effect"]) == ("pending", None)
        inbox.wait_for(body["payment_id"], 2)
    finally:
        inbox.answers = lambda _: 200
    eventually(lambda: lookup(sending, body["attempt_id"])["status"] == "approved")
    attempt = then(sending, made["charge_id"], "capture", AMOUNT)
    assert lookup(sending, attempt)["status"] == "pending"
    assert inbox.wait_for(body["payment_id"], 3)[2].kind == "charge.captured"


TOLD_AFTERWARDS = {
    "sim_capture_fails_late": ["charge.captured", "capture.failed"],
    "sim_dispute_won": [
        "charge.captured",
        "dispute.opened",
        "dispute.funds_withdrawn",
        "dispute.under_review",
        "dispute.won",
    ],
    "sim_dispute_lost": [
        "charge.captured",
        "dispute.opened",
        "dispute.funds_withdrawn",
        "dispute.under_review",
        "dispute.lost",
    ],
    "sim_dispute_second": [
        "charge.captured",
        "dispute.opened",
        "dispute.funds_withdrawn",
        "dispute.under_review",
        "dispute.won",
        "dispute.funds_withdrawn",
    ],
    "sim_dispute_third": [
        "charge.captured",
        "dispute.opened",
        "dispute.funds_withdrawn",
        "dispute.under_review",
        "dispute.won",
        "dispute.funds_withdrawn",
        "dispute.funds_returned",
    ],
    "sim_dashboard_refund": ["charge.captured", "dashboard.refunded"],
    "sim_late_capture": ["charge.declined", "charge.captured"],
    "sim_expires": ["charge.authorized", "charge.expired"],
    "sim_dashboard_capture": ["charge.authorized", "dashboard.captured"],
    "sim_refund_fails_late": ["charge.captured", "refund.succeeded", "refund.failed"],
}

#: method -> captured, refunded, authorized, disputed, disputed_withdrawn in the end.
BOOKED_AFTERWARDS = {
    "sim_capture_fails_late": (0, 0, AMOUNT, 0, 0),
    "sim_dispute_won": (AMOUNT, 0, AMOUNT, AMOUNT, 0),
    "sim_dispute_lost": (AMOUNT, 0, AMOUNT, AMOUNT, AMOUNT),
    "sim_dispute_second": (AMOUNT, 0, AMOUNT, AMOUNT, AMOUNT),
    "sim_dispute_third": (AMOUNT, 0, AMOUNT, AMOUNT, 0),
    "sim_dashboard_refund": (AMOUNT, AMOUNT // 2, AMOUNT, 0, 0),
    "sim_late_capture": (AMOUNT, 0, AMOUNT, 0, 0),
    "sim_expires": (0, 0, 0, 0, 0),
    "sim_dashboard_capture": (AMOUNT, 0, AMOUNT, 0, 0),
    "sim_refund_fails_late": (AMOUNT, 0, AMOUNT, 0, 0),
}


@pytest.fixture(scope="module")
def happened(sending: AcquirerProcess, inbox: Sink) -> dict[str, str]:
    """A payment of each kind, once all was told, and after a time in which more would have come: they wait together."""
    made = {}
    for method in AFTERWARDS:
        made[method], charge_id, _ = pay(sending, method, manual=method in ("sim_expires", "sim_dashboard_capture"))
        if method == "sim_refund_fails_late":
            attempt = then(sending, charge_id, "refunds", 400)
            assert lookup(sending, attempt)["status"] == "approved"

    def are_told() -> bool:
        return all(len(inbox.about(made[method])) >= len(TOLD_AFTERWARDS[method]) for method in made)

    with suppress(AssertionError):  # each test says what its own lacks
        eventually(are_told)
    quiet(inbox, made[method])
    return made


@pytest.mark.parametrize("method", AFTERWARDS)
def test_what_happens_by_itself(sending: AcquirerProcess, inbox: Sink, happened: dict[str, str], method: str) -> None:
    payment_id = happened[method]
    # Each is delivered by itself: on a busy machine the capture's may arrive after the refund's.
    assert sorted(inbox.kinds(payment_id)) == sorted(TOLD_AFTERWARDS[method])
    (row,) = sending.charges(payment_id)
    amounts = tuple(row[name] for name in ("captured", "refunded", "authorized", "disputed", "disputed_withdrawn"))
    assert amounts == BOOKED_AFTERWARDS[method]
    assert all(read(each).notice is not None for each in inbox.about(payment_id))


@pytest.mark.parametrize("method", ["sim_expires", "sim_dashboard_capture"])
def test_what_happens_to_a_hold_happens_to_no_captured_charge(
    sending: AcquirerProcess, inbox: Sink, method: str
) -> None:
    payment_id, charge_id, _ = pay(sending, method, manual=True)
    then(sending, charge_id, "capture", 600)
    inbox.wait_for(payment_id, 2)
    assert sorted(quiet(inbox, payment_id)) == ["charge.authorized", "charge.captured"]  # in whichever order


def test_every_script_of_this_kind_is_tried_here() -> None:
    assert set(AFTERWARDS) == set(TOLD_AFTERWARDS) == set(BOOKED_AFTERWARDS)
    tried = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {method.removeprefix("sim_webhook_") for method in DEPARTURES} <= tried


def test_connections_are_kept(sending: AcquirerProcess, inbox: Sink) -> None:
    before = len(inbox.connections)
    for _ in range(100):
        pay(sending, "sim_ok")
    eventually(lambda: all(event["state"] != "waiting" for event in sending.events()))
    assert len(inbox.connections) - before < 40, "as many as may be under way at once, not one an event"
