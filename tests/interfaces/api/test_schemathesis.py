"""schemathesis over the published document: no 5xx, and no status, content type, header or body that is not in it."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import httpx
import pytest

from tests.support.api import Merchant, Stack
from tests.support.database import DEEP
from tests.support.openapi import published_bytes, published_document

DOCUMENT: dict[str, Any] = published_document()

#: What moves money, which is walked at every depth.
_MONEY: Final = re.compile(r"/v1/payments(/{id}(/(capture|cancel|refunds))?)?$")

#: Of the other operations, without depth every third: what all have in common is in each of them.
_OTHERS: Final = [path for path in DOCUMENT["paths"] if not _MONEY.match(path)]
PATHS: Final = (*filter(_MONEY.match, DOCUMENT["paths"]), *_OTHERS[:: 1 if DEEP else 3])

_METHODS: Final = {"get", "post", "put", "patch", "delete"}

OPERATIONS: Final = [
    f"{method.upper()} {path}" for path in PATHS for method in DOCUMENT["paths"][path] if method in _METHODS
]


@pytest.fixture(scope="module")
def made_up() -> ModuleType:
    """schemathesis, and what is asked of it. What the libraries that it loads say of each other is nobody's here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tests.support import made_up_requests
    return made_up_requests


@pytest.fixture(scope="module")
def tester(stack: Stack) -> Iterator[Merchant]:
    """The merchant whom schemathesis plays."""
    someone = Merchant(stack, "schemathesis")
    yield someone
    someone.client.close()


@pytest.fixture(scope="module")
def pool(tester: Merchant) -> dict[str, Iterator[str]]:
    """Ids of things that exist, beside those that schemathesis makes up."""
    held = [tester.pay(capture_method="manual").json()["id"] for _ in range(10)]
    paid = [tester.pay(amount=1_000_000).json()["id"] for _ in range(5)]
    refunds = [tester.post(f"/v1/payments/{one}/refunds", {"amount": 1}).json()["id"] for one in paid]
    return {"payment": itertools.cycle([*held, *paid]), "refund": itertools.cycle(refunds)}


def test_this_is_the_document_that_is_served(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/openapi.json").content == published_bytes()


@pytest.mark.exhaustive
def test_every_operation_of_these_paths_is_walked(made_up: ModuleType) -> None:
    assert set(made_up.operations(PATHS)) == set(OPERATIONS)


@pytest.mark.parametrize("label", OPERATIONS)
def test_the_api_keeps_its_word(
    label: str, stack: Stack, tester: Merchant, pool: dict[str, Iterator[str]], made_up: ModuleType
) -> None:
    made_up.keeps_its_word(label, PATHS, stack, tester, pool)


def test_the_tester_paid_for_something(tester: Merchant) -> None:
    """The run above was not all refusals."""
    states = {payment["state"] for payment in tester.get("/v1/payments", limit=100).json()["data"]}
    assert {"captured", "declined"} <= states
