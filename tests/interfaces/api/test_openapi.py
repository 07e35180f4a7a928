"""The document and the application say the same, and neither says more than the other."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest

from tallystick.domain.errors import ERRORS
from tallystick.domain.subjects import PaymentState
from tallystick.interfaces.api.app import create_app
from tallystick.interfaces.api.parameters import MAX_PAGE_SIZE
from tallystick.settings.load import Settings
from tests.support.openapi import published_document

DOCUMENT: dict[str, Any] = published_document()


def _documented() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}


def test_every_route_is_documented_and_every_documented_route_is_there() -> None:
    app = create_app(Settings(data_dir="unused"), "postgresql://unused")
    served = {
        (method, re.sub(r"\{(\w+):str\}", r"{\1}", handler_path))
        for route in app.routes
        for handler_path in [route.path]
        for method in getattr(route, "methods", ())
        if method not in ("HEAD", "OPTIONS")
    }
    assert served == _documented()


def test_every_error_is_documented_somewhere_or_belongs_to_no_operation() -> None:
    text = json.dumps(DOCUMENT["paths"])
    missing = {code for code in ERRORS if f'"{code}"' not in text}
    assert missing == {"method_not_allowed"}


def test_references_resolve() -> None:
    for reference in set(re.findall(r'"#/([^"]+)"', json.dumps(DOCUMENT))):
        node: Any = DOCUMENT
        for part in reference.split("/"):
            node = node[part]


def test_enumerations_and_limits_come_from_the_code() -> None:
    payment = DOCUMENT["components"]["schemas"]["Payment"]
    assert payment["properties"]["state"]["$ref"] == "#/components/schemas/PaymentState"
    assert DOCUMENT["components"]["schemas"]["PaymentState"]["enum"] == list(get_args(PaymentState))
    # Only payments with late money that was accepted have its amount. Reads alone name refunds, disputes and
    # reconciliation.
    in_some = {"amount_late_accepted", "refunds", "disputes", "reconciliation"}
    assert set(payment["required"]) == set(payment["properties"]) - in_some
    limit = next(p for p in DOCUMENT["paths"]["/v1/payments"]["get"]["parameters"] if p["name"] == "limit")
    assert limit["schema"]["maximum"] == MAX_PAGE_SIZE


@pytest.mark.parametrize(("method", "path"), sorted(_documented()))
def test_every_answer_has_a_body_and_a_request_id(method: str, path: str) -> None:
    for answer in DOCUMENT["paths"][path][method.lower()]["responses"].values():
        assert answer["content"]
        assert "Request-Id" in answer["headers"]


def test_an_answer_that_is_not_final_says_when_to_come_back() -> None:
    later = [
        answer["headers"]
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        for status, answer in operation["responses"].items()
        if status == "202"
    ]
    assert len(later) == 4  # create, capture, cancel, refund
    assert all("Retry-After" in headers for headers in later)
