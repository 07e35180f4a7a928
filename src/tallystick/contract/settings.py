"""The reference page of all settings, printed by ``tallystick settings --markdown``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tallystick.contract import markdown
from tallystick.settings.load import SettingRow

#: Defaults that depend on the machine: the page must be the same everywhere.
_BY_MACHINE: Final = {"TALLYSTICK_DATA_DIR": "`/var/lib/tallystick` for root, else `~/.local/share/tallystick`"}

_HEAD: Final = """# Settings

Printed by `tallystick settings --markdown`. Settings are read from the environment. An unknown variable with the prefix
`TALLYSTICK_` is an error."""


def render_settings(rows: Iterable[SettingRow]) -> str:
    """One table: the same bytes on every machine."""
    cells = [(f"`{row.variable}`", _BY_MACHINE.get(row.variable, row.default), row.unit, row.reason) for row in rows]
    return f"{_HEAD}\n\n{markdown.table(('setting', 'default', 'unit', 'why'), cells)}\n"
