"""Reads the fields of one request, one method per kind of value, and collects every fault.

Faults name fields, never values; an explicit null counts as an absent field.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

from tallystick.domain.errors import ProblemField, TallystickError
from tallystick.domain.money import MAX_AMOUNT, is_currency
from tallystick.domain.requests.json_body import NumberLiteral, safe_name

MIN_AMOUNT: Final = 1  # an instruction to move nothing is a mistake
MAX_METADATA_KEYS: Final = 50  # as the large payment providers allow, so that it can be passed on
MAX_METADATA_KEY_CHARS: Final = 40  # likewise
MAX_TEXT_CHARS: Final = 500  # description, reason, metadata values: a sentence or two, never a document
MAX_FIELD_ERRORS: Final = 200  # more than an honest body can have; a hostile body must not cause a huge answer

# C0, DEL and C1 control characters, NUL among them. For JSON Schema too: the same in Python's and ECMA-262's
# syntax.
NO_CONTROLS_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
# Lone surrogates count as well: query decoding can leave them behind, and PostgreSQL cannot store them.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

# RFC 3339 date-time. The space that it allows for "T" is refused: in a query it is mostly an unescaped "+".
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")  # 18 digits: above every limit, within 64 bits, and cheap to convert

Default = TypeVar("Default", int, None)


def _is_clean(text: str, min_chars: int, max_chars: int) -> bool:
    return min_chars <= len(text) <= max_chars and _CONTROL.search(text) is None


class InvalidFields(TallystickError):
    """The request's fields are not valid; ``errors`` names every fault (at most the first 200)."""

    def __init__(self, errors: list[ProblemField]) -> None:
        super().__init__(f"{len(errors)} invalid fields")
        self.errors = errors


class Fields:
    """The fields of one request. Each reader returns the value, or None if it is absent or invalid."""

    def __init__(self, body: Mapping[str, Any], known: frozenset[str]) -> None:
        self._body = body
        self.errors: list[ProblemField] = []
        if not body.keys() <= known:
            for name in body:
                if name not in known:
                    self.refuse(safe_name(name), "unknown_field", "is not a field of this request")

    def refuse(self, field: str, code: str, detail: str) -> None:
        """Record a fault of a field. ``field`` must be safe to repeat."""
        self.errors.append(ProblemField(field, code, detail))

    def raise_errors(self) -> NoReturn:
        """Raise InvalidFields with the collected faults."""
        raise InvalidFields(self.errors[:MAX_FIELD_ERRORS])

    def amount(self, *, required: bool = False) -> int | None:
        """``amount`` in ISO 4217 minor units, 1 to MAX_AMOUNT."""
        value = self._present("amount", required)
        if value is None:
            return None
        if type(value) is int and MIN_AMOUNT <= value <= MAX_AMOUNT:
            return value
        # An integer too long for 64 bits arrives as a literal without point or exponent.
        if type(value) is int or (type(value) is NumberLiteral and value.removeprefix("-").isdigit()):
            self.refuse("amount", "out_of_range", f"must be from {MIN_AMOUNT} to {MAX_AMOUNT}")
        else:
            self.refuse("amount", "must_be_integer", "must be an integer in the currency's minor unit")
        return None

    def currency(self) -> str | None:
        """``currency``, required: upper-case ISO 4217."""
        value = self._string("currency", required=True)
        if value is None or is_currency(value):
            return value
        self.refuse("currency", "unknown_currency", "must be an upper-case ISO 4217 currency code")
        return None

    def string(self, name: str) -> str | None:
        """Any string."""
        return self._string(name, required=False)

    def text(self, name: str, max_chars: int, *, min_chars: int = 0, required: bool = False) -> str | None:
        """A string of ``min_chars`` to ``max_chars`` Unicode characters without control characters."""
        value = self._string(name, required)
        return value if value is None or self._clean(name, value, min_chars, max_chars) else None

    def one_of(self, name: str, allowed: Collection[str]) -> str | None:
        """One of the allowed values."""
        value = self._string(name, required=False)
        if value is None or value in allowed:
            return value
        self.refuse(name, "unknown_value", f"must be one of: {', '.join(allowed)}")
        return None

    def metadata(self) -> dict[str, str]:
        """``metadata``: an object of strings, empty when absent."""
        value = self._body.get("metadata")
        if value is None:
            return {}
        if type(value) is not dict:
            self.refuse("metadata", "must_be_object", "must be an object of strings")
            return {}
        if len(value) > MAX_METADATA_KEYS:
            self.refuse("metadata", "too_many_keys", f"must have at most {MAX_METADATA_KEYS} keys")
            return {}
        for key, item in value.items():
            if _is_clean(key, 1, MAX_METADATA_KEY_CHARS) and type(item) is str and _is_clean(item, 0, MAX_TEXT_CHARS):
                continue  # nearly all: only a fault needs the name of its field
            field = f"metadata.{safe_name(key)}"
            self._clean(field, key, 1, MAX_METADATA_KEY_CHARS, of="key: ")
            if type(item) is not str:
                self.refuse(field, "must_be_string", "must be a string")
            else:
                self._clean(field, item, 0, MAX_TEXT_CHARS)
        return value

    def matching(self, name: str, accept: re.Pattern[str], detail: str) -> str | None:
        """A string that matches ``accept`` completely."""
        value = self._string(name, required=False)
        if value is None or accept.fullmatch(value) is not None:
            return value
        self.refuse(name, "invalid_value", detail)
        return None

    def timestamp(self, name: str) -> datetime | None:
        """An RFC 3339 timestamp with offset, in UTC; digits below the microsecond are dropped."""
        value = self._string(name, required=False)
        if value is None:
            return None
        if _TIMESTAMP.fullmatch(value) is not None:
            try:
                return datetime.fromisoformat(value.upper()).astimezone(UTC)
            except (ValueError, OverflowError):  # the 30th of February; the year 0001 east of Greenwich
                pass
        self.refuse(name, "must_be_timestamp", 'must be an RFC 3339 timestamp with offset; escape "+" as %2B')
        return None

    def integer(self, name: str, smallest: int, largest: int, default: Default) -> int | Default:
        """An integer written in decimal digits, as query parameters are; the default for an absent or a wrong one."""
        value = self._string(name, required=False)
        if value is None:
            return default
        if _INTEGER.fullmatch(value) is None:
            self.refuse(name, "must_be_integer", "must be an integer")
        elif not smallest <= int(value) <= largest:
            self.refuse(name, "out_of_range", f"must be from {smallest} to {largest}")
        else:
            return int(value)
        return default

    def _present(self, name: str, required: bool) -> Any:
        value = self._body.get(name)
        if value is None and required:
            self.refuse(name, "required", "is required")
        return value

    def _string(self, name: str, required: bool) -> str | None:
        value = self._present(name, required)
        if value is None or type(value) is str:  # a NumberLiteral is a str here, but a number to the client
            return value
        self.refuse(name, "must_be_string", "must be a string")
        return None

    def _clean(self, field: str, value: str, min_chars: int, max_chars: int, of: str = "") -> bool:
        if len(value) < min_chars:
            self.refuse(field, "too_short", f"{of}must have at least {min_chars} characters")
        elif len(value) > max_chars:
            self.refuse(field, "too_long", f"{of}must have at most {max_chars} characters")
        elif _CONTROL.search(value) is not None:
            self.refuse(field, "control_character", f"{of}must not contain control characters")
        else:
            return True
        return False
