"""What a provider's verdict means to an attempt that is already stored: the published matrix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tallystick.domain.lifecycles.attempt import ATTEMPT, ATTEMPT_OPEN


class VerdictMeaning(StrEnum):
    """What a provider's verdict means to an attempt that is already stored (the published matrix)."""

    APPLY = "apply"  # a legal edge: commit it
    SAME = "same"  # says what we hold already: a duplicate, or no news
    CONFLICT = "conflict"  # contradicts what we hold: keep a rejection, raise an alert
    LATE_EFFECT = "late_effect"  # money arrived on a closed edge: post to suspense, raise an alert


VERDICTS: Final = (
    "approved",
    "declined",
    "pending",
    "requires_action",
    "unknown",
    "not_found",
    "not_sent",
    "reversed",
    "key_taken",
)


#: ``unknown``, ``pending`` and ``not_sent`` say nothing against a state that already holds an outcome.
_NEVER_OVERRIDES: Final = frozenset({"unknown", "pending", "not_sent", "requires_action"})


def meaning_of(state: str, verdict: str) -> VerdictMeaning:
    """How a stored attempt in ``state`` reads ``verdict``; amounts are compared by the caller."""
    if state == verdict:
        return VerdictMeaning.SAME
    if ATTEMPT.edge(state, verdict) is not None:
        return VerdictMeaning.APPLY
    if verdict == "key_taken":
        # That there is an effect under the key contradicts an end that said that there is none.
        return VerdictMeaning.CONFLICT if state == "failed" else VerdictMeaning.SAME
    if verdict in _NEVER_OVERRIDES:
        return VerdictMeaning.SAME
    if verdict == "not_found":
        # After an outcome it contradicts the provider's own word; before one (not_sent, failed) it agrees with us.
        return VerdictMeaning.CONFLICT if state in ("approved", "declined", "reversed") else VerdictMeaning.SAME
    if verdict == "reversed":
        # Of an attempt without an outcome it says that nothing will come of it; after a decline it is no news.
        return VerdictMeaning.APPLY if state in ATTEMPT_OPEN else VerdictMeaning.SAME
    if verdict == "approved":
        # It was approved before it was reversed: overtaken news.
        return VerdictMeaning.SAME if state == "reversed" else VerdictMeaning.LATE_EFFECT
    # A decline after a failure: nothing happened either way.
    return VerdictMeaning.CONFLICT if state == "approved" else VerdictMeaning.SAME
