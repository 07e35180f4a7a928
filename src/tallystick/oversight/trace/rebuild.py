"""A payment rebuilt from its history alone, and compared with all that is stored beside it.

What is compared is what ``verify`` compares of one payment, by the same rules and under the same names; and what it
does not read: the words of clients and providers (``recorded_words.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tallystick.decisions.verdicts import mismatch
from tallystick.domain.kinds import kind_of
from tallystick.domain.lifecycles.verdict_matrix import VerdictMeaning, meaning_of
from tallystick.domain.subjects import Attempt, Subject
from tallystick.domain.verdicts import Verdict, verdict_name
from tallystick.oversight.invariants.catalogue import INVARIANTS
from tallystick.oversight.trace.recorded_words import Difference, against_words
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.settings.load import Settings

#: An attempt, and what its provider answers when it is asked what became of it.
ProvidersWord = tuple[Attempt, Verdict]

#: The provider's word of now, where it was asked.
PROVIDER_AGREES: Final = "provider_agrees"


class RebuiltSubject(Struct, frozen=True, kw_only=True):
    """The last state that the history of one subject gives. ``state`` None: it cannot be replayed."""

    subject_id: str
    kind: str
    version: int | None
    state: str | None
    agrees: bool


class Rebuild(Struct, frozen=True, kw_only=True):
    """What the history gives, and what differs from it."""

    subjects: list[RebuiltSubject]
    differs: list[Difference]
    provider_asked: bool = False


def rebuild(rows: TraceRows, settings: Settings, word: Sequence[ProvidersWord] | None) -> Rebuild:
    """Fold the history, and compare. ``word``: what the provider says now of each attempt; None where it was not
    asked."""
    differs = [*_as_verify(rows, settings), *against_words(rows), *_agrees(word or ())]
    return Rebuild(subjects=list(_subjects(rows)), differs=differs, provider_asked=word is not None)


def _subjects(rows: TraceRows) -> Iterator[RebuiltSubject]:
    stored: Mapping[str, Subject] = {id_: each for id_, each in rows.record.subjects if id_ in rows.stored}
    for subject_id, replay in rows.record.replays.items():
        last = replay.last()
        steps = rows.record.histories[subject_id]
        yield RebuiltSubject(
            subject_id=subject_id,
            kind=steps[0].subject if last is None else kind_of(last).name,
            version=None if last is None else last.version,
            state=None if last is None else last.state,
            agrees=last is not None and last == stored.get(subject_id),
        )


def _as_verify(rows: TraceRows, settings: Settings) -> Iterator[Difference]:
    for invariant in INVARIANTS:
        for look in invariant.looks_at_payment(settings):
            for finding in look(rows.record):
                yield Difference(invariant=invariant.name, subject_id=finding.subject_id, says=finding.detail)


def _agrees(word: Sequence[ProvidersWord]) -> Iterator[Difference]:
    """What the provider says now would change nothing. A provider that cannot say contradicts nothing."""
    for attempt, verdict in word:
        name, wrong = verdict_name(verdict), mismatch(attempt, verdict)
        if attempt.late_effect and name == "approved" and not wrong:
            continue  # the effect came after the end, and is recorded so
        if name != "unknown" and (wrong or meaning_of(attempt.state, name) is not VerdictMeaning.SAME):
            says = wrong or f"{attempt.operation} is {attempt.state} here, and {name} by the provider's word of now"
            yield Difference(invariant=PROVIDER_AGREES, subject_id=attempt.attempt_id, says=says)
