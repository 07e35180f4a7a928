"""What banks and providers call the accounts that statements are about: which of two names are one account. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

#: An international bank account number, without blanks. The shortest one has 15 characters.
_IBAN: Final = re.compile(r"[A-Z]{2}\d\d[A-Z0-9]{11,30}", re.ASCII)


def plain_account(name: str | None, currency: str) -> str:
    """A name as names are compared: without blanks, in capitals, and without the currency that some banks add."""
    plain = "".join((name or "").split()).upper()
    return plain.removesuffix(currency) or plain


def is_iban(plain: str) -> bool:
    """Whether a plain name is an IBAN; else it is a bank's or a provider's own number."""
    return _IBAN.fullmatch(plain) is not None


def accounts_apart(names: Collection[str | None], currency: str) -> dict[str | None, str]:
    """What tells the accounts apart that statements of one currency name. A bank may write one account in two ways, as
    an IBAN and as its own number: they are several accounts only where two names of one kind differ."""
    plain = {name: plain_account(name, currency) for name in names}
    known = {each for each in plain.values() if each}
    ibans = {each for each in known if is_iban(each)}
    if len(ibans) <= 1 and len(known - ibans) <= 1:
        return dict.fromkeys(plain, "")
    return plain


def is_another_account(name: str, currency: str, before: Collection[tuple[str, bool]]) -> bool:
    """Whether a statement names another account than all statements before it. ``before``: each name, and whether a
    file of the same format has it. An IBAN is not compared with a bank's own number, nor numbers of two formats."""
    own = plain_account(name, currency)
    others = {(plain_account(each, currency), is_alike) for each, is_alike in before}
    if own in {each for each, _ in others}:
        return False
    return any(is_iban(each) == is_iban(own) and (is_iban(own) or is_alike) for each, is_alike in others)
