"""What a provider says, without card numbers. Pure.

Texts are masked in place. The provider's names for things (charges, refunds, movements, events) have to stay what they
are: by them later events find their payment, and later calls name the charge. One that looks like a card number is
sealed by the caller, so that the same name is always the same text. Our own names come back from a provider as we gave
them, and are known by their shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.card_mask import is_clear_json, mask_cards, mask_cards_within

Said = TypeVar("Said", bound=Struct)

#: Fields of verdicts, notices and notifications that hold a provider's name for something.
NAMES: Final = frozenset({"reference", "provider_event_id", "charge_reference"})

#: Fields that hold a name of ours.
OWN_NAMES: Final = frozenset({"merchant_id", "payment_id", "attempt_id", "attempt_ids"})

#: Merchants, and ids of ours. No merchant's name looks like a card number (``access.api_key``).
_OWN_SHAPE: Final = re.compile(r"[a-z0-9-]{1,32}|[a-z]{2,4}_[0-9a-f]{32}", re.ASCII)

#: Types of values that hold no text.
_HARMLESS: Final = frozenset({bool, int})

#: Begins what ``keep_name`` makes of a name.
RESERVED: Final = "sealed:"
_RESERVED: Final = RESERVED.encode()

_ENCODER: Final = msgspec.json.Encoder()

#: Makes of a name what is kept of it; most stay as they are.
KeepName = Callable[[str], str]


def without_cards(said: Said, keep_name: KeepName, masked: Callable[[str], None]) -> Said:
    """A struct of what a provider said, with all that is in it: every text is masked, and every name kept by
    ``keep_name``. ``masked`` is called with the name of each field whose text changed. The same object where nothing
    did."""
    if _is_clear(said):
        return said
    changed: dict[str, Any] = {}
    for field in said.__struct_fields__:
        value = getattr(said, field)
        if value is None or type(value) in _HARMLESS:
            continue
        kept = _without_cards(field, value, keep_name, masked)
        if kept is not value:
            changed[field] = kept
    return replace(said, **changed) if changed else said


def _is_clear(said: Struct) -> bool:
    """One look at all of it, as JSON: most of what providers say is clear, and needs no look at each text."""
    try:
        written = _ENCODER.encode(said)
    except (TypeError, ValueError, RecursionError):  # half a character, or what JSON cannot express
        return False
    return is_clear_json(written) and _RESERVED not in written


def own_name(text: str) -> str:
    """What a provider gives as a name of ours: itself where it can be one, else a text like any other."""
    if _OWN_SHAPE.fullmatch(text) is not None and not looks_like_card_number(text):
        return text
    return mask_cards(text)


def _without_cards(field: str, value: Any, keep_name: KeepName, masked: Callable[[str], None]) -> Any:
    if isinstance(value, str):
        if field in NAMES:
            return keep_name(value)
        clear = own_name(value) if field in OWN_NAMES else mask_cards(value)
    elif isinstance(value, dict | list):
        clear = mask_cards_within(value)
    elif isinstance(value, Struct):
        return without_cards(value, keep_name, masked)
    elif isinstance(value, tuple):
        kept = tuple(_without_cards(field, each, keep_name, masked) for each in value)
        if all(before is after for before, after in zip(value, kept, strict=True)):
            return value
        return type(value)._make(kept) if hasattr(value, "_make") else kept  # a NamedTuple stays one
    else:
        return value
    if clear is not value:
        masked(field)
    return clear
