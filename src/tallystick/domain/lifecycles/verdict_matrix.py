"""What a provider's verdict means for a stored attempt: the published matrix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, get_args

from tallystick.domain.lifecycles.attempt import ATTEMPT, ATTEMPT_OPEN
from tallystick.domain.verdicts import VerdictName


class VerdictMeaning(StrEnum):
    """What a provider's verdict means for a stored attempt."""

    APPLY = "apply"  # a legal edge: commit it
    SAME = "same"  # agrees with the stored state
    CONFLICT = "conflict"  # contradicts the stored state: keep a rejection, raise an alert
    LATE_EFFECT = "late_effect"  # an effect on a closed attempt: post money to suspense, raise an alert


VERDICTS: Final[tuple[VerdictName, ...]] = get_args(VerdictName)

#: These say nothing against a state that already has an outcome.
_NEVER_OVERRIDES: Final[frozenset[VerdictName]] = frozenset({"unknown", "pending", "not_sent", "requires_action"})


def meaning_of(state: str, verdict: VerdictName) -> VerdictMeaning:
    """The meaning of ``verdict`` for a stored attempt in ``state``; the caller compares amounts."""
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
        # After an outcome it contradicts the provider's own statement; otherwise (not_sent, failed) it agrees.
        return VerdictMeaning.CONFLICT if state in ("approved", "declined", "reversed") else VerdictMeaning.SAME
    if verdict == "reversed":
        # An attempt without an outcome will have no effect; after a decline it is nothing new.
        return VerdictMeaning.APPLY if state in ATTEMPT_OPEN else VerdictMeaning.SAME
    if verdict == "approved":
        # It was approved before it was reversed: the verdict is overtaken.
        return VerdictMeaning.SAME if state == "reversed" else VerdictMeaning.LATE_EFFECT
    # A decline after a failure: nothing happened either way.
    return VerdictMeaning.CONFLICT if state == "approved" else VerdictMeaning.SAME
