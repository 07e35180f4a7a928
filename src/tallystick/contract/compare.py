"""Two released contracts compared: what changed from one to the other, and what that is to clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tallystick.contract import released
from tallystick.contract.changes import Change
from tallystick.contract.released import Released
from tallystick.contract.schemas import Comparison, Json, Side
from tallystick.domain.api_versions import VERSIONS

VERSION_HEADER: Final = "Tallystick-Version"

METHODS: Final = ("get", "post", "put", "patch", "delete")


def changes_between(old: Released, new: Released) -> list[Change]:
    """Every change, sorted. What only one of them has is not compared: releases before 0.3.0 kept no
    ``contract.json``."""
    found = list(_operations(old.openapi, new.openapi))
    found += _webhooks(old.openapi, new.openapi)
    if old.contract is not None and new.contract is not None:
        found += _errors(old.contract, new.contract)
        found += _lifecycles(old.contract["lifecycles"], new.contract["lifecycles"])
        found += _messages(old.contract, new.contract)
    return sorted(set(found))


def every_change(old: Path, new: Path | None = None) -> list[tuple[str, Change]]:
    """(version, change) between two releases, whose documents are in these directories; ``new`` None: this release.
    Each version that both serve is compared with itself, for its clients stay in it. A version may be gone after a
    release that named the day of its sunset. A release of before there were versions is compared with the oldest
    version, which its clients are in. Raises NotReleased."""
    was, serves = ({row["date"]: row["sunset"] for row in released.served(each)} for each in (old, new))
    if not was:
        oldest = next(iter(serves), None)
        return [(oldest or "", change) for change in changes_between(released.read(old), _of(new, oldest))]
    found = [(dated, Change("version_added", f"version {dated}")) for dated in serves if dated not in was]
    for dated, sunset in was.items():
        if dated in serves:
            found += [(dated, each) for each in changes_between(released.read(old, dated), _of(new, dated))]
        else:
            ended = "version_removed" if sunset is None else "version_ended"
            found.append((dated, Change(ended, f"version {dated}")))
    return found


def broken_promises(directory: Path) -> list[tuple[str, Change]]:
    """What this release breaks of the versions that a release served, whose documents are in ``directory``: (version,
    incompatible change). Releases before there were dated versions promised nothing. Raises NotReleased."""
    if not released.served(directory):
        return []
    return [(dated, change) for dated, change in every_change(directory) if not change.compatible]


def _of(directory: Path | None, dated: str | None) -> Released:
    if directory is not None:
        return released.read(directory, dated)
    return released.here(None if dated is None else VERSIONS.find(dated))


def _operations(old: Json, new: Json) -> Iterator[Change]:
    before, after = dict(_each_operation(old)), dict(_each_operation(new))
    for place in before.keys() - after.keys():
        yield Change("operation_removed", place)
    for place in after.keys() - before.keys():
        yield Change("operation_added", place)
    requests = Comparison(Side(old), Side(new), answers=False)
    answers = Comparison(Side(old), Side(new), answers=True)
    for place in before.keys() & after.keys():
        had, has = before[place], after[place]
        if had.get("operationId") != has.get("operationId"):
            yield Change("operation_renamed", place, f"{had.get('operationId')} is {has.get('operationId')}")
        yield from _parameters(requests, Side(old), Side(new), had, has, place)
        yield from _request_body(requests, had, has, place)
        yield from _responses(answers, Side(old), Side(new), had, has, place)


def _each_operation(document: Json) -> Iterator[tuple[str, Json]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _parameters(requests: Comparison, old: Side, new: Side, before: Json, after: Json, place: str) -> Iterator[Change]:
    had = {(each["in"], each["name"]): each for each in map(old.resolved, before.get("parameters", ()))}
    has = {(each["in"], each["name"]): each for each in map(new.resolved, after.get("parameters", ()))}
    for where, name in had.keys() - has.keys():
        yield Change("parameter_removed", f"{place} {where} {name}")
    for (where, name), parameter in has.items():
        inner, earlier = f"{place} {where} {name}", had.get((where, name))
        required = parameter.get("required", False)
        if earlier is None:
            yield Change("parameter_required" if required else "parameter_added", inner)
            continue
        if required != earlier.get("required", False):
            yield Change("parameter_required" if required else "parameter_optional", inner)
        if name != VERSION_HEADER:  # which versions there are is compared by itself
            yield from requests.compare(earlier["schema"], parameter["schema"], inner)


def _request_body(requests: Comparison, before: Json, after: Json, place: str) -> Iterator[Change]:
    had, has = _json_body(before.get("requestBody")), _json_body(after.get("requestBody"))
    inner = f"{place} body"
    if had is None or has is None:
        if had is not None:
            yield Change("request_property_removed", inner)
        elif has is not None:
            needed = after["requestBody"].get("required", False)
            yield Change("request_property_required" if needed else "request_property_added", inner)
        return
    was, is_now = (each["requestBody"].get("required", False) for each in (before, after))
    if was != is_now:
        yield Change("request_property_required" if is_now else "request_property_optional", inner)
    yield from requests.compare(had, has, inner)


def _responses(answers: Comparison, old: Side, new: Side, before: Json, after: Json, place: str) -> Iterator[Change]:
    had, has = before["responses"], after["responses"]
    for status in had.keys() - has.keys():
        yield Change("success_removed" if status < "300" else "refusal_removed", f"{place} {status}")
    for status in has.keys() - had.keys():
        yield Change("success_added" if status < "300" else "refusal_added", f"{place} {status}")
    for status in had.keys() & has.keys():
        inner = f"{place} {status}"
        first, second = old.resolved(had[status]), new.resolved(has[status])
        for name in first.get("headers", {}).keys() - second.get("headers", {}).keys():
            yield Change("header_removed", f"{inner} {name}")
        for name in second.get("headers", {}).keys() - first.get("headers", {}).keys():
            yield Change("header_added", f"{inner} {name}")
        shown, shows = _json_body(first), _json_body(second)
        if shown is not None and shows is not None:
            yield from answers.compare(shown, shows, f"{inner} body")
        elif shown is not shows:
            kind = "answer_property_removed" if shows is None else "answer_property_added"
            yield Change(kind, f"{inner} body")


def _json_body(holder: Json | None) -> Json | None:
    """The schema of a JSON body, of a request or an answer."""
    content = {} if holder is None else holder.get("content", {})
    for name in ("application/json", "application/problem+json"):
        if name in content:
            schema: Json = content[name]["schema"]
            return schema
    return None


def _webhooks(old: Json, new: Json) -> Iterator[Change]:
    """Messages, where both documents have them."""
    if "webhooks" not in old or "webhooks" not in new:
        return
    answers = Comparison(Side(old), Side(new), answers=True)
    for name in old["webhooks"].keys() & new["webhooks"].keys():
        had, has = (_json_body(each["webhooks"][name].get("post", {}).get("requestBody")) for each in (old, new))
        if had is not None and has is not None:
            yield from answers.compare(had, has, f"message {name}")


def _errors(old: Json, new: Json) -> Iterator[Change]:
    yield from _names(old["errors"], new["errors"], "error")
    for code in old["errors"].keys() & new["errors"].keys():
        before, after = old["errors"][code], new["errors"][code]
        for name in before:
            if name != "title" and before[name] != after.get(name):
                yield Change("error_changed", f"error {code}", f"{name} {before[name]} is {after.get(name)}")


def _lifecycles(old: Json, new: Json) -> Iterator[Change]:
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        yield from _names(before["states"], after["states"], "state", f"{name} ")
        both = set(before["states"]) & set(after["states"])
        for state in sorted((set(before["final"]) ^ set(after["final"])) & both):
            yield Change("finality_changed", f"{name} {state}")
        yield from _edges(before["edges"], after["edges"], name)


def _edges(old: list[Json], new: list[Json], name: str) -> Iterator[Change]:
    before, after = ({(each["from"], each["event"], each["to"]): each for each in edges} for edges in (old, new))
    for state, event, to in before.keys() - after.keys():
        yield Change("edge_removed", f"{name} {state} {event} {to}")
    for state, event, to in after.keys() - before.keys():
        yield Change("edge_added", f"{name} {state} {event} {to}")
    for edge in before.keys() & after.keys():
        told, tells = before[edge]["message"], after[edge]["message"]
        if told not in (None, tells):
            yield Change("message_moved", f"{name} {' '.join(edge)}", f"{told} is {tells}")


def _messages(old: Json, new: Json) -> Iterator[Change]:
    yield from _names(old["messages"], new["messages"], "message")


def _names(old: Any, new: Any, what: str, prefix: str = "") -> Iterator[Change]:
    for name in set(old) - set(new):
        yield Change(f"{what}_removed", f"{prefix}{what} {name}")
    for name in set(new) - set(old):
        yield Change(f"{what}_added", f"{prefix}{what} {name}")
