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
