"""What outside bytes are searched with takes time that grows with them, and not with their square: whoever sends a body
chooses what is in it, and it is searched on the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import pytest

from tallystick.domain.provider_answer import READ_BYTES, HeardAnswer, body_of
from tallystick.kit.card_mask import mask_cards, names_a_card
from tallystick.kit.escapes import unescaped
from tallystick.kit.secret_shapes import has_secret
from tallystick.providers.adyen.loose_json import elements, members

#: A quarter of the largest body that is read.
_CHARS: Final = 1 << 18

#: CPU time. It takes some tens of milliseconds; with the square of the size it takes minutes.
_LIMIT_S: Final = 20.0


def _kept(unit: bytes) -> None:
    """Of an answer that broke off."""
    body = (unit * READ_BYTES)[: READ_BYTES // 2]
    body_of(HeardAnswer(asked="call", status=400, headers={}, body=body, size_bytes=READ_BYTES, ended=False))


def _parts(read: Callable[[bytes], object], text: bytes) -> None:
    """It is no JSON, and somebody has to find that out."""
    with suppress(ValueError):
        read(text)


#: A pattern's worst text: many beginnings that come to nothing, each as far from its end as can be.
WORST: Final[Mapping[str, Callable[[], object]]] = {
    "backslashes that begin no escape": lambda: unescaped("\\" * _CHARS),
    "dashes that begin no identifier": lambda: mask_cards("4111111111111111 " + "-" * _CHARS),
    "dashes in the name of something": lambda: names_a_card("4111111111111-" + "-" * _CHARS),
    "many beginnings of one token": lambda: has_secret("eyJ-" * (_CHARS // 4)),
    "many beginnings of a token's middle": lambda: has_secret("eyJaaaaaaaa." + "eyJaaaaaaaa-" * (_CHARS // 12)),
    "a string that never ends, in many elements": lambda: _parts(elements, b'[{"\\"},' + b'{\\"},' * (_CHARS // 5)),
    "names of secrets, and values beside them": lambda: _kept(b'"name":"token","value":"'),
    "names of secrets, and no values": lambda: _kept(b'{"name":"token"}'),
    "JSON in texts, with secrets": lambda: _kept(rb"{\"name\":\"token\",\"value\":\""),
    "backslashes in an answer": lambda: _kept(b"\\"),
    "attributes that never end": lambda: _kept(b'<a name = "token" value = "'),
    "spaces behind the name of a value": lambda: _kept(b"<a value" + b" " * 1_000),
    "a string that never ends, in a member": lambda: _parts(members, b'{"a":{"' + b'\\"' * (_CHARS // 2)),
}


@pytest.mark.parametrize("name", WORST)
def test_time_grows_with_the_text(name: str) -> None:
    began = time.process_time()
    WORST[name]()
    assert time.process_time() - began < _LIMIT_S


def test_a_string_that_never_ends_costs_no_other_element_its_place() -> None:
    """What is in it is read for brackets alone, and each element has its own end."""
    assert elements(b'[{"a":1},{"b\\"},{c\\"}]') == [b'{"a":1}', b'{"b\\"}', b'{c\\"}']


def test_a_token_is_found_within_its_word() -> None:
    for text in ("eyJabcdefgh.abcdefgh.x", "token-eyJabcdefgh.abcdefgh.", "eyJa-eyJabcdefgh.abcdefgh.x"):
        assert has_secret(text)
    for text in ("eyJabcdefgh.abcdefg.x", "xeyJabcdefgh.abcdefgh.x", "eyJabcdefgh-abcdefgh.x"):
        assert not has_secret(text)
