"""What a provider answered, byte for byte as far as it is kept. Pure.

It is kept beside outcomes that are no plain success. It is screened before it is stored, as all that a provider says
is: secrets by what they look like and by the names that they stand under, card numbers by ``kit.card_mask``. What a
payer has to do next lets whoever has it act as the payer, and is withheld like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from tallystick.kit.escapes import json_in_texts, unescaped
from tallystick.kit.inflating import inflated
from tallystick.kit.log_lines import SECRET_NAMES
from tallystick.kit.secret_shapes import SECRETS, has_secret

#: Whether the provider was asked to do something, or what became of it.
AskedFor = Literal["call", "lookup"]

#: So much of an answer's body is kept, in bytes. Adyen's answers and error pages of proxies have some hundred bytes. A
#: refusal of Stripe's has the whole PaymentIntent behind the fields that decide, some 4,000 in all.
KEPT_BYTES: Final = 4_096

#: So much of its headers.
HEADERS_BYTES: Final = 1_024

#: Longer bodies are not read as JSON, and are screened as text in their first ``WINDOW_BYTES``.
READ_BYTES: Final = 65_536

#: Beyond what is kept: a number or a secret that begins within it is seen whole, or far enough to be known.
WINDOW_BYTES: Final = 2 * KEPT_BYTES

#: Where something stood that is not kept.
WITHHELD: Final = "[withheld]"

#: What a payer has to do next, as providers name it. In small letters, without signs.
_ACTIONS: Final = frozenset({"nextaction", "action", "redirect", "paymentdata"})

_NO_LETTER: Final = re.compile(r"[^a-z]+")
_SECRET_NAMES: Final = frozenset(_NO_LETTER.sub("", name) for name in SECRET_NAMES)
_IN_SECRET_NAMES: Final = ("secret", "password", "apikey")

#: A member of JSON whose value is a text, also in JSON that is cut off or broken; and one whose value holds others.
_TEXT_MEMBER: Final = re.compile(r'"([^"\\]{1,64})"(\s{0,8}:\s{0,8})"(?:[^"\\]|\\.)*+("?)', re.DOTALL)
_TREE_MEMBER: Final = re.compile(r'"([^"\\]{1,64})"\s{0,8}:\s{0,8}[\[{]')

#: A member whose value is a number.
_NUMBER_MEMBER: Final = re.compile(r'"([^"\\]{1,64})"(\s{0,8}:\s{0,8})-?[0-9][^\s,}\]]{0,64}')

#: The same in a query and in a form, also where the sign between them is escaped.
_PAIR: Final = re.compile(r"(?<![\w-])([\w-]{1,64}+)(=|%3[Dd]|\\u003[Dd])[^&\s\"'<>;]{4,}", re.ASCII)

#: The same as a header has it, to the end of its line or text.
_HEADER: Final = re.compile(r"(?<![\w-])([\w-]{1,64}+)([ \t]{0,4}:[ \t]{0,4})[^\r\n\"'<>;,]{4,}", re.ASCII)

#: The same in XML.
_ELEMENT: Final = re.compile(r"<([\w:.-]{1,64}+)(\s[^<>]{0,256})?>[^<]+</", re.ASCII)

#: Members whose value is the name of another one, and what that one is called, as lists of fields have them.
_NAMING: Final = ("name", "key", "field", "parameter")
_NAMED: Final = ("value", "values", "val")

#: The same in JSON that is cut off or broken. They stand within so many characters of each other.
_NAMING_MEMBER: Final = re.compile(rf'"(?:{"|".join(_NAMING)})"\s{{0,8}}:\s{{0,8}}"([^"\\]{{1,64}})"', re.IGNORECASE)
_NAMED_MEMBER: Final = re.compile(rf'"(?:{"|".join(_NAMED)})"\s{{0,8}}:\s{{0,8}}', re.IGNORECASE)
_VALUE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|-?[0-9][^\s,}\]]{0,64}|[\[{]', re.DOTALL)
_BESIDE_CHARS: Final = 256

#: The same as attributes of an element.
_TAG: Final = re.compile(r"<[\w:.-]{1,64}\s[^<>]{1,1024}+", re.ASCII)
_NAMING_ATTRIBUTE: Final = re.compile(rf"""(?i)\b(?:{"|".join(_NAMING)})\s*+=\s*+["']([^"'<>]{{1,64}})["']""")
_NAMED_ATTRIBUTE: Final = re.compile(rf"""(?i)\b((?:{"|".join(_NAMED)})\s*+=\s*+)(?:(")[^"<>]*+|(')[^'<>]*+)""")


#: What ends a word of a body; and so many other characters may stand between the digits of one number.
_ENDS_A_WORD: Final = frozenset(" \t\r\n\"'<>&=,;:{}[]()")
_BETWEEN_DIGITS: Final = 4

_ILL_FORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_DECODER: Final = msgspec.json.Decoder()


class HeardAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it came. ``body``: whole up to ``READ_BYTES``, else its first ``WINDOW_BYTES``. ``size_bytes``: of
    all that was read. ``ended``: whether that was all of it."""

    asked: AskedFor
    status: int
    headers: Mapping[str, str]
    body: bytes
    size_bytes: int
    ended: bool


class ProviderAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it is stored with a change. ``sealed``: its screened bytes, encrypted. ``raw_key``: the key that an
    erasure takes. It is named by a step (``subject_id``, ``version``), or else by a refused transition alone."""

    attempt_id: str
    asked: AskedFor
    status: int
    size_bytes: int
    at: datetime
    sealed: bytes
    raw_key: bytes
    subject_id: str | None = None
    version: int | None = None
    rejection_id: str | None = None


def head_of(answer: HeardAnswer, secrets: Collection[str] = ()) -> str:
    """Its headers, one a line, without secrets."""
    lines = "".join(f"{name}: {' '.join(value.split())}\n" for name, value in answer.headers.items())
    return without_secrets(lines, secrets)


def body_of(answer: HeardAnswer, secrets: Collection[str] = ()) -> str:
    """Its body without secrets: as it came where there are none, else the same JSON written anew. ``secrets``: those
    that this process has. Bytes that are no UTF-8 are read as Windows-1252, as pages of proxies mostly are. What breaks
    off loses its last word and the digits before it: nobody can tell what they began."""
    body, whole = inflated(answer.body, READ_BYTES, whole=answer.ended and len(answer.body) >= answer.size_bytes)
    text = _read(body)
    if not whole:
        return _without_escaped_secrets(_without_its_end(text), secrets)
    try:
        said = _DECODER.decode(body)
        kept = _without_secrets(said, secrets)
        if kept != said:
            text = msgspec.json.encode(kept).decode()
    except _ILL_FORMED:
        return _without_escaped_secrets(text, secrets)
    return without_secrets(text, secrets)


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """A text of whatever form, also one that breaks off."""
    for each in secrets:
        text = text.replace(each, WITHHELD)
    text = _TEXT_MEMBER.sub(_member, _without_named(text))
    text = _NUMBER_MEMBER.sub(
        lambda found: f'"{found[1]}"{found[2]}"{WITHHELD}"' if _is_secret(found[1]) else found[0], text
    )
    for pattern in (_PAIR, _HEADER):
        text = pattern.sub(lambda found: f"{found[1]}{found[2]}{WITHHELD}" if _is_secret(found[1]) else found[0], text)
    text = _ELEMENT.sub(lambda found: f"<{found[1]}>{WITHHELD}</" if _is_secret(found[1]) else found[0], text)
    if (tree := _first_tree(text)) is not None:  # nothing says where it ends
        text = text[:tree] + WITHHELD
    return SECRETS.sub(WITHHELD, text) if has_secret(text) else text


def _without_escaped_secrets(text: str, secrets: Collection[str]) -> str:
    """A text that cannot be read as JSON and may be some: with its escapes replaced where they hide a secret."""
    kept = without_secrets(text, secrets)
    if "\\" not in kept:
        return kept
    inner = json_in_texts(kept, "\0")
    clear = without_secrets(inner, secrets)
    outer = clear.replace("\0", '"')
    found = without_secrets(outer, secrets)
    return kept if clear == inner and found == outer else found


def cut(text: str, most_bytes: int) -> bytes:
    """Its first bytes, without a part of a character."""
    kept = text.encode("utf-8", "backslashreplace")
    return kept if len(kept) <= most_bytes else kept[:most_bytes].decode("utf-8", "ignore").encode()


def _read(body: bytes) -> str:
    """Its characters; without the zero bytes that UTF-16 has between those of ASCII."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("cp1252", "replace")
    return text.replace("\0", "")


def _without_named(text: str) -> str:
    """Without the values of members and attributes that another one beside them calls a secret."""
    spans: dict[int, int] = {}
    for found in _NAMING_MEMBER.finditer(text):
        if _is_withheld(found[1]):
            spans.update(_values_beside(text, *found.span()))
    parts: list[str] = []
    at = 0
    for start, end in sorted(spans.items()):
        if start < at:
            continue
        is_tree = text[start] in "[{"  # nothing says where it ends
        parts += (text[at:start], WITHHELD if is_tree else f'"{WITHHELD}"')
        at = len(text) if is_tree else end
    return _TAG.sub(_tag, "".join((*parts, text[at:])))


def _values_beside(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where values of members near the one at these places stand, as (start, end). Braces may be a text's."""
    for named in _NAMED_MEMBER.finditer(text, max(0, start - _BESIDE_CHARS), end + _BESIDE_CHARS):
        if (value := _VALUE.match(text, named.end())) is not None:
            yield value.span()


def _tag(found: re.Match[str]) -> str:
    if not any(_is_withheld(name[1]) for name in _NAMING_ATTRIBUTE.finditer(found[0])):
        return found[0]
    return _NAMED_ATTRIBUTE.sub(lambda named: f"{named[1]}{named[2] or named[3]}{WITHHELD}", found[0])


def _without_its_end(text: str) -> str:
    end = len(text)
    while end and text[end - 1] not in _ENDS_A_WORD:
        end -= 1
    at, between = end, 0
    while at and between <= _BETWEEN_DIGITS and not text[at - 1].isalpha():
        at -= 1
        between = 0 if text[at].isdecimal() else between + 1
        end = at if text[at].isdecimal() else end
    return text[:end]


def _member(found: re.Match[str]) -> str:
    return f'"{found[1]}"{found[2]}"{WITHHELD}"' if _is_withheld(found[1]) else found[0]


def _first_tree(text: str) -> int | None:
    """Where the first value begins that may not be kept and holds others."""
    for found in _TREE_MEMBER.finditer(text):
        if _is_withheld(found[1]):
            return found.end() - 1
    return None


def _without_secrets(said: Any, secrets: Collection[str]) -> Any:
    if isinstance(said, dict):
        named = any(
            isinstance(held, str) and name.lower() in _NAMING and _is_withheld(held) for name, held in said.items()
        )
        return {
            WITHHELD if has_secret(name) else name: WITHHELD
            if held is not None
            and (
                _is_secret(name)
                or (_is_action(name) and isinstance(held, dict | list | str))
                or (named and name.lower() in _NAMED)
            )
            else _without_secrets(held, secrets)
            for name, held in said.items()
        }
    if isinstance(said, list):
        return [_without_secrets(held, secrets) for held in said]
    if not isinstance(said, str):
        return said
    if has_secret(said) or any(each in said for each in secrets):
        return WITHHELD
    kept = without_secrets(said, ())
    plain = unescaped(kept)
    return kept if plain == kept or without_secrets(plain, secrets) == plain else WITHHELD


def _is_withheld(name: str) -> bool:
    """Whether what has this name is not kept."""
    return _is_secret(name) or _is_action(name)


def _is_secret(name: str) -> bool:
    plain = _NO_LETTER.sub("", name.lower())
    return plain in _SECRET_NAMES or plain.endswith("token") or any(part in plain for part in _IN_SECRET_NAMES)


def _is_action(name: str) -> bool:
    return _NO_LETTER.sub("", name.lower()) in _ACTIONS
