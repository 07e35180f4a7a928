"""What a payment method makes the acquirer do: the whole grammar as a table. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple


class Behaviour(NamedTuple):
    """How one operation goes. ``executes``: the books record an effect (or a decline). ``answer``: what the caller
    sees of it: ok | slow | timeout | error | reset. ``outcome``: approved | declined | pending | requires_action."""

    executes: bool = True
    answer: str = "ok"
    outcome: str = "approved"
    decline_code: str | None = None


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
}

#: payment method -> (the operation that its script is about, what that operation does).
SCRIPTS: Final[dict[str, tuple[str, Behaviour]]] = {
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
}


def behaviour(payment_method: str, operation: str) -> Behaviour:
    """What an operation does under a payment method's script. KeyError for a method that is not in METHODS."""
    scripted, what = SCRIPTS[payment_method]
    return what if scripted == operation else PLAIN
