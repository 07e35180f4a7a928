"""What a payment method makes the acquirer do: the whole grammar as tables. Pure.

A method is one script of one kind: how a call goes (``sim_ok``, ``sim_capture_timeout_charged``), what happens by
itself afterwards (``sim_expires``), or how the events about its charge leave (``sim_webhook_lost``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

#: The version of its API: of the fields of answers and events, and of the values in them. Both name it.
API_VERSION: Final = "1"

#: How long a caller without an answer is kept waiting: longer than any sensible time-out.
HOLD_MS: Final = 60_000

#: The scripted delays of sim_slow and sim_pending.
SLOW_MS: Final = 3_000
PENDING_MS: Final = 2_000

#: Before each step of what happens by itself, and before delayed and reordered events: long enough for a payment to be
#: settled at the other end, short enough to watch.
LATE_MS: Final = 3_000

#: What is done to a charge. The first makes it.
Operation = Literal["authorize", "capture", "cancel", "refund"]
FollowUp = Literal["capture", "cancel", "refund"]

#: What the caller sees of an operation.
Answer = Literal["ok", "slow", "timeout", "error", "reset", "early"]

#: Each with its meaning.
ANSWERS: Final[Mapping[Answer, str]] = {
    "ok": "answered at once",
    "slow": f"answered after {SLOW_MS // 1000} s",
    "timeout": f"not answered: the connection is held for {HOLD_MS // 1000} s and then reset",
    "error": "answered with 500",
    "reset": "not answered: the connection is reset",
    "early": "answered after its own webhook was",
}

#: What becomes of an operation that executes.
Outcome = Literal["approved", "declined", "pending", "requires_action"]

#: Each with its meaning.
OUTCOMES: Final[Mapping[Outcome, str]] = {
    "approved": "approved",
    "declined": "declined",
    "pending": f"pending, and approved after {PENDING_MS // 1000} s",
    "requires_action": "requires action by the payer",
}


class Behaviour(NamedTuple):
    """How one operation goes. ``executes``: the books record an effect (or a decline)."""

    executes: bool = True
    answer: Answer = "ok"
    outcome: Outcome = "approved"
    decline_code: str | None = None


#: What happens by itself, or by a control.
Step = Literal[
    "fail",
    "expire",
    "late_capture",
    "dashboard_capture",
    "dashboard_refund",
    "dispute_open",
    "dispute_withdraw",
    "dispute_review",
    "dispute_win",
    "dispute_lose",
    "dispute_return",
]


class Afterwards(NamedTuple):
    """What happens by itself, step after step, once a charge is ``when``:
    authorized | captured | refunded | declined."""

    when: str
    steps: tuple[Step, ...]


PLAIN: Final = Behaviour()

_FAULTS: Final = {
    "declined": Behaviour(outcome="declined", decline_code="card_declined"),
    "slow": Behaviour(answer="slow"),
    "timeout_charged": Behaviour(answer="timeout"),
    "timeout_not_charged": Behaviour(executes=False, answer="timeout"),
    "error_charged": Behaviour(answer="error"),
    "error_not_charged": Behaviour(executes=False, answer="error"),
    "reset_charged": Behaviour(answer="reset"),
    "pending": Behaviour(outcome="pending"),
}

_AUTHORIZE_ONLY: Final = {
    "ok": PLAIN,
    "insufficient_funds": Behaviour(outcome="declined", decline_code="insufficient_funds"),
    "action_required": Behaviour(outcome="requires_action"),
    "late_capture": _FAULTS["declined"],
}

#: A script of every operation on a charge, not of one.
EVERY: Final = "every"

_EVERY: Final = {
    "webhook_early": Behaviour(answer="early"),
    "webhook_only": Behaviour(outcome="pending"),
}

_DISPUTED: Final[tuple[Step, ...]] = ("dispute_open", "dispute_withdraw", "dispute_review")

#: Each with its meaning.
STEPS: Final[Mapping[Step, str]] = {
    "fail": "it fails",
    "expire": "the hold expires",
    "late_capture": "the charge is captured",
    "dashboard_capture": "it is captured in the acquirer's dashboard",
    "dashboard_refund": "half of it is refunded in the acquirer's dashboard",
    "dispute_open": "the payer's bank opens a dispute",
    "dispute_withdraw": "the money is withdrawn",
    "dispute_review": "the dispute is under review",
    "dispute_win": "the merchant wins and has the money back",
    "dispute_lose": "the merchant loses",
    "dispute_return": "the money is returned",
}

#: payment method -> what happens by itself, ``LATE_MS`` before each step.
AFTERWARDS: Final[dict[str, Afterwards]] = {
    "sim_refund_fails_late": Afterwards("refunded", ("fail",)),
    "sim_capture_fails_late": Afterwards("captured", ("fail",)),
    "sim_dispute_won": Afterwards("captured", (*_DISPUTED, "dispute_win")),
    "sim_dispute_lost": Afterwards("captured", (*_DISPUTED, "dispute_lose")),
    # The card's bank asks once more, after the verdict: the money goes a second time.
    "sim_dispute_second": Afterwards("captured", (*_DISPUTED, "dispute_win", "dispute_withdraw")),
    # And it comes back a second time.
    "sim_dispute_third": Afterwards("captured", (*_DISPUTED, "dispute_win", "dispute_withdraw", "dispute_return")),
    "sim_expires": Afterwards("authorized", ("expire",)),
    "sim_dashboard_capture": Afterwards("authorized", ("dashboard_capture",)),
    "sim_dashboard_refund": Afterwards("captured", ("dashboard_refund",)),
    "sim_late_capture": Afterwards("declined", ("late_capture",)),
}

#: How events can leave, each with its meaning: they are ….
WAYS: Final = {
    "duplicate": "sent three times each, side by side",
    "reordered": f"sent last one first, once nothing happened to the charge for {LATE_MS // 1000} s",
    "delayed": f"sent {LATE_MS // 1000} s late",
    "lost": "never sent",
    "forged": "sent between a forgery with a bad signature and another body, well signed, under the same id",
}

#: payment method -> how the events about its charge leave; all others leave at once, one time each.
DEPARTURES: Final[dict[str, str]] = {f"sim_webhook_{way}": way for way in WAYS}

#: The method whose operations the lookup calls pending until the webhook about them has arrived.
KNOWN_BY_WEBHOOK_ONLY: Final = "sim_webhook_only"

#: payment method -> (the operation that its script is about, what that operation does).
SCRIPTS: Final[dict[str, tuple[str, Behaviour]]] = {
    **dict.fromkeys((*AFTERWARDS, *DEPARTURES), ("authorize", PLAIN)),
    **{f"sim_{name}": (EVERY, behaviour) for name, behaviour in _EVERY.items()},
    **{f"sim_{name}": ("authorize", behaviour) for name, behaviour in (_AUTHORIZE_ONLY | _FAULTS).items()},
    **{
        f"sim_{operation}_{name}": (operation, behaviour)
        for operation in ("capture", "cancel", "refund")
        for name, behaviour in _FAULTS.items()
    },
}

#: Every payment method there is.
METHODS: Final = frozenset(SCRIPTS)

DECLINE_MESSAGES: Final = {
    "card_declined": "The card was declined.",
    "insufficient_funds": "The card has insufficient funds.",
    "authentication_abandoned": "The customer did not complete the authentication.",
    "authentication_canceled": "The payment was canceled before the customer acted.",
    "charge_already_captured": "The charge was captured already.",
    "charge_already_canceled": "The charge was canceled already.",
    "charge_not_captured": "The charge was not captured.",
    "charge_not_authorized": "The charge holds no money.",
    "amount_too_large": "The amount is above what is left.",
    "refund_failed": "The card's bank sent the refund back.",
    "capture_failed": "The card's bank refused the capture after all.",
}


def behaviour(payment_method: str, operation: str) -> Behaviour:
    """What an operation does under a payment method's script. KeyError for a method that is not in METHODS."""
    scripted, what = SCRIPTS[payment_method]
    return what if scripted in (operation, EVERY) else PLAIN
