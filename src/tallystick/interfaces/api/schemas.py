"""JSON Schemas that several bodies share."""

from __future__ import annotations

from typing import Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.interfaces.api.parameters import Schema

#: Minor units of the currency.
AMOUNT: Final[Schema] = {"type": "integer", "minimum": 0}
AMOUNT_MOVED: Final[Schema] = {"type": "integer", "minimum": 1}
CURRENCY: Final[Schema] = {"type": "string", "enum": sorted(EXPONENTS)}
NULL: Final[Schema] = {"type": "null"}


def ids_of(prefix: str, most: int, description: str) -> Schema:
    """At most ``most`` ids that start with ``prefix`` and an underscore."""
    one = {"type": "string", "pattern": f"^{prefix}_[0-9a-f]{{32}}$"}
    return {"type": "array", "items": one, "maxItems": most, "description": description}
