"""The compiled replay gives what ``replay`` gives: of every life, and of every way here to spoil a step of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tallystick.domain import compiled_replay
from tallystick.domain.compiled_replay import replayed
from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.replay import HistoryStep, Replay, replay
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.history import history_replays_to_state
from tallystick.record.postgres.stream_record import StreamRecord
from tests.support.database import DEEP
from tests.support.notices import SITUATIONS
from tests.support.paper_invariants import as_read, histories_beside, histories_of_a_settlement, history_of_an_alert
from tests.support.paper_lives import LIVES

#: Changes of one field, or none, that are wrong for some kind or step and right for another.
CHANGES: Final = (
    "",
    "[]",
    "{",
    "null",
    "{}",
    '{"colour": "red"}',
    '{"state": "captured"}',
    '{"version": 7}',
    '{"merchant_id": "m2"}',
    '{"payment_id": "pay_2"}',
    '{"attempt_id": "att_2"}',
    '{"attempt_id": null}',
    '{"amount": 7}',
    '{"amount": 7.0}',
    '{"amount": 7.5}',
    '{"amount": "7"}',
    '{"amount": true}',
    '{"amount": null}',
    '{"amount": "7", "amount": 8}',
    '{"amount": 123456789012345678901234567890}',
    '{"provider": null}',
    '{"provider": 1}',
    '{"provider_key": "another"}',
    '{"idempotency_key": "another"}',
    '{"idempotency_key": null}',
    '{"idempotency_key": 7}',
    '{"idempotency_key": []}',
    '{"operation": "refund"}',
    '{"operation": "steal"}',
    '{"operation": 7}',
    '{"capture": 1}',
    '{"metadata": null}',
    '{"metadata": {"a": 1}}',
    '{"metadata": {"a": "1"}}',
    '{"failure": null}',
    '{"failure": {"code": "c", "message": "m", "retryable": false, "more": 1}}',
    '{"failure": {"code": "c"}}',
    '{"movements": []}',
    '{"movements": [{}]}',
    '{"late_movements": [{"reference": "r", "way": "out", "amount": 1}]}',
    '{"late_movements": [{"reference": "r", "way": "up", "amount": 1}]}',
    '{"created_at": "yesterday"}',
    '{"created_at": "2026-01-02T03:04:05+02:00"}',
    '{"created_at": "2026-01-02T03:04:05"}',
    '{"created_at": null}',
    '{"next_action": {"type": "redirect", "n": 1.5}}',
    '{"exponent": 2}',
    '{"schedule": {}}',
)

Spoiled = Callable[[HistoryStep], HistoryStep]

#: Fields that a first step may lack, or must have.
FIELDS: Final = (
    "idempotency_key",
    "provider_key",
    "amount",
    "operation",
    "provider",
    "created_at",
    "metadata",
    "capture",
)


def without(step: HistoryStep, field: str) -> HistoryStep:
    """The step, as if it had not set this field."""
    return replace(
        step, change=json.dumps({name: each for name, each in json.loads(step.change).items() if name != field})
    )


def also(step: HistoryStep, fields: str) -> HistoryStep:
    """The step, as if it had set these fields as well."""
    return replace(step, change=json.dumps(json.loads(step.change) | json.loads(fields)))


#: What history leaves out of a first step today, and rows of before have; and the same wrong.
ADDED: Final = (
    '{"created_at": "2026-01-02T03:04:05Z"}',
    '{"created_at": null}',
    '{"purpose": "instruction"}',
    '{"purpose": "whim"}',
    '{"refund_id": null, "amount_late": 0}',
)

SPOILED: Final[dict[str, Spoiled]] = {
    **{f"also {fields}": partial(also, fields=fields) for fields in ADDED},
    **{f"without {field}": partial(without, field=field) for field in FIELDS},
    **{f"change {text}": lambda step, text=text: replace(step, change=text) for text in CHANGES},  # type: ignore[misc]
    "no lead": lambda step: replace(step, change_id=None, at=None),
    "no time": lambda step: replace(step, at=None),
    "an unknown state": lambda step: replace(step, to_state="lost"),
    "another state": lambda step: replace(step, to_state="declined"),
    "another kind": lambda step: replace(step, subject="refund"),
    "no such kind": lambda step: replace(step, subject="parcel"),
    "another stream": lambda step: replace(step, stream_id="pay_2"),
    "another merchant": lambda step: replace(step, merchant_id="m2"),
    "another version": lambda step: replace(step, version=step.version + 7),
    "the first version": lambda step: replace(step, version=1),
    "an earlier version": lambda step: replace(step, version=step.version - 1),
}


@cache
def histories() -> list[Sequence[HistoryStep]]:
    """The histories of many lives, each once."""
    records = [life() for life in (*SITUATIONS.values(), *LIVES.values())]
    lives = [[*as_read(record).histories.values(), *histories_beside(record)] for record in records]
    lives += [[history_of_an_alert()], histories_of_a_settlement()]
    return list(
        {tuple((each.to_state, each.change) for each in steps): steps for life in lives for steps in life}.values()
    )


def same(found: Replay, meant: Replay) -> bool:
    """Whether the states are equal, and in the same order."""
    return found == meant and list(found.states) == list(meant.states)


@pytest.mark.exhaustive
def test_a_life_is_replayed_as_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    meant = [replay(steps) for steps in histories()]
    assert len(meant) > 100
    assert not any(each.fault for each in meant)
    asked: list[Sequence[HistoryStep]] = []

    def reference(steps: Sequence[HistoryStep]) -> Replay:
        asked.append(steps)
        return replay(steps)

    monkeypatch.setattr(compiled_replay, "replay", reference)
    assert all(same(replayed(steps), each) for steps, each in zip(histories(), meant, strict=True))
    # The provider key of the platform's own attempts does not follow from an instruction.
    assert {steps[0].subject for steps in asked} <= {"attempt"}
    assert len(asked) < len(meant) / 10


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_step_is_replayed_as_by_the_reference(how: str) -> None:
    for steps in histories()[:: 1 if DEEP else 7]:
        for number, step in enumerate(steps):
            spoiled = [*steps[:number], SPOILED[how](step), *steps[number + 1 :]]
            assert same(replayed(spoiled), replay(spoiled)), spoiled


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_field_of_a_stored_row_is_compared_with_its_history(kind: SubjectKind) -> None:
    steps = next(each for each in histories() if each[0].subject == kind.name)
    replay_ = replayed(steps)
    last: Any = replay_.last()
    assert last is not None

    def found(stored: Any) -> list[Finding]:
        subject_id = kind.id_of(stored)
        record = StreamRecord(
            head=stored,
            histories={subject_id: steps},
            replays={subject_id: replay_},
            transfers=(),
            rejections=(),
            messages=(),
        )
        return list(history_replays_to_state(record))

    assert found(last) == []
    for field in kind.columns:
        wrong = replace(last, **{field: "something else"})
        detail = f"the stored row differs from its history in {field}"
        assert found(wrong) == [Finding(kind.id_of(wrong), detail)]


def test_no_steps_give_no_state() -> None:
    assert replayed([]) == replay([])
