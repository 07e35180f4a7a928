"""Settings, from ``TALLYSTICK_*`` variables: each with a default, a unit, bounds and a reason.

The settings of connectors are described beside the connectors (``providers/<name>/setup.py``). This room does not
know them: the caller passes their types (``providers.registry.CONNECTOR_SETTINGS``).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.settings.alerts import AlertSettings
from tallystick.settings.api import ApiSettings
from tallystick.settings.audit import AuditSettings
from tallystick.settings.console import ConsoleSettings
from tallystick.settings.database import DatabaseSettings
from tallystick.settings.fields import PREFIX, by_provider, variable
from tallystick.settings.inbound_webhooks import InboundWebhookSettings
from tallystick.settings.journal import JournalSettings
from tallystick.settings.numbers import NumberSettings
from tallystick.settings.outbound_webhooks import OutboundWebhookSettings
from tallystick.settings.payments import PaymentSettings
from tallystick.settings.process import ProcessSettings
from tallystick.settings.providers import ProviderSettings
from tallystick.settings.recovery import RecoverySettings
from tallystick.settings.sections import ConnectorSettings, Field, Section
from tallystick.settings.settlements import SettlementSettings

Own = TypeVar("Own", bound=ConnectorSettings)

ConnectorTypes = Iterable[type[ConnectorSettings]]


class SettingsError(TallystickError):
    """One or more variables are invalid; the message names each, and no value."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(
    ProviderSettings,
    InboundWebhookSettings,
    OutboundWebhookSettings,
    DatabaseSettings,
    ApiSettings,
    ConsoleSettings,
    PaymentSettings,
    RecoverySettings,
    JournalSettings,
    NumberSettings,
    AlertSettings,
    AuditSettings,
    SettlementSettings,
    ProcessSettings,
):
    """All settings. ``tallystick settings`` prints their reasons.

    ``connectors``: the settings of connectors that differ from their defaults; read them by ``connector``.
    """

    connectors: tuple[ConnectorSettings, ...] = ()

    def connector(self, own: type[Own]) -> Own:
        """The settings of one connector."""
        return next((given for given in self.connectors if isinstance(given, own)), None) or own()

    def with_connector(self, own: type[Own], **changes: Any) -> Settings:
        """The same settings, with other values for one connector."""
        others = tuple(given for given in self.connectors if not isinstance(given, own))
        return replace(self, connectors=(*others, replace(self.connector(own), **changes)))

    def of_one_connector(self, own: type[ConnectorSettings]) -> Settings:
        """The same settings without those of all other connectors, and so without their keys."""
        return replace(self, connectors=tuple(given for given in self.connectors if isinstance(given, own)))

    def faults(self) -> Iterator[str]:
        """The faults of every section."""
        for section in type(self).__bases__:
            assert issubclass(section, Section)
            yield from section.faults(self)


class SettingRow(Struct, frozen=True):
    """One line of ``tallystick settings``."""

    group: str
    variable: str
    default: str
    unit: str
    reason: str


def load_settings(environ: Mapping[str, str], connectors: ConnectorTypes) -> Settings:
    """Settings from the environment. Raises SettingsError naming every unknown or invalid variable."""
    sections: tuple[type[Section], ...] = (Settings, *connectors)
    known = {variable(field.name): (section, field) for section in sections for field in section.fields()}
    values: dict[type[Section], dict[str, Any]] = {section: {} for section in sections}
    faults: list[str] = []
    for name, given in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.upper().startswith(f"{PREFIX}TEST_"):  # the test suites' own
            continue
        if name.upper() not in known:
            faults.append(f"{name}: unknown setting{near(name, known)}")
            continue
        section, field = known[name.upper()]
        try:
            values[section][field.attribute] = value_of(field, given)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    settings = Settings(**values[Settings])
    own = [kind(**values[kind]) for kind in connectors]
    providers = [kind.prefix.removesuffix("_") for kind in connectors]
    for read in (settings, *own):
        faults.extend(read.faults())
        faults.extend(_unknown_providers(read, providers))
    if faults:
        raise SettingsError("; ".join(faults))
    return replace(settings, connectors=tuple(each for each in own if each != type(each)()))


def settings_by_variable(connectors: ConnectorTypes) -> dict[str, Field]:
    """Every setting by its variable."""
    sections: tuple[type[Section], ...] = (Settings, *connectors)
    return {variable(field.name): field for section in sections for field in section.fields()}


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that give another process the same settings."""
    environ = {}
    for section in (settings, *settings.connectors):
        for field in section.fields():
            value = getattr(section, field.attribute)
            if value is not None:
                environ[variable(field.name)] = str(value)
    return environ


def describe_settings(connectors: ConnectorTypes) -> list[SettingRow]:
    """Every setting with its default, unit and reason; in groups: those of the connectors come first."""
    rows = []
    for section in (*connectors, *Settings.__bases__):
        assert issubclass(section, Section)
        defaults = section()
        for field in section.fields():
            default = getattr(defaults, field.attribute)
            rows.append(
                SettingRow(
                    group=section.title,
                    variable=variable(field.name),
                    default="" if default is None else str(default),
                    unit=str((field.meta.extra or {}).get("unit", "")),
                    reason=field.meta.description or "",
                )
            )
    return rows


def secret_names(connectors: ConnectorTypes) -> frozenset[str]:
    """The names of secrets in logs: of each secret setting, and of its field."""
    sections: tuple[type[Section], ...] = (Settings, *connectors)
    secret = [field for section in sections for field in section.fields() if (field.meta.extra or {}).get("secret")]
    return frozenset(name for field in secret for name in (field.name, field.attribute))


def _unknown_providers(section: Section, providers: Sequence[str]) -> Iterator[str]:
    """A fault for each map by provider that names one without a connector: its value would have no effect."""
    for field in section.fields():
        if not (field.meta.extra or {}).get("by_provider"):
            continue
        try:
            named = by_provider(getattr(section, field.attribute))
        except ValueError:
            continue  # one of the section's own faults
        unknown = [name for name in named if name not in providers]
        if unknown:
            close = difflib.get_close_matches(unknown[0].lower(), providers, n=1)
            hint = f"; is {close[0]} meant?" if close else ""
            expected = f"expected provider=value,… of the providers {', '.join(providers)}"
            yield f"{variable(field.name)}: {expected}{hint}"


def value_of(field: Field, given: str) -> Any:
    """A setting's value from its text. Raises ValueError with what is expected, and not what was given: that may be a
    secret at the wrong name."""
    if not given:
        raise ValueError("it is empty; unset it for the default")
    try:
        return msgspec.convert(given, field.hint, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(_expected(field) or str(error)) from error


def _expected(field: Field) -> str | None:
    """What a number or a flag may be, for people; None for another type."""
    unit = (field.meta.extra or {}).get("unit")
    if unit == "flag":
        return "expected true or false"
    if unit == "port":
        return "expected a whole number from 1 to 65535"
    if field.meta.ge is None or field.meta.le is None:
        return None
    return f"expected a whole number from {field.meta.ge} to {field.meta.le}"


def near(name: str, known: Iterable[str], shown: Callable[[str], str] = str) -> str:
    """A hint for a misspelt variable. ``shown``: a variable's name as it is written there."""
    names = [each.removeprefix(PREFIX) for each in known]  # with the prefix, every name is close to every other
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), names, n=1)
    return f"; is {shown(PREFIX + close[0])} meant?" if close else "; `tallystick settings` lists them all"
