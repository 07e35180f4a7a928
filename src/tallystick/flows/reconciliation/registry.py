"""The formats that are known, in the order in which a file is tried on them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final

from tallystick.flows.reconciliation.formats import adyen, camt053, generic_csv, mt940, paypal, simulator, stripe
from tallystick.flows.reconciliation.formats.base import FileRefused, Format

#: Each recognises what is its own by what the other ones do not have; one without a sign of its own is never guessed.
FORMATS: Final[Sequence[Format]] = (
    camt053.FORMAT,
    simulator.FORMAT,
    stripe.FORMAT,
    *adyen.FORMATS,
    paypal.FORMAT,
    mt940.FORMAT,
    generic_csv.FORMAT,
)

FORMAT_NAMES: Final = tuple(each.name for each in FORMATS)

#: Providers that have a format which nobody else writes: the test acquirer writes all of them, and banks have the names
#: that the operator gives them.
OWN_FORMAT: Final[frozenset[str | None]] = frozenset(
    each.provider
    for each in FORMATS
    if each not in (camt053.FORMAT, mt940.FORMAT, generic_csv.FORMAT, simulator.FORMAT)
)

#: What a person says who leaves it to the file.
AUTO: Final = "auto"


def format_of(name: str, head: bytes) -> Format:
    """The format of a file that begins like this, or the one of this name. Raises FileRefused where none or several
    recognise it, and where the named one does not. It is an object of its own: what it learns of one file stays with
    that file."""
    if name != AUTO:
        named = next((each for each in FORMATS if each.name == name), None)
        if named is None:
            raise FileRefused("unknown_format", f"there is no format {name}; there are {', '.join(FORMAT_NAMES)}")
        if named is not generic_csv.FORMAT and not named.recognises(head):
            raise FileRefused("not_this_format", f"it does not begin as {name} does")
        return copy(named)
    found = [each for each in FORMATS if each.recognises(head)]
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        raise FileRefused("format_unknown", f"it could be {names}: name its format" if names else "no format knows it")
    return copy(found[0])
