"""``merchants``: whose payments are here."""

from __future__ import annotations

from typing import Final

from tallystick.cli.context import AsJson, DataDir, print_json, settings_from
from tallystick.cli.reading import OpenRecord, lines, print_rows, shown_time, with_record
from tallystick.record.postgres.operator_reads import MerchantRow

NONE: Final = "No merchant. `tallystick keys create` makes one."


def merchants(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List merchants, with their providers and how many keys they have. `keys create` makes one."""

    async def found(record: OpenRecord) -> list[MerchantRow]:
        return await record.operator.merchants()

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    cells = [(row.merchant_id, _about(row)) for row in rows]
    print_rows(cells, ("merchant", "keys and providers"), title="Merchants", nothing=NONE)


def _about(row: MerchantRow) -> str:
    whose = "operators' keys" if row.operator else "keys"
    default = f"default provider {row.default_provider}" if row.default_provider else ""
    allowed = "" if row.allowed_providers is None else f"may use {', '.join(row.allowed_providers) or 'none'}"
    return lines(f"{row.keys} {whose}", default, allowed, f"since {shown_time(row.created_at)} UTC")
