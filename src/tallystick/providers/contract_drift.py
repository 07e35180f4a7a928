"""Where what a provider sends differs from what is read here: fields that are missing, of another type, or with a value
that no table here has. Pure.

Each connector has tables of the fields that it reads. Of an answer they decide nothing: its reader does. In an event, a
difference in a field that decides makes the event unreadable, so that no default stands in for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_args

from msgspec import Struct

DriftKind = Literal["missing", "wrong_type", "unknown_value"]

#: How a difference is said.
_SAID: Final[Mapping[DriftKind, str]] = {
    "missing": "is missing",
    "wrong_type": "is not of its type",
    "unknown_value": "has a value that is not known here",
}

#: Names and kinds that one connector counts apart. A provider has far fewer fields that are read here.
SLOTS_LIMIT: Final = 200

#: Stands for the fields beyond the limit.
OTHER_FIELDS: Final = "(other)"

#: A word of an enum, as providers write them; with fewer digits than any card number.
_WORD: Final = re.compile(r"[A-Za-z0-9_.\- ]{1,64}", re.ASCII)
_DIGITS_LIMIT: Final = 11

#: As versions are written: ``2026-10-28.endive``, ``v72``.
_VERSION: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)

#: The types of JSON by their names in Python. A truth value is no number.
JsonType = type[str] | type[int] | type[bool] | type[dict] | type[list]  # type: ignore[type-arg]  # of any JSON


class Drift(NamedTuple):
    """One difference. ``field`` is the name of an object and the path in it; ``value`` is an unknown word where it may
    be shown. ``decides``: whether what the field says is not to be guessed."""

    field: str
    kind: DriftKind
    value: str | None = None
    decides: bool = False

    def __str__(self) -> str:
        shown = "" if self.value is None else f": {self.value}"
        return f"{self.field} {_SAID[self.kind]}{shown}"


class ReadField(Struct, frozen=True):
    """A field that is read. ``path``: names between dots, ``[]`` for the elements of a list. Where a part of the path
    is absent, its own row reports that. ``known``: the values that are known; None: any. ``optional``: null is a value
    too. ``when``: whether the object has it; None: always."""

    path: str
    types: tuple[JsonType, ...] = (str,)
    known: Container[Any] | None = None
    optional: bool = False
    when: Callable[[Mapping[str, Any]], bool] | None = None
    decides: bool = False


#: An amount in a currency, of which neither is guessed.
AMOUNT: Final = (ReadField("amount", (int,), decides=True), ReadField("currency", decides=True))


class ReadObject:
    """An object by the fields of it that are read. ``name``: what its differences are called by."""

    def __init__(self, name: str, *fields: ReadField) -> None:
        self.name = name
        self.fields = fields
        self._rows = [(field, *_steps(field.path), _accepted(field), field.known) for field in fields]

    def drift_in(self, said: object) -> tuple[Drift, ...]:
        """The differences of an object of this kind. What is as it should be costs a look at its type and a look into a
        table: every event and answer is compared."""
        if not isinstance(said, Mapping):
            return (Drift(self.name, "wrong_type", decides=True),)
        found = []
        for field, outer, name, accepted, known in self._rows:
            holder = said if outer is None else said.get(outer)
            values: Iterable[object]
            if type(holder) is dict and name is not None:
                value = holder.get(name, _ABSENT)
                if type(value) in accepted and (known is None or value is None or value in known):
                    continue
                values = (value,)
            else:
                values = _values(said, _parts(field.path))
            for value in values:
                if not _is_fine(value, accepted, known) and (field.when is None or field.when(said)):
                    found.append(self._drift(field, value, accepted))
        return tuple(found)

    def _drift(self, field: ReadField, value: object, accepted: frozenset[type]) -> Drift:
        label = f"{self.name}.{field.path}"
        if value is _ABSENT:
            return Drift(label, "missing", decides=field.decides)
        if type(value) not in accepted:
            return Drift(label, "wrong_type", decides=field.decides)
        return Drift(label, "unknown_value", _shown(value), decides=field.decides)


def is_one_of(name: str, values: Container[Any]) -> Callable[[Mapping[str, Any]], bool]:
    """For ``when``: whether a field of the object has one of these values."""

    def applies(said: Mapping[str, Any]) -> bool:
        value = text_in(said, name)
        return value is not None and value in values

    return applies


def text_in(said: object, name: str) -> str | None:
    """The text under a name; None where there is none."""
    found = said.get(name) if isinstance(said, Mapping) else None
    return found if isinstance(found, str) else None


def version_of(said: object, name: str) -> str | None:
    """The version that a message says its words are of, under this name; None where it says none that could be one."""
    version = text_in(said, name)
    return version if version is not None and _VERSION.fullmatch(version) else None


class DriftTally:
    """Counts differences between two looks at them. ``SLOTS_LIMIT`` bounds what a provider can make it hold."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, DriftKind], tuple[int, Drift]] = {}

    def note(self, found: Iterable[Drift]) -> None:
        """Count them."""
        for drift in found:
            if (drift.field, drift.kind) not in self._counts and len(self._counts) >= SLOTS_LIMIT:
                drift = Drift(OTHER_FIELDS, drift.kind)
            count, _ = self._counts.get((drift.field, drift.kind), (0, drift))
            self._counts[drift.field, drift.kind] = (count + 1, drift)

    def take(self) -> Sequence[tuple[Drift, int]]:
        """The newest difference of each field and kind with its count, which begins again at zero."""
        counts, self._counts = self._counts, {}
        return [(drift, count) for count, drift in counts.values()]


DRIFT_KINDS: Final[tuple[DriftKind, ...]] = get_args(DriftKind)

_ABSENT: Final = object()


def _steps(path: str) -> tuple[str | None, str | None]:
    """Of a path of one or two names, the first of two and the last; of others, names that no object has."""
    outer, _, name = path.rpartition(".")
    if "." in outer or "[" in path:
        return None, None
    return outer or None, name


@cache
def _parts(path: str) -> tuple[tuple[str, bool], ...]:
    """Each name in a path, and whether it is of a list whose elements are meant."""
    return tuple((part.removesuffix("[]"), part.endswith("[]")) for part in path.split("."))


def _is_fine(value: object, accepted: frozenset[type], known: Container[Any] | None) -> bool:
    if isinstance(value, dict) and dict in accepted:  # as an SDK makes it
        return True
    return type(value) in accepted and (known is None or value is None or value in known)


def _accepted(field: ReadField) -> frozenset[type]:
    """The types of JSON values that it may have; those that a decoder makes, and no subclasses."""
    return frozenset(field.types) | (frozenset({type(None)}) if field.optional else frozenset())


def _shown(value: object) -> str | None:
    """A word that cannot hold a card number; None for all else."""
    if not isinstance(value, str) or _WORD.fullmatch(value) is None:
        return None
    return value if sum(each.isdigit() for each in value) <= _DIGITS_LIMIT else None


def _values(said: Mapping[str, Any], parts: Sequence[tuple[str, bool]]) -> Iterator[object]:
    """The values at a path: none where a part before its end is absent or of another type."""
    (name, is_list), *rest = parts
    value = said.get(name, _ABSENT)
    if is_list:
        for element in value if isinstance(value, list) else ():
            if isinstance(element, Mapping):
                yield from _values(element, rest)
    elif not rest:
        yield value
    elif isinstance(value, Mapping):
        yield from _values(value, rest)
