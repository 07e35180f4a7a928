"""Every kind of change is found, once, as what it is; and what is not kept is noticed before a release."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.contract import released
from tallystick.contract.changes import CHANGES, Change
from tallystick.contract.compare import broken_promises, changes_between, every_change
from tallystick.contract.released import Released
from tallystick.contract.schemas import COMPARED
from tallystick.domain.api_versions import VERSIONS
from tests.support.second_version import NEW, OLD, SECOND, published

Json = dict[str, Any]
RELEASES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "releases"

#: What a schema says for people, and changes no value.
WORDS = {"title", "description", "examples", "contentMediaType"}

TEXT: Json = {"type": "string", "maxLength": 10, "pattern": "^a"}

#: A contract of one operation, one error and one lifecycle, with something of everything.
OPENAPI: Json = {
    "info": {"title": "t", "version": "1", "x-api-version": "2026-01-01"},
    "paths": {
        "/things": {
            "post": {
                "operationId": "createThing",
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100, "default": 20}},
                    {"in": "header", "name": "Key", "required": True, "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CreateThing"}}},
                },
                "responses": {
                    "201": {
                        "headers": {"Location": {}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "422": {"content": {"application/problem+json": {"schema": {
                        "allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": ["bad"]}}}]
                    }}}},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "CreateThing": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "amount": {"type": "integer", "minimum": 1},
                    "note": {"anyOf": [TEXT, {"type": "null"}]},
                    "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                    "tags": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 10}},
                    "kinds": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["amount"],
            },
            "Thing": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "state": {"type": "string", "enum": ["open", "closed"]},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "late": {"type": "integer"},
                    "at": {"type": "string", "format": "date-time"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                    "code": {"$ref": "#/components/schemas/Code"},
                },
                "required": ["id", "state", "note", "parts"],
            },
            "Problem": {"type": "object", "properties": {"code": {"type": "string", "enum": ["bad", "worse"]}}},
            "Code": {"type": "string", "enum": ["bad", "worse"]},
        }
    },
}  # fmt: skip
CONTRACT: Json = {
    "errors": {"bad": {"status": 422, "title": "Bad", "retryable": False, "outcome": "not_executed"}},
    "lifecycles": {
        "thing": {
            "states": ["open", "closed"],
            "final": ["closed"],
            "edges": [
                {"from": "open", "event": "close", "to": "closed", "message": "thing.closed"},
                {"from": "open", "event": "touch", "to": "open", "message": None},
            ],
        }
    },
    "messages": {"thing.closed": "Thing"},
}


def _asked(name: str, **schema: Any) -> Callable[[Json, Json], None]:
    def change(openapi: Json, _: Json) -> None:
        openapi["components"]["schemas"]["CreateThing"]["properties"][name].update(schema)

    return change


def _shown(name: str, **schema: Any) -> Callable[[Json, Json], None]:
    def change(openapi: Json, _: Json) -> None:
        openapi["components"]["schemas"]["Thing"]["properties"][name].update(schema)

    return change


def _doing(change: str) -> Callable[[Json, Json], None]:
    """A change in Python, over the document's parts by name."""

    def do(openapi: Json, contract: Json) -> None:
        operation, schemas = openapi["paths"]["/things"]["post"], openapi["components"]["schemas"]
        parts = {
            "paths": openapi["paths"], "operation": operation, "limit": operation["parameters"][0],
            "parameters": operation["parameters"], "key": operation["parameters"][1],
            "responses": operation["responses"], "asked": schemas["CreateThing"], "shown": schemas["Thing"],
            "schemas": schemas, "thing": contract["lifecycles"]["thing"], "contract": contract,
        }  # fmt: skip
        exec(change, {}, parts)

    return do


#: What is done to the contract, and the one kind of change that it is.
CASES: list[tuple[str, Callable[[Json, Json], None]]] = [
    ("operation_added", _doing("paths['/others'] = {'get': operation}")),
    ("operation_removed", _doing("paths['/things'] = {}")),
    ("operation_renamed", _doing("operation['operationId'] = 'makeThing'")),
    ("parameter_added", _doing("parameters.append({'in': 'query', 'name': 'x', 'schema': {}})")),
    ("parameter_required", _doing("parameters.append({'in': 'query', 'name': 'x', 'schema': {}, 'required': True})")),
    ("parameter_required", _doing("limit['required'] = True")),
    ("parameter_removed", _doing("parameters.pop()")),
    ("parameter_optional", _doing("key['required'] = False")),
    ("request_property_added", _doing("asked['properties']['x'] = {}")),
    ("request_property_required", _doing("asked['properties']['x'] = {}; asked['required'].append('x')")),
    ("request_property_required", _doing("asked['required'].append('mode')")),
    ("request_property_removed", _doing("del asked['properties']['note']")),
    ("request_property_removed", _doing("del operation['requestBody']")),
    ("request_property_optional", _doing("asked['required'] = []")),
    ("request_property_optional", _doing("operation['requestBody']['required'] = False")),
    ("request_narrowed", _asked("amount", minimum=2)),
    ("request_narrowed", _asked("amount", maximum=2)),
    ("request_narrowed", _asked("amount", type="string", minimum=1)),
    ("request_narrowed", _asked("mode", enum=["a"])),
    ("request_narrowed", _asked("note", anyOf=[{**TEXT, "maxLength": 9}, {"type": "null"}])),
    ("request_narrowed", _asked("note", anyOf=[{**TEXT, "pattern": "^b"}, {"type": "null"}])),
    ("request_narrowed", _asked("note", anyOf=[TEXT])),
    ("request_narrowed", _doing("limit['schema']['maximum'] = 50")),
    ("request_narrowed", _asked("tags", propertyNames={"pattern": "^a"})),
    ("request_narrowed", _asked("tags", additionalProperties={"type": "string", "maxLength": 9})),
    ("request_narrowed", _asked("tags", additionalProperties=False)),
    ("request_narrowed", _asked("kinds", uniqueItems=True)),
    ("request_narrowed", _asked("kinds", items={"type": "string", "format": "uri"})),
    ("request_widened", _asked("tags", additionalProperties=True)),
    ("request_widened", _asked("kinds", items={})),
    ("request_widened", _doing("limit['schema']['maximum'] = 200")),
    ("request_widened", _asked("mode", enum=["a", "b", "c"])),
    ("request_widened", _asked("amount", minimum=0)),
    ("request_widened", _doing("asked['additionalProperties'] = True")),
    ("default_changed", _asked("mode", default="b")),
    ("default_changed", _doing("limit['schema']['default'] = 50")),
    ("answer_property_added", _doing("shown['properties']['x'] = {'type': 'string'}")),
    ("answer_property_removed", _doing("del shown['properties']['note']")),
    ("answer_property_removed", _doing("responses['201'] = {'headers': responses['201']['headers']}")),
    ("answer_property_optional", _doing("shown['required'].remove('note')")),
    ("answer_property_promised", _doing("shown['required'].append('late')")),
    ("answer_widened", _shown("state", enum=["open", "closed", "lost"])),
    ("answer_widened", _shown("late", type="string")),
    ("answer_widened", _shown("at", format="date")),
    ("answer_widened", _doing("del shown['properties']['at']['format']")),
    ("answer_widened", _shown("late", type=["integer", "null"])),
    ("answer_widened", _doing("responses['201']['content']['application/json']['schema'] ="
                              " {'oneOf': [{'$ref': f'#/components/schemas/{n}'} for n in ('Thing', 'Problem')]}")),
    ("answer_narrowed", _shown("state", enum=["open"])),
    ("answer_narrowed", _shown("id", format="uuid")),
    ("answer_narrowed", _shown("note", anyOf=[{"type": "string"}])),
    ("open_value_added", _doing("responses['422']['content']['application/problem+json']['schema']['allOf'][1]"
                                "['properties']['code']['enum'].append('worse')")),
    ("open_value_added", _doing("schemas['Code']['enum'].append('worst')")),
    ("success_added", _doing("responses['202'] = responses['201']")),
    ("success_removed", _doing("del responses['201']")),
    ("refusal_added", _doing("responses['409'] = responses['422']")),
    ("refusal_removed", _doing("del responses['422']")),
    ("header_added", _doing("responses['201']['headers']['X'] = {}")),
    ("header_removed", _doing("del responses['201']['headers']['Location']")),
    ("error_added", _doing("contract['errors']['worse'] = {}")),
    ("error_removed", _doing("contract['errors'] = {}")),
    ("error_changed", _doing("contract['errors']['bad']['retryable'] = True")),
    ("state_added", _doing("thing['states'].append('lost')")),
    ("state_removed", _doing("thing['states'].remove('open')")),
    ("finality_changed", _doing("thing['final'].append('open')")),
    ("edge_added", _doing("thing['edges'].append({'from': 'open', 'event': 'x', 'to': 'open', 'message': None})")),
    ("edge_removed", _doing("thing['edges'].pop()")),
    ("message_added", _doing("contract['messages']['thing.opened'] = 'Thing'")),
    ("message_removed", _doing("contract['messages'] = {}")),
    ("message_moved", _doing("thing['edges'][0]['message'] = None")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_a_change_is_found_as_what_it_is(kind: str, change: Callable[[Json, Json], None]) -> None:
    openapi, contract = copy.deepcopy(OPENAPI), copy.deepcopy(CONTRACT)
    change(openapi, contract)
    old = Released(openapi=OPENAPI, contract=CONTRACT)
    found = changes_between(old, Released(openapi=openapi, contract=contract))
    assert {each.kind for each in found} == {kind}, found


def test_every_kind_has_a_case_and_the_same_is_no_change() -> None:
    assert {kind for kind, _ in CASES} | {"version_removed", "version_ended", "version_added"} == set(CHANGES)
    same = Released(openapi=OPENAPI, contract=CONTRACT)
    assert changes_between(same, same) == []
    here = released.here()
    assert changes_between(here, here) == []


def test_whatever_the_document_says_of_values_is_compared() -> None:
    document = released.here().openapi
    holders = [document["components"], document["paths"], document["webhooks"]]
    named = {name for schema in _schemas(holders) for name in schema}
    assert named - COMPARED <= WORDS
    assert named & COMPARED, "schemas were found"


def _schemas(within: Any, *, is_schema: bool = False) -> Iterator[Json]:
    """Every schema below: those of components and bodies, and those in them."""
    if isinstance(within, list):
        for each in within:
            yield from _schemas(each, is_schema=is_schema)
    elif isinstance(within, dict) and is_schema:
        yield within
        yield from _schemas([*within.get("properties", {}).values()], is_schema=True)
        for name in ("anyOf", "oneOf", "allOf", "items", "additionalProperties", "propertyNames", "prefixItems"):
            yield from _schemas(within.get(name), is_schema=True)
    elif isinstance(within, dict):
        for name, each in within.items():
            yield from _schemas(
                [*each.values()] if name == "schemas" else each, is_schema=name in ("schemas", "schema")
            )


def newest_release() -> Path:
    """The documents of the last release."""
    folders = [each for each in RELEASES.iterdir() if each.is_dir()]
    return max(folders, key=lambda each: tuple(map(int, each.name[1:].split("."))))


def test_no_promise_of_the_last_release_is_broken() -> None:
    """An incompatible change needs a new version (docs/guides/versions.md), and the versions before stay."""
    assert broken_promises(newest_release()) == []


def _write(directory: Path) -> Path:
    for name, content in released.files().items():
        (directory / name).write_bytes(content)
    return directory


@pytest.mark.exhaustive
def test_an_incompatible_change_needs_a_new_version(tmp_path: Path) -> None:
    """The release before had the first version, in which a payment had a ``statement``."""
    assert broken_promises(_write(tmp_path)) == []
    with published():
        before = released.here(VERSIONS.first)
    (tmp_path / released.OPENAPI).write_text(json.dumps(before.openapi))
    found = {(version, change.kind) for version, change in broken_promises(tmp_path)}
    kinds = {"answer_property_removed", "request_property_removed", "default_changed"}
    assert found == {(OLD, kind) for kind in kinds}
    with published():
        assert broken_promises(tmp_path) == []


@pytest.mark.exhaustive
def test_a_release_of_two_versions_keeps_both(tmp_path: Path) -> None:
    """A version that ends without notice is a broken promise; with notice it is none."""
    with published():
        _write(tmp_path)
        assert broken_promises(tmp_path) == []
    gone = (NEW, Change("version_removed", f"version {NEW}"))
    assert gone in broken_promises(tmp_path)
    contract = json.loads((tmp_path / released.CONTRACT).read_text())
    contract["versions"][1]["sunset"] = "2099-12-31"
    (tmp_path / released.CONTRACT).write_text(json.dumps(contract))
    assert gone not in broken_promises(tmp_path)


def _renamed_state(lifecycles: Json, *, name: str, of: str) -> Json:
    """Lifecycles whose state ``name`` is called ``of``."""
    return dict(json.loads(json.dumps(lifecycles).replace(f'"{name}"', f'"{of}"')))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kept", [[OLD], [OLD, NEW]])
def test_the_lifecycles_of_every_version_are_compared(tmp_path: Path, kept: list[str]) -> None:
    """A state that the product calls by another name is so for clients of the new version alone: where its row does not
    say what the old one was, they would meet a state that they do not know."""
    translated = replace(SECOND, lifecycles=lambda newest: _renamed_state(newest, name="under_review", of="in_review"))
    with VERSIONS.also(translated):
        _write(tmp_path)
        assert broken_promises(tmp_path) == []
        if NEW not in kept:
            older = (tmp_path / released.older_name(OLD)).read_bytes()
            (tmp_path / released.OPENAPI).write_bytes(older)
            contract = json.loads((tmp_path / released.CONTRACT).read_text())
            kept_then = {"lifecycles": contract["older"][OLD]["lifecycles"], "older": {}}
            contract |= kept_then | {"version": OLD, "versions": contract["versions"][:1]}
            (tmp_path / released.CONTRACT).write_text(json.dumps(contract))
        found = every_change(tmp_path)
        assert found == ([] if NEW in kept else [(NEW, Change("version_added", f"version {NEW}"))])
    with published():
        found = broken_promises(tmp_path)
    assert found == [
        (OLD, Change("state_added", "dispute state under_review")),
        (OLD, Change("state_removed", "dispute state in_review")),
    ]


@pytest.mark.exhaustive
def test_a_version_has_the_states_of_its_document() -> None:
    """Both are translated, each by itself."""
    for version in VERSIONS.rows:
        here = released.here(version)
        assert here.contract is not None
        for name in ("payment", "refund", "dispute"):
            states = here.openapi["components"]["schemas"][f"{name.capitalize()}State"]["enum"]
            assert states == here.contract["lifecycles"][name]["states"], (version.date, name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kept", [[OLD], [OLD, NEW]])
def test_what_no_version_translates_is_kept_for_clients_of_all(tmp_path: Path, kept: list[str]) -> None:
    """A new version does not excuse another status of an error, or the end of a type of message: clients of the old one
    meet both."""
    with published():
        written = released.files()
        older = written[released.older_name(OLD)]
    if NEW not in kept:
        written = released.files() | {released.OPENAPI: older}
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    contract = json.loads((tmp_path / released.CONTRACT).read_text())
    contract["errors"]["not_found"]["status"] = 410
    contract["messages"]["payment.blessed"] = "Payment"
    (tmp_path / released.CONTRACT).write_text(json.dumps(contract))
    with published():
        found = {(version, change.kind) for version, change in broken_promises(tmp_path)}
    assert found == {(version, kind) for version in kept for kind in ("error_changed", "message_removed")}
