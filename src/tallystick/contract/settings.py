"""The reference page of all settings, printed by ``tallystick settings --markdown``."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from tallystick.contract import markdown
from tallystick.settings.load import SettingRow

#: Defaults that depend on the machine: the page must be the same everywhere.
_BY_MACHINE: Final = {"TALLYSTICK_DATA_DIR": "`/var/lib/tallystick` for root, else `~/.local/share/tallystick`"}

_HEAD: Final = """# Settings

Printed by `tallystick settings --markdown`. Settings are read from the environment, and from a
[config file](../operate/command-line.md#config-file). An unknown variable with the prefix `TALLYSTICK_` is an error."""


def render_settings(rows: Iterable[SettingRow]) -> str:
    """A table for each group: the same bytes on every machine."""
    parts = [_HEAD]
    for title, group in groupby(rows, lambda row: row.group):
        cells = [
            (f"`{row.variable}`", _BY_MACHINE.get(row.variable, row.default), row.unit, row.reason) for row in group
        ]
        parts += [f"## {title}", markdown.table(("setting", "default", "unit", "why"), cells)]
    return "\n\n".join(parts) + "\n"
