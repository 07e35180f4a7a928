"""Where an opinion on the history and the stored books differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.guarantees.second_opinion.exported import Books
from tests.guarantees.second_opinion.interpreter import DEFAULTS, Opinion, Subject


def disagreements(opinion: Opinion, books: Books) -> list[str]:
    """One sentence each; nothing where history, subjects, transfers and balances are one story."""
    return [
        *opinion.objections,
        *_subjects(opinion, books),
        *_transfers(opinion, books),
        *_balances(opinion, books),
    ]


def _subjects(opinion: Opinion, books: Books) -> Iterator[str]:
    for _, kind, subject_id in books.subjects.keys() - opinion.subjects.keys():
        yield f"{kind} {subject_id}: is stored and has no history"
    for key, subject in opinion.subjects.items():
        stored = books.subjects.get(key)
        if stored is None:
            yield f"{subject.kind} {subject.subject_id}: has a history and is not stored"
        else:
            yield from _fields(subject, stored)


def _fields(subject: Subject, stored: dict[str, Any]) -> Iterator[str]:
    expected = {"version": subject.version, "state": subject.state, **subject.fields}
    for name, value in expected.items():
        if name not in stored:
            yield f"{subject.kind} {subject.subject_id}: {name} is not stored"
        elif _comparable(name, kept := _kept(subject.kind, name, stored)) != _comparable(name, value):
            yield f"{subject.kind} {subject.subject_id}: {name} is {kept!r}, by its history {value!r}"


def _kept(kind: str, name: str, stored: dict[str, Any]) -> Any:
    """A stored field; a null is its default."""
    return DEFAULTS.get(kind, {}).get(name) if stored[name] is None else stored[name]


def _comparable(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name.endswith("_at") else value


def _transfers(opinion: Opinion, books: Books) -> Iterator[str]:
    stored, expected = Counter(books.transfers), Counter(opinion.transfers)
    for what, rows in (("is not there", expected - stored), ("must not be there", stored - expected)):
        for row in rows.elements():
            leg = f"{row.transfer} {row.debit} -> {row.credit} {row.amount} {row.currency}"
            yield f"{row.subject_id} version {row.version}: transfer {leg} {what}"


def _balances(opinion: Opinion, books: Books) -> Iterator[str]:
    for key in sorted(opinion.balances.keys() | books.balances.keys()):
        expected, stored = opinion.balances.get(key, [0, 0]), books.balances.get(key, [0, 0])
        if expected != stored:
            yield f"account {' '.join(key)}: debits and credits are {stored}, by the history {expected}"
