"""The dated versions of the API, as one table: what each one changed, and how it is translated.

The product speaks the newest version alone. A request of an older version is translated at the edge, version by
version, until it is a request of the newest one. An answer or a message goes the other way. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import replace

Json = dict[str, Any]
Translate = Callable[[Json], Json]

#: The decoded query of a request: each parameter with its values.
Query = Mapping[str, list[str]]
TranslateQuery = Callable[[Query], Query]

#: The name of the schema that is around a message's data.
MESSAGE: Final = "Message"


class Deprecation(Struct, frozen=True, kw_only=True):
    """From when on a version or an operation is deprecated, and from when on it may be gone. Raises ValueError where it
    would be gone before it is deprecated."""

    since: date
    sunset: date | None = None

    def __post_init__(self) -> None:
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError("a sunset is not before the deprecation (RFC 9745)")


class ApiVersion(Struct, frozen=True, kw_only=True, eq=False):
    """A version of the API. Versions are compared by identity.

    ``changed``: what is different from the version before, for people. The rest translates between the two, and does
    not raise, whatever a client sent:

    - ``requests``, by operation: a body as the version before sends it -> as this one reads it.
    - ``queries``, by operation: the same of query parameters.
    - ``bodies``, by the name of their schema: a body as this version has it -> as the version before has it.
      ``Message`` is what is around a message's data. The ``id`` of a thing and the ``type`` of a message stay.
    - ``document``: the OpenAPI document of this version -> of the version before.
    - ``lifecycles``: the same of the lifecycles that a release keeps, where ``bodies`` gives states other names.

    ``ended``: no request is in it any more. Its row stays for what the record has in it: answers, messages, and webhook
    endpoints that are pinned to it.
    """

    date: str
    changed: str
    deprecation: Deprecation | None = None
    ended: bool = False
    requests: Mapping[str, Translate] = {}
    queries: Mapping[str, TranslateQuery] = {}
    bodies: Mapping[str, Translate] = {}
    document: Translate = dict
    lifecycles: Translate = dict


#: The newest one is last. To publish a version is to add its row (docs/guides/versions.md).
_ROWS: Final = (ApiVersion(date="2026-11-26", changed="The first dated version: the contract of release 0.3.0."),)

_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_ENCODER: Final = msgspec.json.Encoder()
_ANY: Final = inspect.AnyType()


#: The version of rows of the record that name none. Its row is the first one, served or not.
_FIRST_DATE: Final = _ROWS[0].date


class Versions:
    """The versions that this release knows. ``rows`` are those that it serves: requests may be in them.

    Rows of the record have a version as its date, or null for the first one. So a record of before there
    were versions is one of the first version, and a release with one version writes nothing. ``generation``: another
    object whenever the versions are others, which only a test does.
    """

    rows: Sequence[ApiVersion]
    first: ApiVersion
    newest: ApiVersion
    newest_stored: str | None
    generation: object

    def __init__(self, rows: Sequence[ApiVersion]) -> None:
        self._serve(rows)

    def every(self) -> Sequence[ApiVersion]:
        """Those that are served, and those that have ended."""
        return self._known

    def find(self, dated: str) -> ApiVersion | None:
        """The version of this date, if it is served."""
        return next((row for row in self.rows if row.date == dated), None)

    def of_stored(self, stored: str | None) -> ApiVersion | None:
        """The version that a row of the record names, served or ended; None where a newer release wrote the row."""
        return self.first if stored is None else self._by_date.get(stored)

    def stored(self, version: ApiVersion) -> str | None:
        """How rows of the record name a version."""
        return None if version is self.first else version.date

    def date_of(self, stored: str | None) -> str:
        """The date of a version that a row names, served here or not."""
        return self.first.date if stored is None else stored

    def request(self, version: ApiVersion, operation: str, body: Json) -> Json:
        """The body of a request of this version, as the newest one sends it."""
        for later in self._after(version):
            if (convert := later.requests.get(operation)) is not None:
                body = convert(body)
        return body

    def query(self, version: ApiVersion, operation: str, query: Query) -> Query:
        """The query of a request of this version, as the newest one sends it."""
        for later in self._after(version):
            if (convert := later.queries.get(operation)) is not None:
                query = convert(query)
        return query

    def body(self, kind: type[Any], body: Any, version: ApiVersion, form: ApiVersion | None = None) -> Any:
        """A body of the type ``kind`` out of its JSON, as this version has it, and each body within it. ``form``: the
        version that it is in, if that is not the newest. One that is older than ``version`` stays as it is."""
        return self._shown(inspect.type_info(kind), body, [*reversed(self._after(version, form or self.newest))])

    def rendered(self, kind: type[Any], encoded: bytes, version: ApiVersion) -> bytes:
        """The JSON of a body of the newest version, as this version has it."""
        if version is self.newest:
            return encoded
        return _ENCODER.encode(self.body(kind, _DECODER.decode(encoded), version))

    def message(
        self, encoded: bytes, shows: type[Any] | None, version: ApiVersion, form: ApiVersion
    ) -> tuple[bytes, ApiVersion]:
        """A message as this version has it, and the version that it is in. ``form``: the one that it was written in.
        ``shows``: the type of its data. A message that is older than ``version`` goes out as it was written."""
        if version.date >= form.date:
            return encoded, form
        body = _DECODER.decode(encoded)
        if shows is not None:
            body["data"] = self.body(shows, body["data"], version, form)
        return _ENCODER.encode(_translated(MESSAGE, body, [*reversed(self._after(version, form))])), version

    def document(self, newest: Json, version: ApiVersion) -> Json:
        """The OpenAPI document of this version."""
        for later in reversed(self._after(version)):
            newest = later.document(newest)
        return newest

    def lifecycles(self, newest: Json, version: ApiVersion) -> Json:
        """The lifecycles as clients of this version see them."""
        for later in reversed(self._after(version)):
            newest = later.lifecycles(newest)
        return newest

    @contextmanager
    def also(self, version: ApiVersion) -> Iterator[None]:
        """One version more for a while, as the newest: for tests. Raises ValueError for one that is not newer."""
        with self._instead([*self._known, version]):
            yield

    @contextmanager
    def ending(self, dated: str) -> Iterator[None]:
        """One version not served for a while: for tests. Raises ValueError for the newest."""
        with self._instead([replace(row, ended=True) if row.date == dated else row for row in self._known]):
            yield

    @contextmanager
    def _instead(self, rows: Sequence[ApiVersion]) -> Iterator[None]:
        before = self._known
        self._serve(rows)
        try:
            yield
        finally:
            self._serve(before)

    def _after(self, version: ApiVersion, until: ApiVersion | None = None) -> Sequence[ApiVersion]:
        """The later versions, oldest first."""
        later = self._later[version.date]
        return later if until is None else [each for each in later if each.date <= until.date]

    def _shown(self, kind: inspect.Type, value: Any, newest_first: Sequence[ApiVersion]) -> Any:
        """Each body in a value, from the innermost one. Free JSON, such as metadata, is never taken for a body."""
        kind = _undescribed(kind)
        if isinstance(kind, inspect.UnionType):
            return self._shown(_chosen(kind.types, value), value, newest_first)
        if isinstance(kind, inspect.StructType) and isinstance(value, dict):
            known = {field.encode_name: field.type for field in kind.fields}
            members = {name: self._shown(known.get(name, _ANY), each, newest_first) for name, each in value.items()}
            return _translated(schema_name(kind.cls), members, newest_first)
        if isinstance(kind, inspect.ListType | inspect.VarTupleType) and isinstance(value, list):
            return [self._shown(kind.item_type, each, newest_first) for each in value]
        return value

    def _serve(self, rows: Sequence[ApiVersion]) -> None:
        dates = [date.fromisoformat(row.date).isoformat() for row in rows]
        if dates != sorted(set(dates)) or dates != [row.date for row in rows]:
            raise ValueError("versions are in the order of their dates, and no two have one date")
        if dates[0] != _FIRST_DATE or rows[-1].ended:
            raise ValueError("the first one of the versions stays, and the newest one is served")
        self._known = tuple(rows)
        self.generation = object()
        self.rows = tuple(row for row in rows if not row.ended)
        self.first, self.newest = rows[0], rows[-1]
        self.newest_stored = self.stored(self.newest)
        self._by_date = {row.date: row for row in rows}
        self._later = {row.date: tuple(rows[number:]) for number, row in enumerate(rows, 1)}


#: All versions that this release knows.
VERSIONS: Final = Versions(_ROWS)


def renamed(names: Mapping[str, str]) -> Translate:
    """Members under other names: old name -> new name. It works both ways, for requests and for answers. A body that
    has the other name already has it exchanged too, so that what was unknown stays unknown."""
    exchanged = _exchange(names)
    return lambda body: {exchanged.get(name, name): value for name, value in body.items()}


def renamed_in_errors(names: Mapping[str, str]) -> Translate:
    """A problem document whose ``errors`` name fields by other names: old name -> new name."""
    exchanged = _exchange(names)

    def convert(problem: Json) -> Json:
        if "errors" not in problem:
            return problem
        errors = []
        for error in problem["errors"]:
            name, dot, rest = error["field"].partition(".")
            errors.append(error | {"field": exchanged.get(name, name) + dot + rest})
        return problem | {"errors": errors}

    return convert


def _exchange(names: Mapping[str, str]) -> Mapping[str, str]:
    return {**names, **{new: old for old, new in names.items()}}


def schema_name(kind: type[Any]) -> str:
    """The name of a body's schema: clients know a Payment, the name PaymentView is internal."""
    return kind.__name__.removesuffix("View")


def _translated(name: str, body: Json, newest_first: Sequence[ApiVersion]) -> Json:
    for later in newest_first:
        if (convert := later.bodies.get(name)) is not None:
            body = convert(body)
    return body


def _chosen(kinds: Sequence[inspect.Type], value: Any) -> inspect.Type:
    """Of a union, the type of the value: a body may be null, and is never one of two."""
    wanted = inspect.StructType if isinstance(value, dict) else inspect.ListType
    return next((kind for kind in map(_undescribed, kinds) if isinstance(kind, wanted)), _ANY)


def _undescribed(kind: inspect.Type) -> inspect.Type:
    """The type itself, without what the OpenAPI document says of it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind
