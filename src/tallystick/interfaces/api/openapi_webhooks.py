"""What we send to merchants, for the OpenAPI document: a schema for the messages about each kind of subject, and one
webhook for each type of message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallystick.decisions.messages import TEST_TYPE, WebhookEndpointTestMessage
from tallystick.domain.json_types import example_id
from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.interfaces.api.openapi_schemas import reference
from tallystick.interfaces.api.parameters import Schema

TAG: Final = "Messages to merchants"

#: Of Standard Webhooks 1.0.0.
_HEADERS: Final = (
    ("webhook-id", {"type": "string", "examples": [example_id("msg")]}, "The message's id, the same at every try."),
    (
        "webhook-timestamp",
        {"type": "string", "pattern": "^[0-9]+$", "examples": ["1795685400"]},
        "When this try was signed, in seconds since 1970.",
    ),
    (
        "webhook-signature",
        {"type": "string", "examples": ["v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="]},
        "Signatures of `id.timestamp.body` by each secret in use, separated by spaces. Refuse what has no valid one.",
    ),
)

_RESPONSES: Final[Schema] = {
    "2XX": {"description": "Received: the message is not sent again."},
    "410": {"description": "The endpoint is gone: it is disabled, and gets no more messages."},
    "default": {"description": "Anything else, or nothing in time: the message is sent again later."},
}


def message_schemas(message: Schema, schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The schemas of messages: ``message``, which is of all of them, with the types and the subject of each kind, whose
    schema is in ``schemas``."""
    messages: dict[str, Schema] = {}
    for kind, types in _told():
        subject = kind.struct.__name__  # as its view is called in the document
        shown = f"{kind.name}.{schemas[subject]['properties']['state']['examples'][0]}"
        messages[_message(kind)] = message | {
            "description": f"A message about a {kind.name}.",
            "properties": message["properties"]
            | {
                "type": message["properties"]["type"] | {"type": "string", "enum": types, "examples": [shown]},
                "data": message["properties"]["data"] | reference(subject),
            },
        }
    return messages


def shown_in_messages() -> list[type[Any]]:
    """The types of messages' data: some are in no answer."""
    return [kind.shown_as for kind, _ in _told() if kind.shown_as is not None]


def webhooks() -> dict[str, Schema]:
    """The section ``webhooks``: what is sent, by type."""
    told = {type_: {"post": _about_a_subject(type_, kind)} for kind, types in _told() for type_ in types}
    test = _operation(
        TEST_TYPE,
        "A test message",
        "Sent on request, once, to one endpoint, whatever types it takes. It reports nothing that happened.",
        WebhookEndpointTestMessage.__name__,
    )
    return told | {TEST_TYPE: {"post": test}}


def _about_a_subject(type_: str, kind: SubjectKind) -> Schema:
    subject, _, step = type_.partition(".")
    return _operation(
        type_,
        f"A {subject}: {step.replace('_', ' ')}",
        f"Sent to every endpoint that takes `{type_}`, at least once, after the step is recorded. Keep the highest"
        " `version` of a payment that you have seen: an older message may come later.",
        _message(kind),
    )


def _operation(type_: str, summary: str, description: str, body: str) -> Schema:
    return {
        "operationId": "on" + "".join(word.capitalize() for word in re.split("[._]", type_)),
        "summary": summary,
        "description": description,
        "tags": [TAG],
        "security": [],
        "parameters": [
            {"in": "header", "name": name, "required": True, "schema": schema, "description": description}
            for name, schema, description in _HEADERS
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference(body)}},
        },
        "responses": _RESPONSES,
    }


def _told() -> Iterator[tuple[SubjectKind, list[str]]]:
    """The kinds that messages are about, with the types of these messages."""
    for kind in KINDS.values():
        if types := sorted({edge.told for _, _, edge in kind.machine.live_edges() if edge.told}):
            yield kind, types


def _message(kind: SubjectKind) -> str:
    return f"{kind.struct.__name__}Message"
