"""Sections: the settings of one area, and the faults that their types cannot express."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple, get_type_hints

from msgspec import Meta

from tallystick.settings.fields import variable


class Field(NamedTuple):
    """One setting: ``name`` as in its variable, ``attribute`` as in its section, ``hint`` with its ``meta``."""

    name: str
    attribute: str
    hint: Any
    meta: Meta


@dataclass(frozen=True, kw_only=True, repr=False)
class Section:
    """The settings of one room: annotated fields, each with a default. Decorate subclasses as this class is."""

    title: ClassVar[str] = ""  # of the group, where settings are listed
    prefix: ClassVar[str] = ""  # the prefix of its settings' names, before the fields' own names

    def faults(self) -> Iterator[str]:
        """Faults beyond types and bounds: the variable and the expected value, never the given one."""
        yield from ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # secrets are among the fields

    @classmethod
    def fields(cls) -> Sequence[Field]:
        """The settings of the section, in their order."""
        section: Any = cls  # a type can be hashed, which mypy does not know of one that is a variable
        return _fields(section)


@dataclass(frozen=True, kw_only=True, repr=False)
class ConnectorSettings(Section):
    """The settings of one provider's connector. ``prefix`` is the provider's name and an underscore, so that
    ``api_key`` of Stripe is set by ``TALLYSTICK_STRIPE_API_KEY``."""

    @classmethod
    def fault(cls, attribute: str, expected: str) -> str:
        """A fault of one of the section's settings."""
        return f"{variable(cls.prefix + attribute)}: {expected}"


@cache
def _fields(section: type[Section]) -> tuple[Field, ...]:
    """Every command reads all settings several times, and their types do not change."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(
        Field(section.prefix + field.name, field.name, hints[field.name], meta)
        for field in dataclasses.fields(section)
        for meta in getattr(hints[field.name], "__metadata__", ())
        if isinstance(meta, Meta)
    )
