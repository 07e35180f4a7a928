"""The documents of a release: made from the code, written to a directory, and read from it again."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tallystick.contract.document import render_contract
from tallystick.decisions.messages import MessageBody, message_types, shown_by
from tallystick.domain.api_versions import VERSIONS, ApiVersion, schema_name
from tallystick.domain.errors import ERRORS, TallystickError
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.table import Machine
from tallystick.interfaces.api.openapi import openapi_document

Json = dict[str, Any]

CONTRACT: Final = "contract.json"
OPENAPI: Final = "openapi.json"
PAGE: Final = "contract.md"

#: What of ``contract.json`` holds in every version: how an error is meant, and the types of messages, are not
#: translated.
_OF_EVERY_VERSION: Final = ("errors", "messages")


class NotReleased(TallystickError):
    """There are no documents of a release."""


class Released(Struct, frozen=True, kw_only=True):
    """What a release says of one version. ``contract`` is None of releases before 0.3.0, which kept none; of a version
    that is not the newest it has what holds in every one, and the lifecycles of that one. ``version`` is None of
    releases before there were dated versions."""

    openapi: Json
    contract: Json | None

    @property
    def version(self) -> str | None:
        """The date of the version."""
        dated: str | None = self.openapi["info"].get("x-api-version")
        return dated


def here(version: ApiVersion | None = None) -> Released:
    """This release's own documents, of the newest version or of an older one."""
    asked = version or VERSIONS.newest
    openapi: Json = json.loads(openapi_document(asked))
    contract = machine_contract()
    return Released(openapi=openapi, contract=contract if asked is VERSIONS.newest else _of_older(contract, asked.date))


def read(directory: Path, version: str | None = None) -> Released:
    """What a release kept, of its newest version or of an older one. Raises NotReleased."""
    newest, kept = _read(directory / OPENAPI), directory / CONTRACT
    contract = _read(kept) if kept.exists() else None
    if version in (None, newest["info"].get("x-api-version")):
        return Released(openapi=newest, contract=contract)
    older = _read(directory / older_name(str(version)))
    return Released(openapi=older, contract=None if contract is None else _of_older(contract, str(version)))


def served(directory: Path | None = None) -> list[Json]:
    """The versions that a release served, the oldest first, with the dates of their ends; by default those of this
    one. None of a release before there were any. Raises NotReleased."""
    contract = machine_contract() if directory is None else read(directory).contract
    versions: list[Json] = [] if contract is None else contract["versions"]
    return versions


def files() -> dict[str, bytes]:
    """The documents that a release keeps, by their names."""
    older = {older_name(row.date): _pretty(json.loads(openapi_document(row))) for row in VERSIONS.rows[:-1]}
    return {
        PAGE: render_contract().encode(),
        CONTRACT: _pretty(machine_contract()),
        OPENAPI: _pretty(json.loads(openapi_document())),
        **older,
    }


def older_name(version: str) -> str:
    """The name of the OpenAPI document of a version that is not the newest one."""
    return f"openapi-{version}.json"


def machine_contract() -> Json:
    """What the contract's tables say, for programs: errors, lifecycles, messages. ``older``: what other versions than
    the newest have of their own."""
    lifecycles = {name: _lifecycle(machine) for name, machine in MACHINES.items()}
    return {
        "version": VERSIONS.newest.date,
        "versions": [_dated(row) for row in VERSIONS.rows],
        "errors": {
            code: {
                "status": kind.status,
                "title": kind.title,
                "retryable": kind.retryable,
                "outcome": kind.outcome,
                "uses_key": kind.uses_key,
            }
            for code, kind in ERRORS.items()
        },
        "lifecycles": lifecycles,
        "older": {
            row.date: {"lifecycles": VERSIONS.lifecycles(copy.deepcopy(lifecycles), row)} for row in VERSIONS.rows[:-1]
        },
        "messages": {
            name: None if (shown := shown_by(name)) is None else schema_name(shown) for name in message_types()
        },
        "message_members": list(MessageBody.__struct_fields__),
    }


def _of_older(contract: Json, version: str) -> Json:
    own: Json = contract["older"][version]
    return {name: contract[name] for name in _OF_EVERY_VERSION} | own


def _dated(version: ApiVersion) -> Json:
    ends = version.deprecation
    return {
        "date": version.date,
        "deprecated": None if ends is None else ends.since.isoformat(),
        "sunset": None if ends is None or ends.sunset is None else ends.sunset.isoformat(),
    }


def _lifecycle(machine: Machine) -> Json:
    return {
        "states": list(machine.states),
        "final": sorted(machine.final),
        "edges": [
            {"from": state, "event": event, "to": edge.to, "message": edge.told}
            for state, event, edge in machine.live_edges()
        ],
    }


def _read(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise NotReleased(f"cannot read {path}: {type(error).__name__}") from None
    return found


def _pretty(document: Json) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
