"""Settings from a TOML file: values for the variables that the environment does not have."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tallystick.settings.fields import PREFIX, variable
from tallystick.settings.load import ConnectorTypes, SettingsError, near, secret_names, settings_by_variable, value_of

#: Names the file.
CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"

#: As tomllib ends what it says of a file that is not TOML.
_PLACE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


def read_config_file(path: Path, connectors: ConnectorTypes) -> dict[str, str]:
    """The file's values by variable, as the environment would have them. Names are those of the variables, without the
    prefix and in small letters.

    Raises SettingsError with file and line for a file that is not TOML, an unknown name and an invalid value, and for
    a file with secrets that others may read. No value is repeated.
    """
    text, mode = _read(path)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_not_toml(path, str(error))) from None
    except (ValueError, RecursionError):  # beyond what Python reads: thousands of digits, or of brackets
        raise SettingsError(f"{path}: a number is too long, or lists are nested too deeply") from None
    faults, values = list(_exposed(path, mode, given, secret_names(connectors))), {}
    known = settings_by_variable(connectors)
    for name, value in given.items():
        try:
            values[variable(name)] = _text(name, value, known)
        except ValueError as error:
            faults.append(f"{_place(path, text, name)}: {name}: {error}")
    if faults:
        raise SettingsError("; ".join(faults))
    return values


def _read(path: Path) -> tuple[str, int]:
    """The text, and the mode of the very file that was read. A file that is not UTF-8 is no TOML."""
    try:
        with path.open("rb") as file:
            return file.read().decode(), os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise SettingsError(f"cannot read the config file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: it is not UTF-8, which TOML is") from None


def _not_toml(path: Path, said: str) -> str:
    place = _PLACE.search(said)
    return f"{path}: {said}" if place is None else f"{path}:{place[1]}: {said[: place.start()]}"


def _exposed(path: Path, mode: int, given: Mapping[str, Any], secrets: frozenset[str]) -> Iterator[str]:
    exposed = sorted(name for name in given if name in secrets)
    if exposed and mode & (stat.S_IRWXG | stat.S_IRWXO):
        others = f"mode {stat.S_IMODE(mode):04o} lets others use it"
        yield f"{path}: it has secrets ({', '.join(exposed)}), and {others}; chmod 600 {path}"


def _text(name: str, value: object, known: Mapping[str, Any]) -> str:
    """As the environment has it. Raises ValueError with what is expected."""
    if name != name.lower() or variable(name) not in known:
        raise ValueError(f"unknown setting{near(variable(_as_here(name.upper())), known, shown=_as_here)}")
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | str):
        text = str(value)
    else:
        raise ValueError("expected a text, a whole number, true or false")
    if "\0" in text:
        raise ValueError("it has a NUL, which no variable can have")
    value_of(known[variable(name)], text)
    return text


def _as_here(variable_name: str) -> str:
    return variable_name.removeprefix(PREFIX).lower()


def _place(path: Path, text: str, name: str) -> str:
    """File and line of the first line that begins as the name's would; the file alone where none does."""
    begins = re.compile(rf"\s*(\[\s*)?[\"']?{re.escape(name)}[\"']?\s*[.=\]]")
    for number, line in enumerate(text.splitlines(), 1):
        if begins.match(line):
            return f"{path}:{number}"
    return str(path)
