"""The contract's chapter on the test acquirer: what it does for each payment method."""

from __future__ import annotations

from tallystick.contract import markdown
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
