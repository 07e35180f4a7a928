"""Replay of very many histories: as ``replay``, with each change decoded to the types of its kind at once.

Pure. What is not plain is left to ``replay``, which alone finds faults and says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import fields, replace

from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.replay import HistoryStep, Replay, replay
from tallystick.domain.subjects import Subject

#: What a decoder or a derived field raises for a history that ``replay`` has to look at.
_NOT_PLAIN: Final = (msgspec.MsgspecError, KeyError, ValueError)

_NAMES: Final = msgspec.json.Decoder(dict[str, Any])


class _Fold(NamedTuple):
    """How one kind is replayed. ``opening`` and ``change`` decode the first and the later changes; they refuse what the
    kind does not have. ``blank`` has the defaults. ``states``: those that a step may lead to, or None for any text."""

    kind: SubjectKind
    opening: Callable[[str], Any]
    change: Callable[[str], Any]
    blank: Any
    states: frozenset[str] | None
    derived: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...]


def replayed(steps: Sequence[HistoryStep]) -> Replay:
    """As ``replay``."""
    states = _states(steps)
    return replay(steps) if states is None else Replay(states=states)


def _states(steps: Sequence[HistoryStep]) -> dict[int, Subject] | None:
    """The state after each version, or None where ``replay`` has to look at the steps."""
    name = steps[0].subject if steps else ""
    if name not in KINDS:
        return None
    fold = _fold(KINDS[name])
    states: dict[int, Subject] = {}
    state = None
    try:
        for step in steps:
            if step.change_id is None or step.at is None or step.subject != name:
                return None
            if (step.version == 1) != (state is None):
                return None
            if fold.states is not None and step.to_state not in fold.states:
                return None
            state = _after(fold, state, step)
            if state is None:
                return None
            states[step.version] = state
    except _NOT_PLAIN:
        return None
    return states


def _after(fold: _Fold, before: Any, step: HistoryStep) -> Any:
    """The state after a step, or None where ``replay`` has to look at it."""
    kind, opens = fold.kind, before is None
    change = fold.opening(step.change) if opens else fold.change(step.change)
    values = {name: getattr(change, name) for name in _NAMES.decode(step.change)}
    if opens:
        values.setdefault(kind.id_field, step.subject_id)  # rows of before repeat it
        if kind.has_created_at:
            values.setdefault("created_at", step.at)
    values["merchant_id"] = step.merchant_id
    values[kind.stream_field] = step.stream_id
    values["version"] = step.version
    values["state"] = step.to_state
    if kind.has_updated_at:
        values["updated_at"] = step.at
    after = replace(fold.blank if opens else before, **values)
    for name, derive in fold.derived:
        due = derive(_Values(after))
        if due is None:
            return None
        if opens and name not in values:
            after = replace(after, **{name: due})
        elif due != getattr(after, name):
            return None
    return after


class _Values(Mapping[str, Any]):
    """A subject's fields, as derived ones ask for them."""

    __slots__ = ("_subject",)

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self._subject, name)
        except AttributeError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._subject.__struct_fields__)

    def __len__(self) -> int:
        return len(self._subject.__struct_fields__)


@cache
def _fold(kind: SubjectKind) -> _Fold:
    hints = get_type_hints(kind.struct)
    given = {each.name: each for each in fields(kind.struct)}
    opening: list[Any] = []
    change: list[Any] = []
    for name in kind.history_fields:
        may_lack = (name, hints[name] | UnsetType, UNSET)
        change.append(may_lack)
        may_be_left_out = name in kind.derived or name in (kind.id_field, "created_at") or not given[name].required
        opening.append(may_lack if may_be_left_out else (name, hints[name]))
    state = hints["state"]
    return _Fold(
        kind=kind,
        opening=_decoder(f"{kind.struct.__name__}Opening", opening),
        change=_decoder(f"{kind.struct.__name__}Change", change),
        blank=kind.struct(**{each.name: None for each in given.values() if each.required}),
        states=frozenset(get_args(state)) if get_origin(state) is Literal else None,
        derived=tuple(kind.derived.items()),
    )


def _decoder(name: str, members: Sequence[Any]) -> Callable[[str], Any]:
    struct = msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct).decode
