"""The API's reference as a page: the OpenAPI document, for people. What a template cannot say well is made here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.requests.fields import NO_CONTROLS_PATTERN
from tallystick.interfaces.pages.rendering import environment

#: A part of the document.
Node = Mapping[str, Any]

#: Members of a schema that limit a value, and how a page says them.
_LIMITS: Final = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "{} characters or more"),
    ("maxLength", "{} characters at most"),
    ("minItems", "{} entries or more"),
    ("maxItems", "{} entries at most"),
    ("maxProperties", "{} members at most"),
    ("pattern", "matches `{}`"),
    ("default", "default `{}`"),
)

#: Values of an enumeration that are shown beside a field; longer ones are shown with their type.
_SHOWN_VALUES: Final = 12


class Field(Struct, frozen=True):
    """One field or parameter. ``type``: in words; ``named``: the schema that it refers to, or nothing; ``where``: of a
    parameter, path, query or header."""

    name: str
    type: str
    named: str
    required: bool
    limits: str
    description: str
    where: str = ""


class Body(Struct, frozen=True):
    """What is sent or answered: its schema's name, if it has one, its fields, and an example."""

    named: str
    fields: Sequence[Field]
    example: str


class Answer(Struct, frozen=True):
    """One response. ``errors``: the codes that it may have, each with its meaning."""

    status: str
    description: str
    body: Body
    errors: Sequence[tuple[str, str]]


class Operation(Struct, frozen=True):
    """One operation, or one message that we send."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Field]
    body: Body | None
    answers: Sequence[Answer]


class Group(Struct, frozen=True):
    """Operations with one tag."""

    id: str
    name: str
    description: str
    operations: Sequence[Operation]


class Type(Struct, frozen=True):
    """One schema: an object with its fields, or an enumeration with its values."""

    name: str
    description: str
    fields: Sequence[Field]
    values: Sequence[str]
    example: str


class ErrorLine(Struct, frozen=True):
    """One row of the table of errors."""

    code: str
    status: int
    title: str
    retryable: bool
    outcome: str


def reference_page(document: bytes) -> bytes:
    """The page of an OpenAPI document."""
    read: Node = msgspec.json.decode(document)
    shown = {
        "document": read,
        "groups": list(_groups(read)),
        "types": [_type(name, schema) for name, schema in read["components"]["schemas"].items()],
        "errors": [_error(each["value"]) for each in read["components"]["examples"].values()],
    }
    return environment().get_template("reference.html").render(shown).encode()


def _groups(document: Node) -> Iterator[Group]:
    operations: dict[str, list[Operation]] = {}
    for section in ("paths", "webhooks"):
        for path, methods in document[section].items():
            for method, operation in methods.items():
                sent = section == "webhooks"
                shown = _operation(document, "message" if sent else method, path, operation)
                operations.setdefault(operation["tags"][0], []).append(shown)
    for tag in document["tags"]:
        if tag["name"] in operations:
            anchor = tag["name"].lower().replace(" ", "-")
            yield Group(anchor, tag["name"], tag["description"], operations[tag["name"]])


def _operation(document: Node, method: str, path: str, operation: Node) -> Operation:
    body = operation.get("requestBody")
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        parameters=[
            _field(each["name"], each, each["schema"], each["required"], each["in"])
            for each in operation.get("parameters", ())
        ],
        body=None if body is None else _body(document, body),
        answers=[_answer(document, status, each) for status, each in operation["responses"].items()],
    )


def _answer(document: Node, status: str, response: Node) -> Answer:
    examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    titles = document["components"]["examples"]
    return Answer(
        status=status,
        description="" if examples else response["description"],
        body=Body("Problem", (), "") if examples else _body(document, response),
        errors=[(code, titles[code]["summary"]) for code in examples],
    )


def _body(document: Node, carrier: Node) -> Body:
    for content in carrier.get("content", {}).values():
        name = _name_in(content["schema"])
        if name:
            schema = document["components"]["schemas"][name]
            return Body(name, _fields(schema), _example(schema))
    return Body("", (), "")


def _type(name: str, schema: Node) -> Type:
    return Type(
        name=name,
        description=schema.get("description", ""),
        fields=_fields(schema),
        values=schema.get("enum", ()),
        example=_example(schema),
    )


def _fields(schema: Node) -> list[Field]:
    required = schema.get("required", ())
    return [_field(name, each, each, name in required) for name, each in schema.get("properties", {}).items()]


def _field(name: str, described: Node, schema: Node, required: bool, where: str = "") -> Field:
    alternatives = [schema, *schema.get("anyOf", ())]
    limits = [text for each in alternatives for member, said in _LIMITS if (text := _limit(each, member, said))]
    values = [value for each in alternatives for value in each.get("enum", ())]
    if 0 < len(values) <= _SHOWN_VALUES:
        limits.append("one of " + ", ".join(f"`{value}`" for value in values))
    return Field(
        name, _words(schema), _named_in(schema), required, "; ".join(limits), described.get("description", ""), where
    )


def _limit(schema: Node, member: str, said: str) -> str:
    """A limit in words; nothing where a schema does not have it, or where it allows everything."""
    limit = schema.get(member)
    if limit is None or (member, limit) == ("minLength", 0):
        return ""
    if (member, limit) == ("pattern", NO_CONTROLS_PATTERN):
        return "no control characters"
    return said.format(_plain(limit))


def _words(schema: Node) -> str:
    """The type of a schema, in words."""
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return _name_in(schema)
    if "const" in schema:
        return f"always {_plain(schema['const'])}"
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'])}"
    return f"{schema.get('type', 'anything')}{', ' + schema['format'] if 'format' in schema else ''}"


def _named_in(schema: Node) -> str:
    """The one schema that a field refers to, however it does; or nothing."""
    parts = [schema, *schema.get("anyOf", ()), schema.get("items", {})]
    parts += [each["items"] for each in schema.get("anyOf", ()) if "items" in each]
    return next((name for each in parts if (name := _name_in(each))), "")


def _name_in(schema: Node) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _example(schema: Node) -> str:
    if not schema.get("examples"):
        return ""
    return msgspec.json.format(msgspec.json.encode(schema["examples"][0]), indent=2).decode()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _error(problem: Node) -> ErrorLine:
    kept: dict[str, Any] = {name: problem[name] for name in ErrorLine.__struct_fields__}
    return ErrorLine(**kept)
