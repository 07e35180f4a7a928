"""At which of its points a process is killed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from tests.support.database import DEEP

#: Statements of a change of any kind. A create and a refund are killed before and after each, at every depth, which
#: ``test_instructions.py`` asserts: other stories meet them at every so many-th point alone.
OF_EVERY_CHANGE: Final = frozenset(
    {
        "BEGIN",
        "take_free_keys",
        "append_transitions",
        "insert_attempts",
        "move_payments",
        "move_attempts",
        "insert_responses",
        "insert_messages",
        "insert_transfers",
        "add_balances",
        "COMMIT",
        "DISCARD PLANS",
    }
)

#: What recovery asks and takes up, whatever is due. A create of unknown outcome is killed at each in
#: ``test_recovery.py``, which asserts it.
OF_RECOVERY: Final = frozenset(
    {
        "due",
        "lease",
        "due_deadlines",
        "attempts",
        "refunds",
        "payment",
        "disputes",
        "sent_between",
        "the provider's lookup",
    }
)

#: What an outcome that is no plain success writes besides. A declined create is killed at each in ``test_answers.py``,
#: which asserts it.
OF_ANSWERS: Final = frozenset({"insert_answers", "insert_answer_keys"})

#: What the webhook worker reads and writes of any event. The one about an unknown charge is killed at each in
#: ``test_webhooks.py``, which asserts it.
OF_THE_INBOX: Final = frozenset(
    {
        "due",
        "lease",
        "attempts_of_many",
        "refunds_of_many",
        "payments_of_many",
        "disputes_of_many",
        "insert_processing",
        "acknowledge",
    }
)

#: Tasks of every process. A capture ends at each in ``test_every_await.py``, which asserts it.
OF_EVERY_PROCESS: Final = frozenset(
    {
        "run_rounds",
        "Rounds.run",
        "Rounds._wake_at",
        "Process._life",
        "PoolConnectionHolder.release",
        "_Writer.run",
        "PipelineConnection.execute",
    }
)


def stride(without_depth: int) -> int:
    """The step from one point to the next one: 1 with depth.

    Raises AssertionError for an even step: points come in pairs, before and after a statement, and it would meet one of
    each alone.
    """
    assert without_depth % 2 == 1, without_depth
    return 1 if DEEP else without_depth


def chosen(points: Sequence[str], without_depth: int, *, elsewhere: Collection[str] = ()) -> list[int]:
    """The numbers of the points where a process is killed: all with depth, else every so many-th, and the first of each
    statement, provider call and task that these do not meet. ``elsewhere``: those that another test meets for certain,
    and asserts it."""
    numbers = set(range(0, len(points), stride(without_depth)))
    met = subjects([points[number] for number in numbers]) | set(elsewhere)
    for number, point in enumerate(points):
        if _subject(point) not in met:
            met.add(_subject(point))
            numbers.add(number)
    return sorted(numbers)


def subjects(points: Sequence[str]) -> set[str]:
    """The statements, provider calls and tasks of these points."""
    return {_subject(point) for point in points}


def _subject(point: str) -> str:
    return point.removeprefix("before ").removeprefix("during ").removeprefix("after ")
