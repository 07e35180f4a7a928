"""Names that no other test has, of letters alone.

A name of hexadecimal digits is sometimes all digits, and beside an amount it may look like a card number: it would be
masked, as it must be.
"""

from __future__ import annotations

from typing import Final

from tallystick.kit.ids import new_id

_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")


def new_letters(length: int = 12) -> str:
    """As many letters as are asked for, 20 at most, which are new."""
    return new_id("req")[-length:].translate(_LETTERS)
