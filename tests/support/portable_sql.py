"""Rules that a statement keeps so that sharded PostgreSQL (Citus) and CockroachDB accept it, checked on its text.

Citus plans a change on the coordinator: what is not immutable must be computed before, in a
``WITH ... AS MATERIALIZED``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

_TOKEN: Final = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|\$\d+|::|\w+|[<>=!]=|[^\s\w]", re.IGNORECASE)

#: CockroachDB has no arrays of JSON; the others exist everywhere.
_ARRAYS: Final = {"text", "int", "bigint", "smallint", "numeric", "bytea", "boolean", "timestamptz"}

#: Not immutable: the clock, and times with an interval added (their result depends on the time zone).
_CLOCKS: Final = {"now", "clock_timestamp", "statement_timestamp", "current_timestamp", "interval"}

#: Words of which a statement has none, with what they are.
_NEVER: Final = {
    "lateral": "LATERAL",
    "listen": "LISTEN",
    "notify": "NOTIFY",
    "trigger": "a trigger",
    "nextval": "a sequence",
    "serial": "a sequence",
    "bigserial": "a sequence",
    "skip": "a row lock",
}

_LOCKS: Final = {"update", "share", "no", "key"}


def tokens_of(statement: str) -> list[str]:
    """Words, strings and signs in small letters, without comments; the content of a string is dropped."""
    found = (token for token in _TOKEN.findall(statement) if not token.startswith("--"))
    return ["''" if token.startswith("'") else token.lower() for token in found]


def violations(statement: str, key_of: dict[str, str] | None = None) -> list[str]:
    """What a statement breaks, in plain words; empty if it is portable. ``key_of``: the distribution key of each table,
    by which joins are checked too."""
    tokens = tokens_of(statement)
    found = [*_words(tokens), *_arrays(tokens), *_empty_lists(tokens), *_correlated(tokens)]
    found += [*_mixed_lists(tokens), *_clocks(tokens), *_unplaced(tokens)]
    return sorted({*found, *_joins(tokens, key_of or {})})


def _words(tokens: Sequence[str]) -> Iterator[str]:
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token in _NEVER:
            yield _NEVER[token]
        if "advisory" in token:
            yield "an advisory lock"
        if token == "for" and after in _LOCKS:
            yield "a row lock"


def _arrays(tokens: Sequence[str]) -> Iterator[str]:
    for at in range(1, len(tokens) - 1):
        if tokens[at] == "[" and tokens[at + 1] == "]" and tokens[at - 1] not in _ARRAYS:
            yield f"an array of {tokens[at - 1]}"


def _empty_lists(tokens: Sequence[str]) -> Iterator[str]:
    if any(one == "select" and after in ("from", ")") for one, after in pairwise(tokens)):
        yield "an empty select list"


def _close(tokens: Sequence[str], opened: int) -> int:
    """The place of the bracket that closes the one at ``opened``."""
    depth = 0
    for at in range(opened, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at], 0)
        if depth == 0:
            return at
    raise ValueError("a bracket is not closed")


def _correlated(tokens: Sequence[str]) -> Iterator[str]:
    """A subquery that reads a column of an ``unnest`` outside it."""
    for at, token in enumerate(tokens):
        if token != "unnest":
            continue
        aliases = list(_aliases_of(tokens, at))
        for inside, last in _subqueries(tokens):
            if not inside < at < last and any(_reads(tokens[inside:last], alias) for alias in aliases):
                yield "a correlated subquery over unnest"
    for name in _common_tables(tokens):
        for inside, last in _subqueries(tokens):
            subquery = tokens[inside:last]
            if _reads(subquery, name) and not any(_names(one, after, name) for one, after in pairwise(subquery)):
                yield "a correlated subquery over a WITH"


def _aliases_of(tokens: Sequence[str], at: int) -> Iterator[str]:
    """The names of an ``unnest``: its own in FROM, and that of the subquery in whose select list it stands."""
    ends = [_close(tokens, at + 1), *(last for inside, last in _subqueries(tokens) if inside < at < last)]
    for end in ends:
        named = next((place for place in range(end, min(end + 4, len(tokens))) if tokens[place] == "as"), None)
        if named is not None:
            yield tokens[named + 1]


def _subqueries(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The places of the brackets around each SELECT in brackets."""
    for at, (one, after) in enumerate(pairwise(tokens)):
        if (one, after) == ("(", "select"):
            yield at, _close(tokens, at)


def _common_tables(tokens: Sequence[str]) -> Iterator[str]:
    """The names that WITH gives."""
    for at, token in enumerate(tokens[:-1]):
        if token == "as" and tokens[at + 1] in ("(", "materialized") and tokens[at - 2] in ("with", ","):
            yield tokens[at - 1]


def _names(one: str, after: str, name: str) -> bool:
    """Whether a FROM, a JOIN or a list of tables names it."""
    return one in ("from", "join", ",") and after == name


def _reads(tokens: Sequence[str], alias: str) -> bool:
    return any(one == alias and after == "." for one, after in pairwise(tokens))


def _changes(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """Each UPDATE or DELETE from its first word, and each ON CONFLICT DO UPDATE, to the end or the closing bracket."""
    for at, token in enumerate(tokens):
        starts = token == "delete" or (token == "update" and tokens[at - 1] not in ("for", "key"))
        if starts and (at == 0 or tokens[at - 1] in ("(", ")", "do")):
            depth, end = 0, at
            while end < len(tokens) and depth >= 0:
                depth += {"(": 1, ")": -1}.get(tokens[end], 0)
                end += 1
            yield tokens[at:end]


def _clocks(tokens: Sequence[str]) -> Iterator[str]:
    """Where a change computes a time in a place in which the coordinator cannot."""
    for change in _changes(tokens):
        on_conflict = len(change) > 1 and change[1] == "set"
        if on_conflict and _CLOCKS & set(change):
            yield "the clock in ON CONFLICT"
        for at, token in enumerate(change):
            if token == "coalesce" and _CLOCKS & set(change[at : _close(change, at + 1)]):
                yield "the clock in COALESCE"
            if token == "case" and _CLOCKS & set(change[at : _end_of_case(change, at)]):
                yield "the clock in CASE"
        if "returning" in change and _CLOCKS & set(change[change.index("returning") :]):
            yield "the clock in RETURNING"
        if any(_adds_to_column(part) for part in _expressions(change)):
            yield "an interval and a column"


def _end_of_case(tokens: Sequence[str], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        depth += {"case": 1, "end": -1}.get(tokens[at], 0)
        if depth == 0:
            return at
    raise ValueError("a CASE has no END")


def _expressions(change: Sequence[str]) -> Iterator[Sequence[str]]:
    """The pieces between commas, comparisons and AND or OR."""
    piece: list[str] = []
    for token in change:
        if token in (",", "=", "<", ">", "<=", ">=", "and", "or", "set", "from", "where", "returning", "then", "else"):
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _adds_to_column(piece: Sequence[str]) -> bool:
    """An interval in an expression that reads a column: ``alias.column``, or a bare name beside the functions."""
    if "interval" not in piece:
        return False
    known = {"now", "interval", "bigint", "int", "least", "greatest", "null", "end", "case", "when"}
    return any(token.isidentifier() and token not in known for token in piece)


def _joins(tokens: Sequence[str], key_of: dict[str, str]) -> Iterator[str]:
    """Tables of different distribution keys in one part that is planned alone."""
    for part in _planned_alone(tokens):
        keys = {key_of[table] for table in _tables(part) if table in key_of}
        if len(keys) > 1:
            yield f"a join across the keys {' and '.join(sorted(keys))}"


#: What begins another clause, after which a comma parts no tables.
_CLAUSES: Final = {"select", "where", "on", "set", "group", "having", "order", "limit", "returning", "values", "union"}


def _tables(part: Sequence[str]) -> Iterator[str]:
    """What FROM, JOIN, USING, a changed table, and commas between tables name."""
    listing = [False]  # by depth: whether a comma is followed by a table
    for one, after in pairwise(part):
        if one in ("from", "using"):
            listing[-1] = True
        elif one in _CLAUSES:
            listing[-1] = False
        elif one == "(":
            listing.append(False)
        elif one == ")" and len(listing) > 1:
            listing.pop()
        if one in ("from", "join", "using", "update") or (one == "," and listing[-1]):
            yield after


def _planned_alone(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    """The members of a UNION ALL, what is materialized, and subqueries that read nothing from outside, each without
    those inside it."""
    part: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at : at + 2] in (["(", "select"], ["(", "with"]):
            last = _close(tokens, at)
            inside = tokens[at + 1 : last]
            if _is_apart(tokens[:at], inside):
                yield from _planned_alone(inside)
                at = last + 1
                continue
        if tokens[at : at + 2] == ["union", "all"]:
            yield part
            part = []
        part.append(tokens[at])
        at += 1
    yield part


def _is_apart(before: Sequence[str], inside: Sequence[str]) -> bool:
    """Whether a subquery is planned before what is around it."""
    if inside[-2:] == ["offset", "0"] or before[-1:] == ["materialized"]:
        return True
    if before[-1] in ("from", "join", ",", "lateral"):
        return False
    named = {name for at, one in enumerate(inside) if one in ("from", "join") for name in inside[at + 1 : at + 3]}
    return all(one in named for one, after in pairwise(inside) if after == ".")


def _mixed_lists(tokens: Sequence[str]) -> Iterator[str]:
    """A select list with a subquery beside an aggregate: Citus cannot send such a subquery to the shards."""
    for at, token in enumerate(tokens):
        if token == "select":
            own, subqueries = _select_list(tokens, at + 1)
            if subqueries and {"count", "sum", "min", "max"} & own:
                yield "a subquery beside an aggregate"


def _select_list(tokens: Sequence[str], at: int) -> tuple[set[str], int]:
    """The tokens of a select list outside its subqueries, and how many subqueries it has."""
    own: set[str] = set()
    subqueries = depth = 0
    while at < len(tokens) and depth >= 0 and not (depth == 0 and tokens[at] in ("from", "where", "union")):
        if tokens[at : at + 2] == ["(", "select"]:
            subqueries += 1
            at = _close(tokens, at)
        else:
            depth += {"(": 1, ")": -1}.get(tokens[at], 0)
            own.add(tokens[at])
        at += 1
    return own, subqueries


def _unplaced(tokens: Sequence[str]) -> Iterator[str]:
    """A subquery over ``unnest`` alone that reads the clock: Citus evaluates a subquery without FROM on each shard."""
    for inside, last in _subqueries(tokens):
        subquery = tokens[inside:last]
        if "unnest" in subquery and "from" not in subquery and _CLOCKS & set(subquery):
            yield "the clock in a subquery without FROM"
