"""The parameters of a request. One ``Parameter`` in an endpoint's row parses, refuses and documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from tallystick.domain.errors import ProblemField
from tallystick.domain.json_types import EXAMPLE_TIME, example_id, id_pattern
from tallystick.domain.requests.commands import SCHEMAS
from tallystick.domain.requests.fields import NO_CONTROLS_PATTERN, Fields, InvalidFields
from tallystick.domain.requests.idempotency_key import MAX_KEY_CHARS
from tallystick.domain.requests.json_body import safe_name
from tallystick.interfaces.api.paging import PagedList, Position, read_cursor

Schema = dict[str, Any]

#: Reads one value out of the query; None where it is absent or was refused.
Read = Callable[[Fields, str], Any]

MAX_CURSOR_CHARS: Final = 512  # a position in a list, with room to spare
MAX_PAGE_SIZE: Final = 100  # payments; even with full metadata a page stays within a few megabytes
DEFAULT_PAGE_SIZE: Final = 20  # a screenful

#: A bare key, or a structured-field String (RFC 8941) whose value has 1 to 255 characters.
_KEY_PATTERN: Final = rf"^([!#-+\--~]{{1,{MAX_KEY_CHARS}}}|\"([ !#-\[\]-~]|\\[\"\\]){{1,{MAX_KEY_CHARS}}}\")$"


class Parameter(Struct, frozen=True, kw_only=True):
    """One parameter: its documentation, and for the query how it is read.

    ``prefix`` and ``thing`` are of an id: what it starts with, and what it names. ``read`` is None outside the query.
    """

    where: Literal["path", "query", "header"]
    name: str
    schema: Schema
    description: str
    required: bool = False
    prefix: str = ""
    thing: str = ""
    read: Read | None = None
    deep: bool = False  # an object, each member of which is written as name[member]=value

    def document(self) -> Schema:
        """The parameter object of OpenAPI."""
        style: Schema = {"style": "deepObject", "explode": True} if self.deep else {}
        return {
            "in": self.where,
            "name": self.name,
            "required": self.required,
            "schema": self.schema,
            "description": self.description,
            **style,
        }


def read_query(given: Mapping[str, list[str]], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The values of the decoded query by name: one for each query parameter, None for an absent one without a default.

    Raises InvalidFields that names every parameter that is unknown, repeated, missing or malformed.
    """
    known = {parameter.name: parameter.read for parameter in parameters if parameter.read is not None}
    deep = [parameter.name for parameter in parameters if parameter.deep]
    members, given = _members(given, deep) if deep else ({}, given)
    first: dict[str, Any] = {name: values[0] for name, values in given.items() if name in known and values}
    for name, found in members.items():
        first[name] = {member: values[0] for member, values in found.items() if values}
    fields = Fields(first, frozenset(known))
    for name in given:
        if name not in known:
            fields.refuse(safe_name(name), "unknown_field", "is not a parameter of this request")
    for name, values in given.items():
        if name in known and len(values) > 1:
            fields.refuse(name, "repeated", "may be given only once")
    for name, found_members in members.items():
        if name in given or any(len(values) > 1 for values in found_members.values()):
            fields.refuse(name, "repeated", "may be given only once")
    found = {name: read(fields, name) for name, read in known.items()}
    if fields.errors:
        fields.raise_errors()
    return found


def _members(
    given: Mapping[str, list[str]], deep: Sequence[str]
) -> tuple[dict[str, dict[str, list[str]]], dict[str, list[str]]]:
    """What is given as ``name[member]=value`` for each name of ``deep``; and everything else."""
    members: dict[str, dict[str, list[str]]] = {}
    others: dict[str, list[str]] = {}
    for written, values in given.items():
        name, bracket, member = written.partition("[")
        if bracket and written.endswith("]") and name in deep:
            members.setdefault(name, {})[member.removesuffix("]")] = values
        else:
            others[written] = values
    return members, others


def no_query_error() -> InvalidFields:
    """What a request with a query gets where none is taken."""
    return InvalidFields([ProblemField("query", "unknown_field", "this request takes no query parameters")])


def path_id(prefix: str, thing: str, name: str = "id") -> Parameter:
    """An id in the path; ``thing`` is what it names, for the 404."""
    return Parameter(
        where="path",
        name=name,
        schema=_id_schema(prefix),
        description=f"The id of the {thing}.",
        required=True,
        prefix=prefix,
        thing=thing,
    )


def query_id(prefix: str, name: str, *, required: bool = True, description: str = "") -> Parameter:
    """An id in the query, named after its owner. A malformed id is passed on as it is: nothing has it, which is a 404.
    An empty one counts as missing where it is required."""

    def read(fields: Fields, name: str) -> str | None:
        value = fields.string(name)
        if required and not value:
            fields.refuse(name, "required", "is required")
        return value

    schema, described = _id_schema(prefix), description or f"The id of the {name}."
    return Parameter(where="query", name=name, schema=schema, description=described, required=required, read=read)


def one_of(name: str, allowed: Collection[str], description: str) -> Parameter:
    """One of a few values."""
    schema = {"type": "string", "enum": list(allowed)}
    return _in_query(name, schema, description, lambda fields, name: fields.one_of(name, allowed))


def integer(name: str, smallest: int, largest: int, default: int, description: str) -> Parameter:
    """An integer in decimal digits."""
    schema = {"type": "integer", "minimum": smallest, "maximum": largest, "default": default}
    return _in_query(name, schema, description, lambda fields, name: fields.integer(name, smallest, largest, default))


def timestamp(name: str, description: str) -> Parameter:
    """An RFC 3339 timestamp with offset, read in UTC."""
    schema = {"type": "string", "format": "date-time", "examples": [EXAMPLE_TIME]}
    return _in_query(name, schema, description, lambda fields, name: fields.timestamp(name))


def text(name: str, max_chars: int, description: str) -> Parameter:
    """One to ``max_chars`` characters without control characters."""
    schema = {"type": "string", "minLength": 1, "maxLength": max_chars, "pattern": NO_CONTROLS_PATTERN}
    return _in_query(name, schema, description, lambda fields, name: fields.text(name, max_chars, min_chars=1))


def optional_integer(name: str, smallest: int, largest: int, description: str) -> Parameter:
    """An integer in decimal digits, or None."""
    schema = {"type": "integer", "minimum": smallest, "maximum": largest}
    return _in_query(name, schema, description, lambda fields, name: fields.integer(name, smallest, largest, None))


def created_range(what: str = "Created") -> tuple[Parameter, Parameter]:
    """``created_gte`` and ``created_lt``; ``what`` happened to an entry at that time."""
    return (
        timestamp("created_gte", f"{what} at this RFC 3339 time or later."),
        timestamp("created_lt", f"{what} before this RFC 3339 time, which must be after created_gte."),
    )


def one_metadata(description: str) -> Parameter:
    """``metadata[key]=value``, read as (key, value): one key, since each further one would be looked for without an
    index too."""

    def read(fields: Fields, name: str) -> tuple[str, str] | None:
        found = fields.metadata()
        if len(found) > 1:
            fields.refuse(name, "too_many_keys", "must have one key")
        return next(iter(found.items()), None)

    schema = SCHEMAS["CreatePayment"]["properties"]["metadata"]["anyOf"][0] | {"maxProperties": 1}
    return Parameter(where="query", name="metadata", schema=schema, description=description, read=read, deep=True)


def any_text(name: str, description: str) -> Parameter:
    """Any text. What the database cannot store is replaced, and so finds nothing."""

    def read(fields: Fields, name: str) -> str | None:
        value = fields.string(name)
        return None if value is None else value.encode("utf-8", "replace").decode().replace("\x00", "")

    return _in_query(name, {"type": "string"}, description, read)


def matching(name: str, pattern: str, detail: str, description: str) -> Parameter:
    """A string that matches ``pattern`` from end to end; ``detail`` describes it."""
    accept = re.compile(pattern)
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return _in_query(name, schema, description, lambda fields, name: fields.matching(name, accept, detail))


def page_of(paged: PagedList) -> tuple[Parameter, Parameter]:
    """``limit`` and ``cursor`` of one list; the cursor is read as a Position."""

    def read(fields: Fields, name: str) -> Position | None:
        cursor = fields.text(name, MAX_CURSOR_CHARS, min_chars=1)
        position = None if cursor is None else read_cursor(paged, cursor)
        if cursor is not None and position is None:
            fields.refuse(name, "invalid_value", "must be a next_cursor of an earlier page of this list")
        return position

    schema = {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR_CHARS, "pattern": "^[A-Za-z0-9_-]+$"}
    return (
        integer("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE, "Entries on a page."),
        _in_query("cursor", schema, "next_cursor of the previous page.", read),
    )


#: The header of every instruction; ``domain.requests.idempotency_key`` parses it.
IDEMPOTENCY_KEY: Final = Parameter(
    where="header",
    name="Idempotency-Key",
    schema={"type": "string", "pattern": _KEY_PATTERN, "examples": ["order-1042-pay"]},
    description=(
        "One value per instruction, the same on every retry of it. It is the merchant's: every API key of the merchant"
        " finds it, on every path, for ever. Bare or quoted, which is the same key. What looks like a card number is"
        " refused."
    ),
    required=True,
)

#: The trace of an instruction; ``kit.trace_context`` parses it.
TRACEPARENT: Final = Parameter(
    where="header",
    name="traceparent",
    schema={"type": "string", "examples": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]},
    description=(
        "The caller's trace (W3C Trace Context). It is kept with the instruction, and goes to the provider and with the"
        " messages. A malformed one is ignored."
    ),
)


def _in_query(name: str, schema: Schema, description: str, read: Read) -> Parameter:
    return Parameter(where="query", name=name, schema=schema, description=description, read=read)


def _id_schema(prefix: str) -> Schema:
    return {"type": "string", "pattern": id_pattern(prefix), "examples": [example_id(prefix)]}
