"""The schemas of the OpenAPI document: what msgspec makes of the bodies' types, corrected in this one place, and an
example of each, made from the examples of its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from tallystick.decisions.messages import message_types
from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.errors import ERRORS
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.money import ACCEPTED
from tallystick.domain.provider_event_state import EVENT_STATES
from tallystick.domain.requests.commands import CAPTURE_METHODS, SCHEMAS
from tallystick.flows.webhooks.outbound.endpoints import DELIVERY_STATES
from tallystick.interfaces.api.parameters import Schema
from tallystick.interfaces.api.routes.webhook_deliveries import ATTEMPT_RESULTS

#: Where the schemas of a document are.
PREFIX: Final = "#/components/schemas/"

#: Enumerations that have a name in the document, so that clients get one type for each: description and values.
NAMED: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "CaptureMethod": ("When the money of a payment is captured.", CAPTURE_METHODS),
    "Currency": ("The ISO 4217 code of a currency that there are payments in.", sorted(EXPONENTS)),
    "DisputeState": ("A state of disputes.", DISPUTE.states),
    "ErrorCode": (
        "The codes of errors, in the order of the checks. A code is never reused or renamed. The list is open: a later"
        " release may have more.",
        list(ERRORS),
    ),
    "EventState": ("A state of providers' events.", EVENT_STATES),
    "MessageType": ("A type of message to merchants.", message_types()),
    "NewPaymentCurrency": ("The ISO 4217 code of a currency that payments can be made in.", sorted(ACCEPTED)),
    "PaymentState": (
        "A state of payments. `authorizing`: asked of the provider. `requires_action`: the payer has to act."
        " `authorized`: the money is held. `capturing`, `canceling`: asked of the provider. `captured`: the money is"
        " taken. `declined`: the provider said no. `failed`: the provider did not carry it out. `canceled`: released,"
        " or never taken. `expired`: the hold or the payer's time ran out. The list is closed: one more state needs a"
        " new version.",
        PAYMENT.states,
    ),
    "RefundState": (
        "A state of refunds. `submitting`: asked of the provider. `pending`: the provider decides later. `succeeded`:"
        " paid back. `failed`: not paid back. The list is closed: one more state needs a new version.",
        REFUND.states,
    ),
    "WebhookDeliveryState": ("A state of deliveries to webhook endpoints.", DELIVERY_STATES),
    "WebhookResult": ("What came of a try to deliver a message to a webhook endpoint.", ATTEMPT_RESULTS),
}
_NAME_OF: Final = {tuple(sorted(values)): name for name, (_, values) in NAMED.items()}

#: Members whose values are data and no schemas.
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples", "value"})


def reference(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"{PREFIX}{name}"}


def component_schemas(types: Iterable[type[Any]]) -> dict[str, Schema]:
    """The schemas of these types and of the bodies that are parsed by hand, without corrections."""
    schemas: dict[str, Schema] = msgspec.json.decode(_schemas_of(tuple(sorted(set(types), key=_name))))
    # Clients know a Payment; the name PaymentView is internal.
    return {_public(name): schema for name, schema in schemas.items()} | {n: dict(s) for n, s in SCHEMAS.items()}


@cache  # half of what a document costs, and there is one for each version that is served
def _schemas_of(types: tuple[Any, ...]) -> bytes:
    """As JSON: whoever asks gets a copy of his own, and changes it."""
    _, schemas = msgspec.json.schema_components(types, ref_template=f"{PREFIX}{{name}}")
    return msgspec.json.encode(schemas)


def _name(of: type[Any]) -> str:
    return of.__name__


def corrected(document: Any) -> Any:
    """A document or a part of it, as it is published. Enumerations with a name are referenced, our docstrings become
    Markdown, and a default of null is left out: generators would take such a member for one that is always there."""
    if isinstance(document, list):
        return [corrected(each) for each in document]
    if not isinstance(document, dict):
        return document
    titled = "license" in document  # elsewhere a title is what msgspec calls a type
    node = {
        name: each if name in _DATA else corrected(each)
        for name, each in document.items()
        if name != "title" or titled or isinstance(each, dict)  # a field of this name
    }
    if node.get("default", ...) is None:
        del node["default"]
    if isinstance(node.get("description"), str):
        node["description"] = node["description"].replace("``", "`").replace("\n", " ")
    if isinstance(node.get("$ref"), str):
        node["$ref"] = _public(node["$ref"])
        node.pop("type", None)
    if "description" in node:  # the field's own, not those of its types
        for each in node.get("anyOf", ()):
            each.pop("description", None)
            each.pop("examples", None)
    if isinstance(node.get("enum"), list | tuple) and (name := _NAME_OF.get(tuple(sorted(node["enum"])))):
        return {"$ref": f"{PREFIX}{name}"} | {kept: node[kept] for kept in node if kept not in ("type", "enum")}
    return node


def named_enumerations() -> dict[str, Schema]:
    """The schemas of enumerations that have a name."""
    return {
        name: {"type": "string", "description": description, "enum": list(values)}
        for name, (description, values) in NAMED.items()
    }


def with_examples(schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The schemas of objects with an example each."""
    return {
        name: schema | {"examples": [example_of(schema, schemas)]} if "properties" in schema else schema
        for name, schema in schemas.items()
    }


def example_of(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """An example of what a schema allows. Of an object it has the fields that are required, and those that have an
    example of their own. Null where a field that needs an example has none."""
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(PREFIX)], schemas)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if schema.get("type") == "object":
        shown = schema.get("required", ())
        return {
            name: example_of(field, schemas)
            for name, field in schema.get("properties", {}).items()
            if name in shown or "examples" in field
        }
    return schema.get("default")


def _public(name: str) -> str:
    return name.removesuffix("View")
