"""Replay of very many histories: as ``replay``, with each change decoded to the types of its kind at once.

Pure. What is not plain is left to ``replay``, which alone finds faults and says what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, UNSET, UnsetType, field
from msgspec.structs import fields, replace

from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.replay import HistoryStep, Replay, replay
from tallystick.domain.subjects import Subject

#: What a decoder or a derived field raises for a history that ``replay`` has to look at.
_NOT_PLAIN: Final = (msgspec.MsgspecError, KeyError, ValueError)


class _Fold(NamedTuple):
    """How one kind is replayed. ``opened`` makes the first state of its step, ``changed`` each later one of the state
    before and its step; they refuse what the kind does not have, and return None for what ``replay`` has to look at.
    ``states``: those that a step may lead to, or None for any text."""

    opened: Callable[[HistoryStep], Any]
    changed: Callable[[Any, HistoryStep], Any]
    states: frozenset[str] | None


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
            state = fold.opened(step) if state is None else fold.changed(state, step)
            if state is None:
                return None
            states[step.version] = state
    except _NOT_PLAIN:
        return None
    return states


class _Values(Mapping[str, Any]):
    """A subject's fields, as derived ones ask for them."""

    __slots__ = ("_subject",)

    def __init__(self, subject: Any) -> None:
        self._subject = subject

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self._subject, name, default)

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
    state = get_type_hints(kind.struct)["state"]
    return _Fold(
        opened=_compiled(_opened(kind), kind, _opening_decoder(kind)),
        changed=_compiled(_changed(kind), kind, _change_decoder(kind)),
        states=frozenset(get_args(state)) if get_origin(state) is Literal else None,
    )


def _compiled(lines: Sequence[str], kind: SubjectKind, decode: Callable[[str], Any]) -> Callable[..., Any]:
    """A function written out for the fields of a kind, as ``dataclasses`` does: to collect the fields of each step in a
    loop takes twice as long."""
    names: dict[str, Any] = {"struct": kind.struct, "decode": decode, "UNSET": UNSET, "replace": replace}
    names |= {"Values": _Values} | {f"derive_{name}": derive for name, derive in kind.derived.items()}
    exec("\n    ".join(lines), names)
    compiled: Callable[..., Any] = names["after"]
    return compiled


def _opened(kind: SubjectKind) -> list[str]:
    fields_ = _of_step(kind)
    for name in kind.history_fields:
        # Rows of before repeat the id and the time.
        left_out = {kind.id_field: "step.subject_id", "created_at": "step.at", **dict.fromkeys(kind.derived, "None")}
        found = f"change.{name}"
        fields_[name] = f"{left_out[name]} if {found} is UNSET else {found}" if name in left_out else found
    made = ", ".join(f"{name}={value}" for name, value in fields_.items())
    lines = ["def after(step):", "change = decode(step.change)", f"state = struct({made})"]
    for name in kind.derived:
        lines += [
            f"due = derive_{name}(Values(state))",
            "if due is None: return None",
            f"if change.{name} is UNSET: state = replace(state, {name}=due)",
            f"elif due != change.{name}: return None",
        ]
    return [*lines, "return state"]


def _changed(kind: SubjectKind) -> list[str]:
    fields_ = ", ".join(f"{name!r}: {value}" for name, value in _of_step(kind).items())
    lines = ["def after(before, step):", "change = decode(step.change)", f"fields = {{{fields_}}}"]
    for name in kind.history_fields:
        lines.append(f"if (found := change.{name}) is not UNSET: fields[{name!r}] = found")
    lines.append("state = replace(before, **fields)")
    for name in kind.derived:
        lines += [f"due = derive_{name}(Values(state))", f"if due is None or due != state.{name}: return None"]
    return [*lines, "return state"]


def _of_step(kind: SubjectKind) -> dict[str, str]:
    """The fields that are columns of a step, each with its expression."""
    times = {"updated_at": "step.at"} if kind.has_updated_at else {}
    found = {"merchant_id": "step.merchant_id", kind.stream_field: "step.stream_id"}
    return found | {"version": "step.version", "state": "step.to_state"} | times


def _opening_decoder(kind: SubjectKind) -> Callable[[str], Any]:
    """Of a first change: what it leaves out has its default; UNSET is what follows from the step or from the others."""
    hints = get_type_hints(kind.struct)
    given = {each.name: each for each in fields(kind.struct)}
    members: list[Any] = []
    for name in kind.history_fields:
        each = given[name]
        if name in kind.derived or name in (kind.id_field, "created_at"):
            members.append((name, hints[name] | UnsetType, UNSET))
        elif each.required:
            members.append((name, hints[name]))
        elif each.default_factory is NODEFAULT:
            members.append((name, hints[name], each.default))
        else:
            members.append((name, hints[name], field(default_factory=each.default_factory)))
    return _decoder(f"{kind.struct.__name__}Opening", members)


def _change_decoder(kind: SubjectKind) -> Callable[[str], Any]:
    """Of a later change: UNSET is what it did not set."""
    hints = get_type_hints(kind.struct)
    members = [(name, hints[name] | UnsetType, UNSET) for name in kind.history_fields]
    return _decoder(f"{kind.struct.__name__}Change", members)


def _decoder(name: str, members: Sequence[Any]) -> Callable[[str], Any]:
    struct = msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(struct).decode
