"""What people and generators need of the OpenAPI document: each thing described, each example right, each error
named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, get_args, get_type_hints

import jsonschema_rs
import pytest

from tallystick.decisions.messages import TEST_TYPE, message_types
from tallystick.domain.errors import ERRORS
from tallystick.domain.json_types import EXAMPLE_TIME, example_id
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id
from tests.support.openapi import published_document
from tests.support.recorded_messages import recorded

DOCUMENT: dict[str, Any] = published_document()
COMPONENTS: dict[str, Any] = DOCUMENT["components"]
SCHEMAS: dict[str, Any] = COMPONENTS["schemas"]

#: Ids that others mint, in their own form.
FOREIGN_IDS = {"merchant_id", "provider_event_id"}

#: Members that hold data and no schemas.
DATA = {"examples", "example", "enum", "const", "default"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for section in ("paths", "webhooks"):
        for path, item in DOCUMENT[section].items():
            for method, operation in item.items():
                yield f"{method} {path}", operation


def properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every property, with the schema that it is in; those of nested objects too."""
    open_ends = list(SCHEMAS.items())
    while open_ends:
        name, node = open_ends.pop()
        for field, schema in node.get("properties", {}).items():
            yield name, field, schema
            open_ends.append((f"{name}.{field}", schema))
        open_ends += [(name, each) for each in node.get("anyOf", ())]
        if "items" in node:
            open_ends.append((name, node["items"]))


def schemas_with_examples(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield place, node
        for name, each in node.items():
            if name not in DATA:
                yield from schemas_with_examples(each, f"{place}/{name}")
    elif isinstance(node, list):
        for number, each in enumerate(node):
            yield from schemas_with_examples(each, f"{place}/{number}")


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value by one of the document's schemas."""
    whole = {"allOf": [schema], "components": {"schemas": _used_by(schema)}}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]


def _used_by(schema: dict[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    open_ends = [schema]
    while open_ends:
        for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(open_ends.pop())):
            if name not in used:
                used[name] = SCHEMAS[name]
                open_ends.append(SCHEMAS[name])
    return used


def test_every_operation_and_all_that_it_takes_and_gives_is_described() -> None:
    lacking = []
    for name, operation in operations():
        described = {name: operation, f"{name} (summary)": {"description": operation.get("summary")}}
        described |= {f"{name} {each['name']}": each for each in operation.get("parameters", ())}
        described |= {f"{name} {status}": each for status, each in operation["responses"].items()}
        lacking += [place for place, each in described.items() if not each.get("description")]
    lacking += [name for name, each in COMPONENTS["headers"].items() if not each.get("description")]
    assert lacking == []


def test_every_schema_and_every_property_is_described() -> None:
    lacking = [name for name, schema in SCHEMAS.items() if not schema.get("description")]
    lacking += [f"{name}.{field}" for name, field, schema in properties() if not schema.get("description")]
    assert lacking == [], "say what it means where its type is: tallystick.domain.json_types.described"


def test_descriptions_are_markdown_and_sentences() -> None:
    said = {f"{name}.{field}": schema["description"] for name, field, schema in properties()}
    said |= {name: schema["description"] for name, schema in SCHEMAS.items()}
    said |= {name: operation["description"] for name, operation in operations()}
    assert [place for place, text in said.items() if "``" in text or "\n" in text or not text.endswith(".")] == []


def test_every_operation_has_one_group_and_every_group_is_described() -> None:
    used = [tag for _, operation in operations() for tag in operation["tags"]]
    assert len(used) == len(list(operations()))
    assert set(used) == {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_servers_are_named() -> None:
    assert DOCUMENT["servers"][0]["url"] == "/"  # wherever it was read from
    assert all(server["description"] for server in DOCUMENT["servers"])


def test_every_code_is_named_at_each_operation_that_answers_it() -> None:
    answers = {(each.method.lower(), each.path): each.codes for each in ENDPOINTS}
    answers["post", provider_webhooks.PATH] = provider_webhooks.CODES
    for (method, path), codes in answers.items():
        responses = DOCUMENT["paths"][path][method]["responses"]
        for code in codes:
            response = responses[str(ERRORS[code].status)]
            assert f"`{code}`" in response["description"], (method, path, code)
            assert code in response["content"]["application/problem+json"]["examples"], (method, path, code)
    named = {code for codes in answers.values() for code in codes}
    assert set(ERRORS) - named == {"method_not_allowed"}
    assert set(SCHEMAS["ErrorCode"]["enum"]) == set(ERRORS) == set(COMPONENTS["examples"])


def test_every_error_is_the_one_problem() -> None:
    bodies = [
        content
        for _, operation in operations()
        for status, response in operation["responses"].items()
        if status[0] in "45"
        for content in response.get("content", {}).values()
    ]
    assert {json.dumps(body["schema"]) for body in bodies} == {json.dumps({"$ref": "#/components/schemas/Problem"})}
    statuses = [node for node in _nodes(DOCUMENT["paths"]) if isinstance(node.get("status"), dict)]
    assert statuses == []


def test_every_example_is_valid() -> None:
    wrong = {
        place: found
        for place, schema in [*schemas_with_examples(DOCUMENT["paths"]), *schemas_with_examples(DOCUMENT["webhooks"])]
        for example in schema["examples"]
        if (found := faults(schema, example))
    }
    for place, schema in schemas_with_examples(COMPONENTS):
        for example in schema["examples"]:
            if found := faults(schema, example):
                wrong[place] = found
    for code, example in COMPONENTS["examples"].items():
        if found := faults({"$ref": "#/components/schemas/Problem"}, example["value"]):
            wrong[code] = found
        assert example["value"]["code"] == code
    assert wrong == {}


def test_only_answers_to_instructions_are_called_final() -> None:
    called = {
        name
        for name, each in operations()
        if any(
            "final" in each["responses"][status]["description"].lower()
            for status in {"200", "201"} & each["responses"].keys()
        )
    }
    keyed = {f"{each.method.lower()} {each.path}" for each in ENDPOINTS if IDEMPOTENCY_KEY in each.parameters}
    assert len(keyed) == 4
    assert called == keyed


def test_every_body_has_an_example() -> None:
    lacking = [name for name, schema in SCHEMAS.items() if "properties" in schema and not schema.get("examples")]
    assert lacking == []


def test_a_wrong_example_is_found() -> None:
    assert faults({"$ref": "#/components/schemas/Payment"}, {"id": "pay_1"})
    assert faults({"type": "string", "format": "date-time"}, "yesterday")


def test_every_time_is_one() -> None:
    types = {
        body
        for each in ENDPOINTS
        for body in (*each.responses.values(), each.operators_response, each.body_type)
        if body
    }
    open_ends, seen = list(types), set(types)
    lacking = []
    while open_ends:
        body = open_ends.pop()
        shown = SCHEMAS[body.__name__.removesuffix("View")]["properties"]
        for name, hint in get_type_hints(body).items():
            parts = set(_parts(hint))
            if datetime in parts and '"date-time"' not in json.dumps(shown[_encoded(body, name)]):
                lacking.append(f"{body.__name__}.{name}")
            more = {part for part in parts if hasattr(part, "__struct_fields__")} - seen
            seen |= more
            open_ends += more
    assert lacking == [], "use tallystick.domain.json_types.Time"


def test_every_id_has_a_form() -> None:
    lacking = [
        f"{name}.{field}"
        for name, field, schema in properties()
        if (field == "id" or field.endswith("_id"))
        and field not in FOREIGN_IDS
        and not any("pattern" in each for each in (schema, *schema.get("anyOf", ())))
    ]
    lacking += [
        f"{place} {each['name']}"
        for place, operation in operations()
        for each in operation.get("parameters", ())
        if each["in"] == "path" and each["name"].endswith("id") and "pattern" not in each["schema"]
    ]
    assert lacking == [], "use an id of tallystick.domain.json_types"
    assert re.fullmatch(SCHEMAS["Payment"]["properties"]["id"]["pattern"], new_id("pay"))


def test_every_message_that_is_sent_is_a_webhook_with_a_typed_body() -> None:
    assert set(DOCUMENT["webhooks"]) == {*message_types(), TEST_TYPE}
    for type_, item in DOCUMENT["webhooks"].items():
        if type_ == TEST_TYPE:
            continue
        body = _message_schemas()[type_]["$ref"].rpartition("/")[2]
        assert type_ in SCHEMAS[body]["properties"]["type"]["enum"]
        subject = SCHEMAS[body]["properties"]["data"]["$ref"].rpartition("/")[2]
        assert subject.lower() == type_.partition(".")[0]
        assert {each["name"] for each in item["post"]["parameters"]} == {
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        }


def test_messages_are_what_the_webhooks_say() -> None:
    """Every message of the recorded lives, with the ids and times that the record leaves out."""
    sent = {
        json.dumps(_complete(message["body"]), sort_keys=True)
        for part in recorded().values()
        for life in part.values()
        for message in life
    }
    validators = {
        type_: jsonschema_rs.Draft202012Validator({"allOf": [schema], "components": {"schemas": _used_by(schema)}})
        for type_, schema in _message_schemas().items()
    }
    wrong = [
        (body, error.message)
        for body in sent
        for error in validators[json.loads(body)["type"]].iter_errors(json.loads(body))
    ]
    assert wrong == []
    assert len({json.loads(body)["type"] for body in sent}) > len(message_types()) // 2


def _message_schemas() -> dict[str, dict[str, Any]]:
    return {
        type_: item["post"]["requestBody"]["content"]["application/json"]["schema"]
        for type_, item in DOCUMENT["webhooks"].items()
    }


def _complete(body: dict[str, Any]) -> dict[str, Any]:
    data = body["data"]
    ids = {"id": example_id({"payment": "pay", "refund": "re", "dispute": "dp"}[data["object"]])}
    of_payment = {"payment_id": example_id("pay")}
    times = {"created_at": EXAMPLE_TIME, "updated_at": EXAMPLE_TIME}
    subject = data | ids | times | (of_payment if "payment_id" in data else {})
    return body | of_payment | {"id": example_id("msg"), "timestamp": EXAMPLE_TIME, "data": subject}


@pytest.mark.parametrize("name", ["PaymentState", "ErrorCode", "Currency", "MessageType", "EventState"])
def test_an_enumeration_with_a_name_is_written_once(name: str) -> None:
    """So that a client has one type for it."""
    values = set(SCHEMAS[name]["enum"])
    assert [n for n in _nodes(DOCUMENT) if isinstance(n.get("enum"), list) and set(n["enum"]) == values] == [
        SCHEMAS[name]
    ]
    assert f'"#/components/schemas/{name}"' in json.dumps(DOCUMENT)


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for name, each in node.items():
            if name not in DATA:
                yield from _nodes(each)
    elif isinstance(node, list):
        for each in node:
            yield from _nodes(each)


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for each in get_args(hint):
        yield from _parts(each)


def _encoded(body: type[Any], name: str) -> str:
    encoded: str = body.__struct_encode_fields__[body.__struct_fields__.index(name)]
    return encoded
