"""The controls: what a person can make the acquirer do, each as a call. Pure.

The pages show them as buttons, ``GET /sim/controls`` lists them, and ``tallystick trigger`` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct


class Control(Struct, frozen=True, kw_only=True):
    """One row. ``path`` and ``body``: the call; ``{id}`` is the charge, dispute or operation. ``events``: what it
    makes, the first at once, and each other one after a wait of ``late_ms``. ``needs``: in words."""

    name: str
    label: str
    does: str
    needs: str
    path: str
    body: Mapping[str, Any] = {}
    events: tuple[str, ...] = ()


_CHARGE: Final = "/sim/charges/{id}"
_DISPUTE: Final = "/sim/disputes/{id}"
_FAIL: Final = "/sim/operations/{id}/fail"
_TO_VERDICT: Final = ("dispute.opened", "dispute.funds_withdrawn", "dispute.under_review")

_WAITS: Final = "a payment that waits for its customer"
_HELD: Final = "an authorized payment"
_CAPTURED: Final = "a captured payment"
_OPEN: Final = "an open dispute"

#: About a charge.
ON_CHARGES: Final = (
    Control(
        name="complete",
        label="Customer completes",
        does="the customer completes the payment",
        needs=_WAITS,
        path=f"{_CHARGE}/complete",
        events=("charge.captured",),  # or charge.authorized, where it is captured later
    ),
    Control(
        name="abandon",
        label="Customer fails",
        does="the customer fails or leaves: the payment is declined",
        needs=_WAITS,
        path=f"{_CHARGE}/abandon",
        events=("charge.declined",),
    ),
    Control(
        name="expire",
        label="Hold expires",
        does="the hold expires",
        needs=_HELD,
        path=f"{_CHARGE}/expire",
        events=("charge.expired",),
    ),
    Control(
        name="dashboard_capture",
        label="Capture in dashboard",
        does="somebody captures the whole hold in the acquirer's dashboard",
        needs=_HELD,
        path=f"{_CHARGE}/dashboard-capture",
        events=("dashboard.captured",),
    ),
    Control(
        name="late_capture",
        label="Captured after all",
        does="a declined payment is captured after all",
        needs="a declined payment",
        path=f"{_CHARGE}/late-capture",
        events=("charge.captured",),
    ),
    Control(
        name="dashboard_refund",
        label="Refund half in dashboard",
        does="somebody refunds half of what is left in the acquirer's dashboard",
        needs="a captured payment with money left",
        path=f"{_CHARGE}/dashboard-refund",
        events=("dashboard.refunded",),
    ),
    Control(
        name="dispute",
        label="Dispute",
        does="the payer disputes the whole payment; nothing follows by itself",
        needs=_CAPTURED,
        path=f"{_CHARGE}/dispute",
        events=_TO_VERDICT[:1],
    ),
    Control(
        name="dispute_won",
        label="Dispute, then win",
        does="the payer disputes; withdrawal, review and a win follow by themselves",
        needs=f"{_CAPTURED} without an open dispute",
        path=f"{_CHARGE}/dispute",
        body={"outcome": "won"},
        events=(*_TO_VERDICT, "dispute.won"),
    ),
    Control(
        name="dispute_lost",
        label="Dispute, then lose",
        does="the payer disputes; withdrawal, review and a loss follow by themselves",
        needs=f"{_CAPTURED} without an open dispute",
        path=f"{_CHARGE}/dispute",
        body={"outcome": "lost"},
        events=(*_TO_VERDICT, "dispute.lost"),
    ),
    Control(
        name="dispute_second",
        label="Dispute, win, then lose",
        does="the payer disputes; a win follows by itself, and then a second withdrawal",
        needs=f"{_CAPTURED} without an open dispute",
        path=f"{_CHARGE}/dispute",
        body={"outcome": "second"},
        events=(*_TO_VERDICT, "dispute.won", "dispute.funds_withdrawn"),
    ),
)

#: About a dispute: step -> the control. ``dispute_won`` and ``dispute_lost`` decide the dispute that is there.
ON_DISPUTES: Final = {
    "withdraw": Control(
        name="dispute_withdraw",
        label="Withdraw the money",
        does="the disputed money is withdrawn",
        needs="a dispute whose money is with the merchant",
        path=f"{_DISPUTE}/withdraw",
        events=("dispute.funds_withdrawn",),
    ),
    "review": Control(
        name="dispute_review",
        label="Review",
        does="the dispute is under review",
        needs="a dispute that was just opened",
        path=f"{_DISPUTE}/review",
        events=("dispute.under_review",),
    ),
    "win": Control(
        name="dispute_won",
        label="Win",
        does="the merchant wins the dispute",
        needs=_OPEN,
        path=f"{_DISPUTE}/win",
        events=("dispute.won",),
    ),
    "lose": Control(
        name="dispute_lost",
        label="Lose",
        does="the merchant loses the dispute",
        needs=_OPEN,
        path=f"{_DISPUTE}/lose",
        events=("dispute.lost",),
    ),
    "return": Control(
        name="dispute_return",
        label="Return the money",
        does="the disputed money is returned after the verdict",
        needs="a decided dispute whose money was withdrawn",
        path=f"{_DISPUTE}/return",
        events=("dispute.funds_returned",),
    ),
}

#: About an operation.
REFUND_FAILS: Final = Control(
    name="refund_failed",
    label="Fail this refund late",
    does="a refund that succeeded comes back",
    needs="a refund that succeeded, through the API",
    path=_FAIL,
    events=("refund.failed",),
)
CAPTURE_FAILS: Final = Control(
    name="capture_failed",
    label="Fail the capture late",
    does="money that was captured never comes",
    needs=_CAPTURED,
    path=_FAIL,
    events=("capture.failed",),
)

_HEALTH: Final = "/sim/health"
_ANY_TIME: Final = "nothing"

#: Without one no event is sent, so there is nothing to pause.
A_WEBHOOK_URL: Final = "a webhook URL"

#: About the acquirer as a whole.
ON_THE_ACQUIRER: Final = (
    Control(
        name="pause_webhooks",
        label="Pause webhooks",
        does="no webhook is sent until they are resumed",
        needs=A_WEBHOOK_URL,
        path="/sim/webhooks/pause",
    ),
    Control(
        name="resume_webhooks",
        label="Resume webhooks",
        does="what waited is sent now",
        needs=A_WEBHOOK_URL,
        path="/sim/webhooks/resume",
    ),
    Control(
        name="resend_webhooks",
        label="Send all again",
        does="every event is sent once more, at once",
        needs=A_WEBHOOK_URL,
        path="/sim/webhooks/resend",
    ),
    Control(
        name="next_unavailable",
        label="Next: 503",
        does="the next instruction is answered 503; nothing is booked",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "unavailable"},
    ),
    Control(
        name="next_busy",
        label="Next: 429",
        does="the next instruction is answered 429 with Retry-After; nothing is booked",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "busy"},
    ),
    Control(
        name="next_timeout",
        label="Next: time-out",
        does="the next instruction is held, then reset; nothing is booked",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "timeout"},
    ),
    Control(
        name="next_reset",
        label="Next: reset",
        does="the connection of the next instruction is reset; nothing is booked",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "reset"},
    ),
    Control(
        name="next_slow",
        label="Next: slow",
        does="the next instruction is booked and answered, slowly",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "slow"},
    ),
    Control(
        name="healthy",
        label="Healthy",
        does="the next instructions are answered as their scripts say",
        needs=_ANY_TIME,
        path=_HEALTH,
        body={"next": "healthy"},
    ),
)

#: All controls. Two of one name do one thing, with and without a dispute that is there.
CONTROLS: Final = (*ON_CHARGES, *ON_DISPUTES.values(), REFUND_FAILS, CAPTURE_FAILS, *ON_THE_ACQUIRER)
