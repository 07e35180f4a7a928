"""Two JSON Schemas of OpenAPI documents compared: what requests may have, and what answers promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tallystick.contract.changes import Change

Json = dict[str, Any]

#: Lists that are open by contract: clients must expect values that they do not know.
OPEN_LISTS: Final = frozenset({"code", "type", "event_types", "result", "currency"})

#: Limits by name: whether a larger figure allows more.
LIMITS: Final = {
    "minLength": False, "maxLength": True, "minimum": False, "maximum": True, "minItems": False, "maxItems": True,
    "minProperties": False, "maxProperties": True, "uniqueItems": False, "exclusiveMinimum": False,
    "exclusiveMaximum": True,
}  # fmt: skip

#: What else says which values there are; compared as it is.
FORMS: Final = ("pattern", "format", "multipleOf")

#: Schemas of what is within a value, by how places name it. Without one, anything may be within.
INNER: Final = {"items": "[]", "additionalProperties": ".*", "propertyNames": ".(name)"}

#: All that is compared of a schema: a test sees that the document has nothing else but words.
COMPARED: Final = frozenset({
    *LIMITS, *FORMS, *INNER, "$ref", "allOf", "anyOf", "oneOf", "type", "enum", "const", "default", "properties",
    "required",
})  # fmt: skip

_NULL: Final = "null"

#: Where a part of several keeps the reference that it stands as.
_NAME: Final = "$ref of the part"


class Side(NamedTuple):
    """One of the two documents, and the schemas in it that are referred to."""

    document: Json

    def resolved(self, schema: Json) -> Json:
        """The schema itself: references followed, parts of ``allOf`` merged."""
        merged: Json = {}
        while (reference := schema.get("$ref")) is not None:
            merged |= {name: value for name, value in schema.items() if name != "$ref"}
            schema = self._at(reference)
        for part in schema.get("allOf", ()):
            merged = _merged(merged, self.resolved(part))
        return _merged({name: value for name, value in schema.items() if name != "allOf"}, merged)

    def parts(self, schema: Json) -> tuple[list[Json], bool]:
        """What a schema is one of, without null, and whether it may be null."""
        whole = self.resolved(schema)
        parts, nullable = [], False
        for part in whole.get("anyOf") or whole.get("oneOf") or [schema]:
            inner = self.resolved(part) | {_NAME: part.get("$ref")}
            types = _list(inner.get("type"))
            nullable = nullable or _NULL in types
            if types == [_NULL]:
                continue
            if _NULL in types:
                inner = inner | {"type": [each for each in types if each != _NULL]}
            parts.append(inner)
        return parts, nullable

    def _at(self, reference: str) -> Json:
        found: Any = self.document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name.replace("~1", "/").replace("~0", "~")]
        schema: Json = found
        return schema


def _key(part: Json, *, named: bool) -> str:
    """What a part is known by: its type, or the name of its schema."""
    name: str | None = part[_NAME]
    return name.rpartition("/")[2] if named and name is not None else _type(part)


def _member(place: str) -> str:
    """The name of the member at a place; of a list, the list's."""
    return place.removesuffix("[]").rpartition(".")[2]


class Comparison:
    """Compares schemas of requests (``answers`` False) or of answers; those that are referred to once."""

    def __init__(self, old: Side, new: Side, *, answers: bool) -> None:
        self._old, self._new, self._answers = old, new, answers
        #: What came of two references, with places within them, by the open list that they stand for; None while it is
        #: under way: some refer to themselves.
        self._known: dict[tuple[str, str, str], list[Change] | None] = {}

    def compare(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        """The changes from one schema to the other."""
        if "$ref" not in old or "$ref" not in new:
            yield from self._compare(old, new, place)
            return
        member = name if (name := _member(place)) in OPEN_LISTS else ""
        known = (old["$ref"], new["$ref"], member)
        if known not in self._known:
            self._known[known] = None
            self._known[known] = [
                Change(change.kind, change.place.removeprefix(member), change.detail)
                for change in self._compare(old, new, member)
            ]
        for change in self._known[known] or ():
            yield Change(change.kind, place + change.place, change.detail)

    def _compare(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        (old_parts, old_null), (new_parts, new_null) = self._old.parts(old), self._new.parts(new)
        if old_null != new_null:
            yield self._values(place, more=new_null, detail=_NULL)
        yield from self._default(old, new, place)
        if len(old_parts) == len(new_parts) == 1:
            yield from self._part(old_parts[0], new_parts[0], place)
        else:
            yield from self._several(old_parts, new_parts, place)

    def _several(self, old: Sequence[Json], new: Sequence[Json], place: str) -> Iterator[Change]:
        """Of several parts each belongs to the one of its type; where a type has several, to the one that refers to a
        schema of the same name."""
        types = [[_type(part) for part in parts] for parts in (old, new)]
        named = any(len(set(each)) < len(each) for each in types)
        by_key = {_key(part, named=named): part for part in new}
        assert len(by_key) == len(new), f"two parts of one type cannot be told apart: {place}"
        for part in old:
            if (other := by_key.pop(_key(part, named=named), None)) is None:
                yield self._values(place, more=False, detail=_key(part, named=named))
            else:
                yield from self._part(part, other, place)
        for name in by_key:
            yield self._values(place, more=True, detail=name)

    def _part(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        if _type(old) != _type(new):
            more = not _type(new)  # a schema without a type allows every value
            if not more and _type(old):
                yield self._values(place, more=self._answers, detail=f"{_type(old)} is {_type(new)}")
                return
            yield self._values(place, more=more, detail=f"{_type(old) or 'any value'} is {_type(new) or 'any value'}")
        yield from self._listed(old, new, place)
        yield from self._limits(old, new, place)
        yield from self._members(old, new, place)
        for name, mark in INNER.items():
            within = [schema.get(name, True) for schema in (old, new)]
            if (name in old or name in new) and False not in within:
                before, after = ({} if each is True else each for each in within)
                yield from self.compare(before, after, place + mark)

    def _listed(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        before, after = _values_of(old), _values_of(new)
        if before is None or after is None:
            if before is not after:
                yield self._values(place, more=after is None, detail="a list of values")
            return
        is_open = _member(place) in OPEN_LISTS
        for value in sorted(set(after) - set(before), key=str):
            if is_open and self._answers:
                yield Change("open_value_added", place, str(value))
            else:
                yield self._values(place, more=True, detail=str(value))
        for value in sorted(set(before) - set(after), key=str):
            yield self._values(place, more=False, detail=str(value))

    def _limits(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        # An answer's reader goes by the format. Its other limits promise less than its values do.
        for name in ("format",) if self._answers else FORMS:
            before, after = old.get(name), new.get(name)
            if before != after:
                more = after is None or (before is not None and self._answers)
                yield self._values(place, more=more, detail=f"{name} {before} is {after}")
        if self._answers:
            return
        for name, larger_is_more in LIMITS.items():
            before, after = old.get(name), new.get(name)
            if before != after:
                more = after is None or (before is not None and (after > before) == larger_is_more)
                yield self._values(place, more=more, detail=f"{name} {before} is {after}")
        was_open, is_open = (each.get("additionalProperties", True) is not False for each in (old, new))
        if was_open != is_open:
            yield self._values(place, more=is_open, detail="unknown members")

    def _members(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = set(old.get("required", ())), set(new.get("required", ()))
        side = "answer" if self._answers else "request"
        for name in before.keys() - after.keys():
            yield Change(f"{side}_property_removed", f"{place}.{name}")
        for name in after.keys() - before.keys():
            asked = not self._answers and name in required[1]
            yield Change("request_property_required" if asked else f"{side}_property_added", f"{place}.{name}")
        for name in before.keys() & after.keys():
            inner = f"{place}.{name}"
            if (name in required[0]) != (name in required[1]):
                now = name in required[1]
                if self._answers:
                    yield Change("answer_property_promised" if now else "answer_property_optional", inner)
                else:
                    yield Change("request_property_required" if now else "request_property_optional", inner)
            yield from self.compare(before[name], after[name], inner)

    def _default(self, old: Json, new: Json, place: str) -> Iterator[Change]:
        before, after = _default_of(self._old, old), _default_of(self._new, new)
        if not self._answers and before != after:
            yield Change("default_changed", place, f"{before} is {after}")

    def _values(self, place: str, *, more: bool, detail: str) -> Change:
        side = "answer" if self._answers else "request"
        return Change(f"{side}_{'widened' if more else 'narrowed'}", place, detail)


def _merged(one: Json, other: Json) -> Json:
    """Both schemas at once: members of both, and of two lists of values what is in both."""
    both = one | other
    for name in ("properties", "required"):
        if name in one and name in other:
            both[name] = (
                [*one[name], *(each for each in other[name] if each not in one[name])]
                if name == "required"
                else _merged_members(one[name], other[name])
            )
    if "enum" in one and "enum" in other:
        both["enum"] = [value for value in one["enum"] if value in other["enum"]]
    return both


def _merged_members(one: Mapping[str, Json], other: Mapping[str, Json]) -> Json:
    shared = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **shared}


def _values_of(schema: Json) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def _default_of(side: Side, schema: Json) -> Any:
    whole = side.resolved(schema)
    if "default" in whole:
        return whole["default"]
    parts = [side.resolved(part) for part in whole.get("anyOf", ())]
    return next((part["default"] for part in parts if "default" in part), None)


def _type(schema: Json) -> str:
    """Of a schema that only lists its values, their type."""
    named = _list(schema.get("type"))
    if not named and (values := _values_of(schema)):
        names = {str: "string", bool: "boolean", int: "integer", type(None): _NULL}
        named = sorted({names.get(type(value), "object") for value in values})
    return " or ".join(sorted(named))


def _list(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
