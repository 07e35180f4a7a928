"""The door for what settlement files say: no card number and no secret passes it into a row.

A name that looks like a card number is sealed as a provider's names are everywhere, so that it is found by the same
text. All else is masked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final

from tallystick.domain.settlement_file import BadRow
from tallystick.domain.settlement_row import SettlementRow
from tallystick.domain.storable import is_text
from tallystick.flows.reconciliation.formats.base import Item, RowRefused
from tallystick.kit.card_mask import is_clear, mask_cards
from tallystick.kit.secret_shapes import SECRETS, has_secret
from tallystick.record.name_seal import PREFIX, NameSeal
from tallystick.record.sealing import Sealer

#: The provider's names for something: they are compared with those in the record.
_NAMES: Final = ("batch", "row_key", "reference", "payment_reference", "payout_reference")
_TEXTS: Final = ("raw_type", "rate", "merchant_reference", "method", "country", "text")
_ALL: Final = (*_NAMES, *_TEXTS, "other_references", "fee_parts")

#: Between two fields, for the first look at all of them: a letter, so that digits of neighbours are no number.
_BETWEEN: Final = "\x1fx\x1f"

#: Rows that are looked at together. One that is not clear is found in five looks at halves of them.
_AT_ONCE: Final = 32

#: Where a secret stood.
WITHHELD: Final = "[withheld]"

#: A secret of the settings that is shorter than this could be an ordinary word.
_SHORTEST_SECRET: Final = 8


class RowScreen:
    """Screens the rows of one file. ``found``: how many rows had something that was masked or sealed."""

    def __init__(self, sealer: Sealer, provider: str, secrets: Collection[str] = ()) -> None:
        self._seal, self._provider = NameSeal(sealer), provider
        self._secrets = [part for each in secrets for part in (each, *each.split(",")) if len(part) >= _SHORTEST_SECRET]
        self.found = 0

    def are_clear(self, rows: Iterable[SettlementRow]) -> bool:
        """The cheap first look, at many rows at once: true only where each of them may be stored as it is."""
        said: list[str] = []
        for row in rows:
            said += _said(row)
        joined = _BETWEEN.join(said)
        return "\x00" not in joined and is_text(joined) and self._is_harmless(joined)

    def screened(self, row: SettlementRow) -> SettlementRow:
        """The row as it may be stored. Raises RowRefused for what is no text; OSError and SettingsError where a name
        has to be sealed and there is no key."""
        joined = _BETWEEN.join(_said(row))
        if "\x00" in joined or not is_text(joined):
            raise RowRefused("not_text", "it has characters that are no text")
        if self._is_harmless(joined):
            return row
        before = [getattr(row, name) for name in _ALL]
        self._screen(row)
        self.found += before != [getattr(row, name) for name in _ALL]
        return row

    def _screen(self, row: SettlementRow) -> None:
        for name in _NAMES:
            if (value := getattr(row, name)) is not None:
                setattr(row, name, self._name(value))
        for name in _TEXTS:
            if (value := getattr(row, name)) is not None:
                setattr(row, name, self._text(value))
        if row.other_references is not None:
            row.other_references = [self._name(each) for each in row.other_references]
        if row.fee_parts is not None:
            row.fee_parts = {self._text(name): amount for name, amount in row.fee_parts.items()}

    def _is_harmless(self, value: str) -> bool:
        """The cheap first look: true only where there is certainly nothing to mask or to seal."""
        return is_clear(value) and not self._has_secret(value) and PREFIX not in value

    def _name(self, value: str) -> str:
        if self._is_harmless(value):
            return value
        return self._seal.kept(self._without_secrets(value), self._provider)

    def _text(self, value: str) -> str:
        return value if self._is_harmless(value) else mask_cards(self._without_secrets(value))

    def _has_secret(self, value: str) -> bool:
        return has_secret(value) or any(each in value for each in self._secrets)

    def _without_secrets(self, value: str) -> str:
        if not self._has_secret(value):
            return value
        for each in self._secrets:
            value = value.replace(each, WITHHELD)
        return SECRETS.sub(WITHHELD, value)


def screened(items: Iterator[Item], screen: RowScreen) -> Iterator[Item]:
    """What a format reads, as it may be stored; a row that is no text is a bad one. Many rows are looked at together,
    and in halves where they are not all clear."""
    while some := list(islice(items, _AT_ONCE)):
        yield from _screened(some, screen)


def _screened(some: list[Item], screen: RowScreen) -> list[Item]:
    if screen.are_clear([each for each in some if isinstance(each, SettlementRow)]):
        return some
    if len(some) > 1:
        half = len(some) // 2
        return _screened(some[:half], screen) + _screened(some[half:], screen)
    each = some[0]
    assert isinstance(each, SettlementRow), "only a row is not clear"
    try:
        return [screen.screened(each)]
    except RowRefused as error:
        return [BadRow(line=each.line, reason=error.reason, detail=error.detail)]


def _said(row: SettlementRow) -> list[str]:
    """Every text of a row that is stored but the names of parts of fees, which a format has in its own table."""
    said = [
        row.batch,
        row.row_key,
        row.raw_type,
        row.reference or "",
        row.payment_reference or "",
        row.merchant_reference or "",
        row.payout_reference or "",
        row.method or "",
        row.country or "",
        row.rate or "",
        row.text or "",
    ]
    if row.other_references is not None:
        said += row.other_references
    return said
