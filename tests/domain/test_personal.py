"""Holes and what fills them: any values, in any body that can have them, come back byte for byte."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.personal import (
    ERASED,
    NotMasked,
    PersonalValues,
    erased_request,
    has_holes,
    has_personal,
    places,
)
from tallystick.domain.requests.fingerprint import canonical
from tallystick.domain.requests.json_body import parse_json_object
from tallystick.domain.views import PaymentView
from tests.support.second_version import published

#: Letters that JSON escapes, names of the fields, and what stands in a hole.
WORDS = st.one_of(
    st.text(alphabet='"\\{}[]:,ae é', max_size=12),
    st.sampled_from(["description", "metadata", ERASED, '"metadata":{"', '"description":"', '{"[erased]":"[erased]"}']),
)
VALUES = st.builds(
    lambda description, metadata: PersonalValues(description=description, metadata=metadata),
    st.none() | WORDS,
    st.dictionaries(WORDS, WORDS, max_size=3),
)


def body_of(values: PersonalValues) -> bytes:
    payment = {
        "id": "pay_1",
        "metadata": values.metadata,
        "description": values.description,
        "reason": '"metadata":{"a',
    }
    return msgspec.json.encode({"type": "payment.captured", "data": payment, "version": 2})


def request_of(values: PersonalValues) -> bytes:
    fields: dict[str, Any] = {"amount": 1, "metadata": dict(values.metadata), "description": values.description}
    return canonical(parse_json_object(msgspec.json.encode(fields)))


@given(VALUES)
def test_what_is_masked_is_filled_again(values: PersonalValues) -> None:
    for body, mask, fill in (
        (body_of(values), values.masked, values.filled),
        (request_of(values), values.masked_request, values.filled_request),
    ):
        masked = mask(body)
        assert fill(masked) == body
        assert mask(masked) == masked
        assert not has_personal(masked)
        assert has_holes(masked) or not values
        shown = json.loads(masked)
        shown = shown.get("data", shown)
        assert shown["description"] == (ERASED if values.description else values.description)
        assert shown["metadata"] == ({ERASED: ERASED} if values.metadata else {})


@given(VALUES)
def test_a_repeated_request_is_masked_as_the_stored_one(values: PersonalValues) -> None:
    request = request_of(values)
    assert erased_request(request) == values.masked_request(request)


@pytest.mark.parametrize(
    "body",
    [
        b'{"description":"of another"}',
        b'{"metadata":{"a":"b"}}',
        b'{"data":{"metadata":{"[erased]":"not so"}}}',
        b'{"description":"[erased]","data":{"description":"of another"}}',
    ],
)
def test_another_value_is_not_stored(body: bytes) -> None:
    values = PersonalValues(description="mine", metadata={"b": "c"})
    assert has_personal(body)
    with pytest.raises(NotMasked):
        values.masked(body)


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"description":null,"metadata":{}}', b'{"description":""}', b'{"reason":"\\"description\\":\\"x"}'],
)
def test_what_says_nothing_is_not_personal(body: bytes) -> None:
    assert not has_personal(body)
    assert PersonalValues(description="mine").masked(body) == body


PIECES = st.sampled_from(
    ['"description":', '"metadata":', '"[erased]"', '{"[erased]":"[erased]"}', '"', "{", "}", '""', "{}", "x", ",", ":"]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_python_and_the_database_find_the_same(body: str) -> None:
    """Also in what is no JSON."""
    assert has_personal(body.encode()) is (re.search(places().stands, body) is not None)


@pytest.mark.parametrize("version", ["one", "two"])
def test_every_version_has_its_names(version: str) -> None:
    """Whatever a version calls them: a body of it is masked whole, and filled again."""
    with published() if version == "two" else nullcontext():
        names = {"description", "metadata"} | ({"statement"} if version == "two" else set())
        assert set(places().names) == names
        values = PersonalValues(description="Müller", metadata={"a": "secret"})
        shown = msgspec.json.decode(body_of(values))["data"]
        for each in VERSIONS.every():
            body = msgspec.json.encode(VERSIONS.body(PaymentView, shown, each))
            masked = values.masked(body)
            assert "Müller".encode() not in masked and b"secret" not in masked
            assert values.filled(masked) == body
            request = canonical(VERSIONS.body(PaymentView, shown, each))
            assert erased_request(request) == values.masked_request(request)
            assert re.search(places().stands, body.decode()) and not re.search(places().stands, masked.decode())
