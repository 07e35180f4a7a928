"""Seals a provider's name for something where it looks like a card number. It is shown masked, and stays comparable.

A sealed name is a text like any other name: ``sealed:****************:<seal in base64url>``. The same name of the same
provider is always the same text, so that columns, keys and decisions compare it as they compare every name. It is
opened for one purpose alone: to call the provider by it.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Final

from tallystick.domain.provider_words import RESERVED
from tallystick.kit.card_mask import MASK, mask_cards, names_a_card
from tallystick.record.sealing import SealBroken, Sealer

#: How a sealed name begins.
PREFIX: Final = RESERVED


class NameSeal:
    """Seals and opens names with one process's keys."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def kept(self, name: str, provider: str) -> str:
        """The name as it may be stored and shown: itself, unless it looks like a card number. What merely begins like a
        sealed name is sealed too, so that each text has one meaning. Raises SealingRefused."""
        if not names_a_card(name) and not name.startswith(PREFIX):
            return name
        shown = mask_cards(name)
        if shown == name:
            shown = MASK * len(name)
        sealed = self._sealer.seal_alike(name.encode("utf-8", "surrogatepass"), _about(provider))
        return f"{PREFIX}{shown}:{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def given(self, name: str, provider: str) -> str:
        """A name that a person gives us, who may have it from us or from the provider. Raises SealingRefused."""
        if name.startswith(PREFIX):
            with suppress(SealBroken):  # the provider's own name may begin like a sealed one
                self.opened(name, provider)
                return name
        return self.kept(name, provider)

    def opened(self, name: str, provider: str) -> str:
        """The name as the provider knows it. Raises SealBroken."""
        if not name.startswith(PREFIX):
            return name
        seal = name.rpartition(":")[2]
        try:
            sealed = base64.urlsafe_b64decode(seal + "=" * (-len(seal) % 4))
        except (binascii.Error, ValueError):
            raise SealBroken("not a sealed name") from None
        return self._sealer.open_alike(sealed, _about(provider)).decode("utf-8", "surrogatepass")


def _about(provider: str) -> bytes:
    return f"provider_name/{provider}".encode()
