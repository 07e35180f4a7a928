"""A second version of the API, published by a test.

The product speaks the newest version. So what the product does today is the second version here, and the first one is
what it was before: a payment's ``description`` was called ``statement``, and a payment was only held unless it said
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tallystick.domain.api_versions import VERSIONS, ApiVersion, Json, Query, renamed, renamed_in_errors

OLD: Final = VERSIONS.first.date
NEW: Final = "2099-01-01"

_NAMES: Final = {"statement": "description"}


def _create(body: Json) -> Json:
    return {"capture_method": "manual"} | renamed(_NAMES)(body)


def _list(query: Query) -> Query:
    exchanged = {"status": "state", "state": "status"}
    return {exchanged.get(name, name): values for name, values in query.items()}


def _document(newest: Json) -> Json:
    schemas: dict[str, Any] = dict(newest["components"]["schemas"])
    for name in ("Payment", "CreatePayment"):
        schemas[name] = schemas[name] | {"properties": renamed(_NAMES)(schemas[name]["properties"])}
    method = schemas["CreatePayment"]["properties"]["capture_method"]
    method["anyOf"][0]["default"] = "manual"
    return newest | {"components": newest["components"] | {"schemas": schemas}}


SECOND: Final = ApiVersion(
    date=NEW,
    changed="A payment's statement is called description, and a payment is captured unless it says otherwise.",
    requests={"createPayment": _create},
    queries={"listPayments": _list},
    bodies={"Payment": renamed(_NAMES), "Problem": renamed_in_errors(_NAMES)},
    document=_document,
)


@contextmanager
def published() -> Iterator[None]:
    """The second version beside the first one. No module of the product is touched."""
    with VERSIONS.also(SECOND):
        yield
