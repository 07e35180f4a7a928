"""The contract's chapters on the test acquirer: what it does for each payment method, and what it can be made to do."""

from __future__ import annotations

import msgspec

from tallystick.contract import markdown
from tallystick.lab.acquirer.control_table import CONTROLS, Control
from tallystick.lab.acquirer.scripts import (
    AFTERWARDS,
    ANSWERS,
    DEPARTURES,
    EVERY,
    KNOWN_BY_WEBHOOK_ONLY,
    LATE_MS,
    OUTCOMES,
    PLAIN,
    SCRIPTS,
    STEPS,
    WAYS,
    Behaviour,
)


def acquirer_scripts() -> str:
    """Every payment method of the test acquirer."""
    rows = [(f"`{method}`", _said(method)) for method in sorted(SCRIPTS)]
    return "\n\n".join(
        (
            "## The test acquirer's scripts",
            "What the test acquirer does for each `payment_method`. What is not mentioned is approved and answered at"
            " once, and its webhook is sent at once. What happens by itself takes"
            f" {LATE_MS // 1000} s before each step.",
            markdown.table(("payment method", "what it does"), rows),
        )
    )


def acquirer_controls() -> str:
    """Every control of the test acquirer."""
    rows = [(f"`{each.name}`", each.does, each.needs, _call(each), _events(each)) for each in CONTROLS]
    return "\n\n".join(
        (
            "## The test acquirer's controls",
            "What the test acquirer can be made to do: by a button of its back office (`/`), by a call, and by"
            " `tallystick trigger NAME [PAYMENT]` ([guide](../guides/test-acquirer.md)). Of several webhooks the first"
            f" is sent at once, and each other one {LATE_MS // 1000} s after the one before it. Where two controls"
            " have one name, one is for a charge with an open dispute, and one for a charge without. `dispute` and"
            " `dashboard-refund` take an `amount`, and `/sim/health` takes `calls`, the number of instructions."
            " `complete` makes `charge.authorized` where the money is captured later.",
            markdown.table(("control", "what happens", "needs", "call", "webhooks"), rows),
            "A payment that waits for its customer has a `next_action` with an absolute `url`. It opens the page on"
            " which a customer completes or fails the payment.",
        )
    )


def _call(control: Control) -> str:
    body = f" `{msgspec.json.encode(control.body).decode()}`" if control.body else ""
    return f"`POST {control.path}`{body}"


def _events(control: Control) -> str:
    return ", ".join(f"`{event}`" for event in control.events) or "none"


def _said(method: str) -> str:
    operation, behaviour = SCRIPTS[method]
    said = []
    if behaviour != PLAIN:
        said.append(f"{'every operation' if operation == EVERY else operation}: {_behaviour(behaviour)}")
    if method in AFTERWARDS:
        when, steps = AFTERWARDS[method]
        said.append(f"once {when}, by itself: {', then '.join(STEPS[step] for step in steps)}")
    if method in DEPARTURES:
        said.append(f"its webhooks are {WAYS[DEPARTURES[method]]}")
    if method == KNOWN_BY_WEBHOOK_ONLY:
        said.append("the look-up says pending until the webhook about it has arrived")
    return "; ".join(said) or "approves everything"


def _behaviour(behaviour: Behaviour) -> str:
    outcome = OUTCOMES[behaviour.outcome] if behaviour.executes else "nothing happens"
    if behaviour.decline_code is not None:
        outcome += f" (`{behaviour.decline_code}`)"
    return outcome if behaviour.answer == "ok" else f"{outcome}, and {ANSWERS[behaviour.answer]}"
