"""Settlement files as tests read them: golden files, and what a format makes of bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import BadRow, StatedTotal
from tallystick.domain.settlement_row import ROW_KINDS, SettlementRow
from tallystick.flows.reconciliation.formats.base import HEAD_BYTES, MAX_ROW_AMOUNT, FileRefused, Item, ReadOptions
from tallystick.flows.reconciliation.registry import AUTO, FORMATS, format_of

GOLDEN: Final = Path(__file__).parents[1] / "flows/reconciliation/formats/golden"


def golden_names() -> list[str]:
    """The golden files that say what they come to."""
    return sorted(each.name.removesuffix(".expected.json") for each in GOLDEN.glob("*.expected.json"))


def golden_file(name: str) -> Path:
    (found,) = (each for each in GOLDEN.glob(f"{name}.*") if not each.name.endswith(".expected.json"))
    return found


def expected_of(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GOLDEN / f"{name}.expected.json").read_text())
    return read


def options_of(name: str) -> ReadOptions:
    return msgspec.convert(expected_of(name).get("options", {}), ReadOptions)


def read_bytes(content: bytes, options: ReadOptions | None = None, format_name: str = AUTO) -> list[Item]:
    """The items of a file, by its own format or the named one. Raises FileRefused."""
    read_by = format_of(format_name, content[:HEAD_BYTES])
    return list(read_by.read(io.BufferedReader(io.BytesIO(content)), options or ReadOptions()))


def read_by_each(content: bytes, options: ReadOptions) -> list[tuple[str, Any]]:
    """Each format's name, and a reader of its items, whether it knows the file or not."""
    return [(each.name, each.read(io.BufferedReader(io.BytesIO(content)), options)) for each in FORMATS]


def check_reading(content: bytes, options: ReadOptions) -> None:
    """Every format reads the bytes, or refuses them, and nothing else."""
    for each in FORMATS:
        each.recognises(content[:HEAD_BYTES])
        try:
            for item in each.read(io.BufferedReader(io.BytesIO(content)), options):
                match item:
                    case SettlementRow():
                        check_row(item)
                    case BadRow():
                        assert item.line >= 0 and item.reason and len(item.detail) < 200
        except FileRefused as error:
            assert error.reason and len(error.detail) < 400


def check_row(row: SettlementRow) -> None:
    """A row is of the normal form."""
    assert row.net == row.gross - row.fee
    assert abs(row.gross) <= 8 * MAX_ROW_AMOUNT and abs(row.fee) <= 8 * MAX_ROW_AMOUNT
    assert row.kind in ROW_KINDS and row.currency in EXPONENTS and row.row_key
    assert row.payer_currency is None or row.payer_currency in EXPONENTS
    assert row.fee_parts is None or sum(row.fee_parts.values()) == row.fee
    for when in (row.occurred_at, row.booked_at):
        assert when is None or when.utcoffset() is not None


def shown(item: Item) -> dict[str, Any]:
    """An item as golden files have it: without what is empty, and digests as a mark."""
    found = {name: value for name, value in msgspec.to_builtins(item).items() if value is not None}
    match item:
        case SettlementRow():
            for name in ("position", "occurrence"):
                found.pop(name)
            found["row_key"] = "#" if item.row_key.startswith("#") else item.row_key
        case BadRow():
            found.pop("detail")
    return found


def shown_all(items: list[Item]) -> dict[str, list[dict[str, Any]]]:
    kinds = {"rows": SettlementRow, "bad": BadRow, "totals": StatedTotal}
    return {name: [shown(each) for each in items if isinstance(each, kind)] for name, kind in kinds.items()}
