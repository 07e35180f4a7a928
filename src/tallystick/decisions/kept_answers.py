"""Which answers of providers are kept, and how the step that an answer led to names it. Pure."""

from __future__ import annotations

import hashlib
from typing import Final, TypeVar

from msgspec.structs import replace

from tallystick.domain.change import Change, Rejection, Transition
from tallystick.domain.kinds import ATTEMPT_KIND
from tallystick.domain.provider_answer import ProviderAnswer
from tallystick.domain.verdicts import Approved, Pending, RequiresAction, Verdict

Told = TypeVar("Told", Transition, Rejection)

#: Verdicts that go as a payment goes that goes well, and the attempt's events that they come to.
_WELL: Final = (Approved, Pending, RequiresAction)
_WELL_EVENTS: Final = frozenset({"approved", "pending", "requires_action"})

#: The member of a step's evidence with the SHA-256 of the bytes that are kept beside it, in hexadecimal digits.
ANSWER: Final = "answer"


def is_plain_success(change: Change, verdict: Verdict) -> bool:
    """Whether an outcome needs no bytes to explain it: the attempt went on well, and nothing was refused. What a
    look-up found out against the record moves a payment alone."""
    if change.rejections or not isinstance(verdict, _WELL):
        return False
    events = [step.event for step in change.transitions if step.subject == ATTEMPT_KIND.name]
    return bool(events) and _WELL_EVENTS.issuperset(events)


def with_answer(change: Change, answer: ProviderAnswer) -> Change:
    """The change with the answer that led to it. Its steps and rejections that have evidence name the bytes: whoever
    takes or changes them contradicts what is sealed. One without evidence keeps none: nothing would name it."""
    step = next((each for each in change.transitions if each.evidence is not None), None)
    rejection = next((each for each in change.rejections if each.evidence is not None), None)
    if step is None and rejection is None:
        return change
    digest = hashlib.sha256(answer.sealed).hexdigest()
    return replace(
        change,
        transitions=tuple(_naming(each, digest) for each in change.transitions),
        rejections=tuple(_naming(each, digest) for each in change.rejections),
        answer=replace(
            answer,
            subject_id=None if step is None else step.subject_id,
            version=None if step is None else step.version,
            rejection_id=None if rejection is None else rejection.rejection_id,
        ),
    )


def named_answer(evidence: object) -> str | None:
    """The digest of the answer that a step's evidence names."""
    digest = evidence.get(ANSWER) if isinstance(evidence, dict) else None
    return digest if isinstance(digest, str) else None


def _naming(told: Told, digest: str) -> Told:
    return told if told.evidence is None else replace(told, evidence={**told.evidence, ANSWER: digest})
