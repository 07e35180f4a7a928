"""A message whose data is a recorded answer is stored by the answer's key, and read as the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.domain.change import Change, Message
from tallystick.lab.bench.workload import new_payment
from tallystick.record.postgres.message_bodies import stored_body
from tallystick.record.postgres.rows import message_row
from tests.support.paper_lives import LIVES

#: The columns of ``insert_messages``.
COLUMNS = (
    "merchant_id",
    "stream_id",
    "version",
    "subject_id",
    "message_id",
    "type",
    "body",
    "at",
    "answer_key",
    "api_version",
    "key_kind",
    "traceparent",
)


def row_of(change: Change, message: Message) -> dict[str, Any]:
    """A message's row as it is read, with the answer that it names."""
    row = dict(zip(COLUMNS, message_row(message, change.responses), strict=True))
    answers = {each.idempotency_key: each.body for each in change.responses}
    return row | {"answer": answers.get(row["answer_key"])}


def test_an_answer_and_its_message_are_stored_once() -> None:
    _, settle = new_payment()
    [message], [answer] = settle.messages, settle.responses
    row = row_of(settle, message)
    assert (row["body"], row["answer_key"]) == (None, answer.idempotency_key)
    assert stored_body(row) == message.body


def is_read_as_decided(life: str) -> bool:
    found = [(change, message) for change in LIVES[life]().changes for message in change.messages]
    rows = [row_of(change, message) for change, message in found]
    return [stored_body(row) for row in rows] == [message.body for _, message in found] and all(
        (row["body"] is None) != (row["answer_key"] is None) for row in rows
    )


#: Hundreds of lives, in so many parts: each test costs some milliseconds besides what it does.
PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_every_message_is_read_as_it_was_decided(part: int) -> None:
    assert [life for life in sorted(LIVES)[part::PARTS] if not is_read_as_decided(life)] == []


@pytest.mark.parametrize("field", ["body", "message_id", "type", "version", "stream_id"])
def test_a_message_that_would_be_read_otherwise_is_stored_whole(field: str) -> None:
    _, settle = new_payment()
    [message] = settle.messages
    other: Any = {"body": message.body + b" ", "version": 7}.get(field, "another")
    changed = replace(message, **{field: other})
    row = row_of(settle, changed)
    assert (row["body"], row["answer_key"]) == (changed.body, None)


def test_a_message_whose_answer_is_missing_has_no_bytes() -> None:
    _, settle = new_payment()
    assert stored_body(row_of(settle, settle.messages[0]) | {"answer": None}) == b""
