"""Lines that are written often, each declared once: event, level, fields, and who made the values of each field.

What the product made itself (ids, numbers, names of states) cannot hold a card number, and is not searched for one.
What others wrote is searched on every line; what is configured, and the same on most lines, is searched once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from tallystick.kit.card_data import looks_like_card_number, may_contain_card_text
from tallystick.kit.log_format import Moments, as_json, as_text
from tallystick.kit.log_writer import WRITER, LineWriter, Values

#: ``own``: the product made it. ``word``: one of a few names that somebody configured. ``text``: others wrote it.
Made = Literal["own", "word", "text"]

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

#: Names of secrets that do not come from the settings: headers, and fields of providers' answers. No line has one.
SECRET_NAMES: Final = frozenset({"authorization", "api_key", "client_secret", "password", "secret", "token"})

REDACTED: Final = "[redacted]"
LOOKS_LIKE_CARD_DATA: Final = "[refused: looks like card data]"

#: Secrets that are known by their form: our API keys, signing secrets of webhooks, keys of providers, and headers; and
#: what each has in it, for the first look.
_SECRET: Final = re.compile(
    r"tsk_[a-z0-9-]+_[a-z]{16}_[A-Za-z]|whsec_[A-Za-z0-9+/_-]{4}|(?<![a-z])[sr]k_(?:live|test)_[A-Za-z0-9]{4}"
    r"|[Bb]earer \S"
)
_IN_SECRETS: Final = ("tsk_", "whsec_", "k_live_", "k_test_", "earer ")

#: Between texts that are looked at together. It is neither digit nor separator: no number goes over it.
_BETWEEN: Final = "#"

#: Words that were searched and are clear. More different ones than this are no words: they are searched each time.
_MOST_WORDS: Final = 4_096
_clear_words: Final[set[str]] = set()

_HEAD: Final = ("timestamp", "level", "event", "component")
_ENCODER: Final = msgspec.json.Encoder(enc_hook=repr)

_moments: Final = Moments()


class Output:
    """How lines are written in this process."""

    text = False


class Line:
    """One kind of line. ``fields``: who made the values of each. Values are given in their order, and one that is None
    is left out."""

    __slots__ = ("component", "event", "fields", "level", "names", "number", "record", "searched", "words", "writer")

    def __init__(
        self, event: str, level: str, component: str, fields: Mapping[str, Made], writer: LineWriter = WRITER
    ) -> None:
        if secret := SECRET_NAMES.intersection(fields):
            raise ValueError(f"{sorted(secret)} are names of secrets")
        self.event, self.level, self.component, self.fields = event, level, component, dict(fields)
        self.number = LEVELS[level]
        self.names = tuple(fields)
        self.searched = tuple(at for at, made in enumerate(fields.values()) if made == "text")
        self.words = tuple(at for at, made in enumerate(fields.values()) if made == "word")
        self.writer = writer
        #: The line as it is encoded: what is None is left out.
        self.record = msgspec.defstruct(
            "Record",
            [("timestamp", str), ("level", str), ("event", str), ("component", str)]
            + [(name, Any, None) for name in fields],
            omit_defaults=True,
        )

    @property
    def wanted(self) -> bool:
        """Whether this process writes lines of this level."""
        return self.number >= self.writer.threshold

    def say(self, *values: Any) -> None:
        """Have the line written soon. Never waits."""
        if self.number >= self.writer.threshold:
            self.writer.put(self, values)

    def shown(self, values: Values) -> dict[str, Any]:
        """The fields that are there, and nothing in them that must not be seen."""
        values = self._without_secrets(values)
        return {name: value for name, value in zip(self.names, values, strict=True) if value is not None}

    def written(self, at_ns: int, values: Values) -> bytes:
        """The line as it is written, without its newline. A defect of the caller is a line that says so."""
        head = (_moments.written(at_ns), self.level, self.event, self.component)
        try:
            if Output.text:
                return as_text(dict(zip(_HEAD, head, strict=True)) | self.shown(values))
            return _ENCODER.encode(self.record(*head, *self._without_secrets(values)))
        except Exception as error:  # such as a value too many
            return as_json(dict(zip(_HEAD, head, strict=True)) | {"error": type(error).__name__})

    def _without_secrets(self, values: Values) -> Values:
        texts = [values[at] for at in self.searched if values[at] is not None]
        unknown = [at for at in self.words if values[at] is not None and values[at] not in _clear_words]
        if not unknown and (not texts or _is_clear(_BETWEEN.join(texts))):
            return values
        held = list(values)
        for at in (*self.searched, *unknown):
            if held[at] is not None:
                held[at] = without_secrets(held[at])
        for at in unknown:
            if held[at] is values[at] and len(_clear_words) < _MOST_WORDS:
                _clear_words.add(held[at])
        return tuple(held)


def without_secrets(text: str) -> str:
    """The same text; or what stands for one that holds a card number or a secret."""
    if looks_like_card_number(text):
        return LOOKS_LIKE_CARD_DATA
    return REDACTED if _SECRET.search(text) is not None else text


def _is_clear(text: str) -> bool:
    """The cheap look at several texts at once: true only where there is certainly nothing to hide in any of them."""
    return not may_contain_card_text(text) and not _may_be_secret(text)


def _may_be_secret(text: str) -> bool:
    tsk, whsec, live, test, bearer = _IN_SECRETS  # one after another: a loop takes three times as long
    return tsk in text or whsec in text or live in text or test in text or bearer in text
