"""Requests that schemathesis makes up from the published document, and what must hold of each answer.

To load this takes a second: ``test_schemathesis`` does where its tests run, and not while they are collected.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Iterator
from functools import cache
from typing import Any, Final

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.generation.hypothesis.builder import (
    InvalidHeadersExampleMark,
    InvalidRegexMark,
    MissingPathParameters,
    NonSerializableMark,
    UnsatisfiableExampleMark,
    UnserializablePayloadMark,
)
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.schemas import APIOperation

from tallystick.kit.ids import new_id
from tests.support.api import Merchant, Stack
from tests.support.database import DEEP
from tests.support.openapi import published_document

#: Requests for each operation, beside those that walk its parameters and limits one by one.
EXAMPLES = 1_000 if DEEP else 5

#: Business rules are no schema: a payment method, a provider or a state may refuse what the document allows.
NOT_CHECKED = [schemathesis.checks.positive_data_acceptance]

#: None of these keeps a request waiting.
METHODS = itertools.cycle(["sim_ok", "sim_declined", "sim_pending", "sim_error_charged", "sim_refund_declined"])

Pool = dict[str, Iterator[str]]

DOCUMENT: dict[str, Any] = published_document()

#: A well-formed idempotency key.
_KEY: str = next(
    each["schema"]["pattern"]
    for each in DOCUMENT["paths"]["/v1/payments"]["post"]["parameters"]
    if each["name"] == "Idempotency-Key"
)

#: What schemathesis notes at a test of which it had to leave a part out.
LEFT_OUT: Final = (
    InvalidHeadersExampleMark,
    InvalidRegexMark,
    MissingPathParameters,
    NonSerializableMark,
    UnsatisfiableExampleMark,
    UnserializablePayloadMark,
)


@cache
def _schema(paths: tuple[str, ...]) -> Any:
    document = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict({"seed": 1}))
    return document.include(path=list(paths))


@cache
def operations(paths: tuple[str, ...]) -> dict[str, APIOperation[Any, Any, Any, Any]]:
    """Of these paths, by method and path."""
    found = {}
    for each in _schema(paths).get_all_operations():
        assert isinstance(each, Ok), each.err()
        found[each.ok().label] = each.ok()
    return found


def keeps_its_word(label: str, paths: tuple[str, ...], stack: Stack, tester: Merchant, pool: Pool) -> None:
    """The requests of one operation of these paths, made as schemathesis' plugin makes them. ``pool``: ids of things
    that exist. Raises what is not as the document says."""
    test = build_operation_test(
        config=_schema(paths).config,
        operation=operations(paths)[label],
        test_func=_keeps_its_word,
        given_kwargs={},
        feedback=_feedback(paths),
    )
    assert not any(mark.is_set(test) for mark in LEFT_OUT)
    test(stack=stack, tester=tester, pool=pool)
    assert not any(mark.is_set(test) for mark in LEFT_OUT)


@cache
def _feedback(paths: tuple[str, ...]) -> FeedbackSources:
    """What schemathesis learns in one test and uses in the next ones."""
    load_all_checks()
    return FeedbackSources(constants_value_source=make_constants_value_source(_schema(paths)))


@settings(
    max_examples=EXAMPLES,
    derandomize=not DEEP,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def _keeps_its_word(case: Case[Any], stack: Stack, tester: Merchant, pool: Pool) -> None:
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        _make_real(case, pool)
    _make_first(case)
    _make_sent(case)
    headers = {"Authorization": f"Bearer {tester.api_key}"}
    response = case.call_and_validate(base_url=stack.url, headers=headers, excluded_checks=NOT_CHECKED)
    if response.headers.get("content-type") == ["application/problem+json"]:
        problem = response.json()
        assert problem["status"] == response.status_code, problem
        assert problem["code"] in _documented(case, response.status_code), problem


def _documented(case: Case[Any], status: int) -> Container[str]:
    """The codes that the document names at this operation for this status. Of a method that the path does not have
    there is one."""
    operation = DOCUMENT["paths"][case.path].get(case.method.lower())
    if operation is None:
        return ["method_not_allowed"]
    codes: dict[str, Any] = operation["responses"][str(status)]["content"]["application/problem+json"]["examples"]
    return codes


def _make_real(case: Case[Any], pool: Pool) -> None:
    """Valid requests mostly mean something: a payment method that exists, a key of their own, a payment of ours."""
    if isinstance(case.body, dict) and "payment_method" in case.body:
        case.body["payment_method"] = next(METHODS)
        case.body.pop("provider", None)
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = new_id("req")
    if "id" in (case.path_parameters or {}):
        kind = "refund" if case.path.startswith("/v1/refunds") else "payment"
        case.path_parameters["id"] = next(pool[kind])
    if "payment" in (case.query or {}):
        case.query["payment"] = next(pool["payment"])


def _make_first(case: Case[Any]) -> None:
    """A key that was used before is answered as it was then, whatever version the request names."""
    headers: dict[str, Any] = dict(case.headers or {})
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(_KEY, key):
        case.headers["Idempotency-Key"] = new_id("req")


def _make_sent(case: Case[Any]) -> None:
    """An undeclared parameter without a value (null, an empty list) leaves no trace in the URL, and what is left of
    the request would be valid. With a value it is refused."""
    operation = DOCUMENT["paths"][case.path].get(case.method.lower(), {})
    declared = {parameter["name"] for parameter in operation.get("parameters", [])}
    for name, value in (case.query or {}).items():
        if name not in declared and _is_not_sent(value):
            case.query[name] = "1"


def _is_not_sent(value: object) -> bool:
    return value in (None, {}, []) or (isinstance(value, list) and all(_is_not_sent(each) for each in value))
