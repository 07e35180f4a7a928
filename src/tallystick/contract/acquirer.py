"""The contract's chapter on the test acquirer: what it does for each payment method."""

from __future__ import annotations

from tallystick.contract import markdown
from tallystick.lab.acquirer.scripts import AFTERWARDS, DEPARTURES, EVERY, PLAIN, SCRIPTS, Behaviour


def acquirer_scripts() -> str:
    """Every payment method of the test acquirer."""
    rows = [(f"`{method}`", _said(method)) for method in sorted(SCRIPTS)]
    return "\n\n".join(
        (
            "## The test acquirer's scripts",
            "What the test acquirer does for each `payment_method`. It approves at once what is not mentioned."
            " *executed*: its books have the effect or the decline. *answer*: how it answers the caller, if not"
            " promptly.",
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
        said.append(f"once {when}, by itself: {', then '.join(step.replace('_', ' ') for step in steps)}")
    if method in DEPARTURES:
        said.append(f"its events leave {DEPARTURES[method]}")
    return "; ".join(said) or "approves everything"


def _behaviour(behaviour: Behaviour) -> str:
    words = [behaviour.outcome.replace("_", " ") if behaviour.executes else "nothing happens"]
    if behaviour.decline_code is not None:
        words.append(f"`{behaviour.decline_code}`")
    if behaviour.executes and behaviour.answer != "ok":
        words.append("executed")
    if behaviour.answer != "ok":
        words.append(f"answer: {behaviour.answer}")
    return ", ".join(words)
