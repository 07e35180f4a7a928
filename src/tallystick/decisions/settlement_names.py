"""Which movements a settlement row may be, by the provider's names alone. Pure.

A row that has a name of its own is the movement of that name, and no other one, however alike amount, currency and
payment are. Two movements of one payment may be equal, and the record may know one of them: the row of the other one
must not take its posting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tallystick.domain.settlement_evidence import Candidate
from tallystick.domain.settlement_row import RowKind, SettlementRow

#: Type of row at Adyen, in small letters -> the code of its event, which names the movement of a dispute.
ADYEN_DISPUTE_CODES: Final[Mapping[str, str]] = {
    "chargeback": "CHARGEBACK",
    "chargebackreversed": "CHARGEBACK_REVERSED",
    "secondchargeback": "SECOND_CHARGEBACK",
}

#: Several movements of one dispute have its name, and each has one of its own besides.
_OF_DISPUTES: Final[frozenset[RowKind]] = frozenset({"dispute", "dispute_reversal"})

#: Money that went out before the provider named its movements is one of this name: nobody knows which one.
_UNNAMED: Final = ""


class RowNames(Struct, frozen=True):
    """How the rows of a format name what moved. ``of_their_charge``: kinds of rows whose reference is that of the
    charge, whatever of it moved. ``movement``: what names one movement of a dispute; None: nothing does.
    ``is_one_movement``: a row with a name is the one movement of that name, and never several together."""

    of_their_charge: frozenset[RowKind] = frozenset()
    movement: Callable[[SettlementRow], str | None] | None = None
    is_one_movement: bool = False

    @property
    def in_doubt(self) -> frozenset[RowKind]:
        """Kinds of rows of which the reference is not the whole name."""
        return _OF_DISPUTES if self.movement is not None else frozenset()

    def own_name(self, row: SettlementRow) -> str | None:
        """The name of the one movement that the row is; None where it may be several, or a part of one."""
        return row.reference if self.is_one_movement and row.kind not in self.of_their_charge else None

    def possible(self, row: SettlementRow, found: Sequence[Candidate]) -> Sequence[Candidate]:
        """What of ``found`` the row may be: not what has another name, and where something has its own name, nothing of
        its kind without one."""
        moved = self.movement(row) if self.movement is not None and row.kind in _OF_DISPUTES else None
        fits = [each for each in found if not _is_another(row, moved, each)]
        named = {each.found_by for each in fits if each.name is not None and each.kind == row.kind}
        return [each for each in fits if each.found_by not in named or each.name is not None or each.kind != row.kind]


def _is_another(row: SettlementRow, moved: str | None, each: Candidate) -> bool:
    """Whether the row has a name, and the posting another one."""
    if each.amount is None:
        return False
    if each.name is not None and row.reference is not None and each.name != row.reference:
        return True
    names = each.movements if each.kind == row.kind else ()
    return moved is not None and bool(names) and _UNNAMED not in names and moved not in names


def _by_code(row: SettlementRow) -> str | None:
    """Adyen's movements of a dispute are named by the codes of their events."""
    return ADYEN_DISPUTE_CODES.get(row.raw_type.lower())


def _by_balance_transaction(row: SettlementRow) -> str | None:
    """Stripe's are named by their balance transactions, which are the rows' own names."""
    return row.row_key


#: Of other formats nothing is known but that a reference is the name of what moved.
_OTHERS: Final = RowNames()

#: Format -> whose names it has, and how its rows name what moved.
_NAMES: Final[Mapping[str, tuple[str, RowNames]]] = {
    "stripe": ("stripe", RowNames(frozenset({"charge", "charge_reversal"}), _by_balance_transaction, True)),
    "adyen_settlement_details": ("adyen", RowNames(frozenset(), _by_code, True)),
    "adyen_accounting": ("adyen", RowNames(frozenset(), _by_code, True)),
}

#: Kinds of rows whose reference is that of their charge, of every format, as format:kind.
OF_THEIR_CHARGE: Final = [
    f"{name}:{kind}" for name, (_, each) in _NAMES.items() for kind in sorted(each.of_their_charge)
]


def names_of(format_name: str, provider: str) -> RowNames:
    """How the rows of a format name what moved. In a file of another provider movements of disputes have other
    names."""
    if format_name not in _NAMES:
        return _OTHERS
    own, names = _NAMES[format_name]
    return names if own == provider else RowNames(names.of_their_charge)
