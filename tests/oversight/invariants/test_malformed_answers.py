"""Whatever stands in the record in place of an answer is a finding, and never an error of the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.views import PaymentView, encode
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.instructions import final_instructions_answered
from tallystick.oversight.invariants.messages import steps_are_told
from tallystick.oversight.stored_json import object_in
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.stream_record import RecordedAnswer
from tests.support.notices import SITUATIONS
from tests.support.paper_invariants import as_read
from tests.support.second_version import published

#: What no answer is: not JSON, not UTF-8, no object, nested deeper than any reader goes, a number that is none.
UNREADABLE: Final = (
    b"",
    b"x",
    b"null",
    b"[]",
    b'"pay_1"',
    b'{"version": 1} {}',
    b'{"version": "\xff"}',
    b'{"version": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"version": 1e999}',
    b'{"version": ' + b"9" * 5_000 + b"}",
)

#: Any JSON, with members of an answer among its names.
ANY: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "version", "a"]), inner),
    max_leaves=5,
)


def answered() -> tuple[PaymentRecord, RecordedAnswer]:
    """A captured payment with the answer to its create request."""
    paper = SITUATIONS["captured"]()
    read = as_read(paper)
    response = next(each for change in paper.changes for each in change.responses)
    subject_id = paper.payment.payment_id
    answer = RecordedAnswer(
        idempotency_key=response.idempotency_key,
        payment_id=subject_id,
        subject_id=subject_id,
        status=response.status,
        body=response.body,
    )
    return read, answer


READ, ANSWER = answered()
BODY: Final[dict[str, Any]] = json.loads(ANSWER.body or b"")


def found(body: bytes, **columns: Any) -> list[Finding]:
    """What is said of the answer with this body."""
    answer = msgspec.structs.replace(ANSWER, body=body, **columns)
    return list(final_instructions_answered(msgspec.structs.replace(READ, answers={answer.idempotency_key: answer})))


def test_the_answer_as_it_was_is_none() -> None:
    assert found(ANSWER.body or b"") == []
    assert found(encode(BODY)) == []


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: str(body[:20]))
def test_what_cannot_be_read_is_named(body: bytes) -> None:
    assert object_in(body) is None
    for columns in ({}, {"status": 409}):
        said = f"the answer of key {ANSWER.idempotency_key} cannot be read"
        assert Finding(ANSWER.subject_id, said) in found(body, **columns)


def _with(make: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    return encode(make(dict(BODY)))


@pytest.mark.exhaustive
@given(name=st.sampled_from(["id", "version", "state", "amount", "amount_captured", "currency"]), value=ANY)
def test_any_value_in_place_of_a_members_is_named(name: str, value: Any) -> None:
    assert found(_with(lambda body: body | {name: value})) or (
        value == BODY[name] and type(value) is type(BODY[name])
    ), "true is not 1, and 1.0 is not"


@pytest.mark.exhaustive
@given(body=ANY, status=st.sampled_from([201, 409]))
def test_any_json_in_place_of_an_answer_is_named(body: Any, status: int) -> None:
    assert found(encode(body), status=status)


def test_so_it_is_in_an_older_version() -> None:
    with published():
        shown = VERSIONS.body(PaymentView, BODY, VERSIONS.first)
        assert found(encode(shown)) == []
        for name in ("id", "version", "state"):
            for value in (None, [], [1], {}, {"version": 1}, "", 0, 1.5):
                assert found(encode(shown | {name: value})), (name, value)
        for body in UNREADABLE:
            assert found(body)


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: str(body[:20]))
def test_a_message_whose_answer_cannot_be_read_is_named(body: bytes) -> None:
    for version in (None, VERSIONS.newest.date):
        told = [msgspec.structs.replace(each, body=None, answer=body, api_version=version) for each in READ.messages]
        assert told
        assert list(steps_are_told(msgspec.structs.replace(READ, messages=told)))
