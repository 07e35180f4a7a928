"""What is kept of a provider's answer has no secret in it, whoever wrote it and however."""

from __future__ import annotations

import json
import zlib

import pytest

from tallystick.domain.provider_answer import KEPT_BYTES, READ_BYTES, WITHHELD, HeardAnswer, body_of, cut, head_of
from tallystick.kit.card_mask import mask_cards

SECRET = "pi_3Kx9quokka_secret_zyzzyvabrocade"


def heard(body: bytes, *, ended: bool = True, size_bytes: int | None = None, **headers: str) -> HeardAnswer:
    return HeardAnswer(
        asked="call",
        status=402,
        headers=headers,
        body=body,
        size_bytes=len(body) if size_bytes is None else size_bytes,
        ended=ended,
    )


#: What came -> what is kept of it.
KEPT: dict[bytes, str] = {
    b'{ "error": {"code": "card_declined"} }': '{ "error": {"code": "card_declined"} }',
    b"<html>502 Bad Gateway</html>": "<html>502 Bad Gateway</html>",
    b"": "",
    b"caf\xe9": "café",
    b'{"id": "pi_1", "client_secret": "quokka"}': f'{{"id":"pi_1","client_secret":"{WITHHELD}"}}',
    b'{"a": [{"Client\\u005fSecret": "quokka"}]}': f'{{"a":[{{"Client_Secret":"{WITHHELD}"}}]}}',
    b'{"client_secret": null, "b": 1}': '{"client_secret": null, "b": 1}',
    b'{"next_action": {"url": "https://bank/quokka"}, "b": 1}': f'{{"next_action":"{WITHHELD}","b":1}}',
    b'{"action": "refuse", "b": 1}': f'{{"action":"{WITHHELD}","b":1}}',
    b'{"url": "/pay?payment_intent_client_secret=quokka&x=1"}': (
        f'{{"url":"/pay?payment_intent_client_secret={WITHHELD}&x=1"}}'
    ),
    # In a text of JSON: JSON again, escapes, headers; numbers, names, and other forms.
    b'{"message": "{\\"token\\":\\"quokka\\"}"}': f'{{"message":"{{\\"token\\":\\"{WITHHELD}\\"}}"}}',
    b'{"url": "https://p/x?session_token\\u003dquokka"}': f'{{"url":"https://p/x?session_token={WITHHELD}"}}',
    b'{"url": "https://p/x?session_token%3Dquokka"}': f'{{"url":"https://p/x?session_token%3D{WITHHELD}"}}',
    b'{"detail": "Authorization: Basic quokka"}': f'{{"detail":"Authorization: {WITHHELD}"}}',
    b'{"detail": "X-API-Key: quokka"}': f'{{"detail":"X-API-Key: {WITHHELD}"}}',
    b'{"password": 123456, "x': f'{{"password": "{WITHHELD}", "x',
    f'{{"{SECRET}": 1}}'.encode(): f'{{"{WITHHELD}":"{WITHHELD}"}}',
    b"<a><password>quokka</password></a>": f"<a><password>{WITHHELD}</password></a>",
    "client_secret=quokka".encode("utf-16-le"): f"client_secret={WITHHELD}",
    # By a name and a value that are members, in either order.
    b'{"name": "password", "value": "quokka"}': f'{{"name":"password","value":"{WITHHELD}"}}',
    b'{"f": [{"value": 4711, "key": "client_secret", "n": 1}]}': (
        f'{{"f":[{{"value":"{WITHHELD}","key":"client_secret","n":1}}]}}'
    ),
    b'{"name": "password", "value": {"a": ["quokka"]}}': f'{{"name":"password","value":"{WITHHELD}"}}',
    b'{"field": "next_action", "value": "quokka"}': f'{{"field":"next_action","value":"{WITHHELD}"}}',
    b'{"name": "colour", "value": "red"}': '{"name": "colour", "value": "red"}',
    b'{"name": "password", "value": null}': '{"name": "password", "value": null}',
    b'{"message": "{\\"name\\":\\"token\\",\\"value\\":\\"quokka\\"}"}': (
        f'{{"message":"{{\\"name\\":\\"token\\",\\"value\\":\\"{WITHHELD}\\"}}"}}'
    ),
    b'{"name": "password", "value": "quokka", "x': f'{{"name": "password", "value": "{WITHHELD}", "x',
    b'{"value": 4711, "name": "password", "x': f'{{"value": "{WITHHELD}", "name": "password", "x',
    b'{"name": "password", "value": "quok': f'{{"name": "password", "value": "{WITHHELD}"',
    b'{"name": "password", "value": {"a": "quo': f'{{"name": "password", "value": {WITHHELD}',
    b'<input value="quokka" name="client_secret" size="9">': (
        f'<input value="{WITHHELD}" name="client_secret" size="9">'
    ),
    b'<input name="password" value="it\'s-quokka">': f'<input name="password" value="{WITHHELD}">',
    b"<input name = 'token' value = '\"quokka'>": f"<input name = 'token' value = '{WITHHELD}'>",
    b'<input name="token" value="quokka"><script>x={"name":"token","value":["a"]}': (
        f'<input name="token" value="{WITHHELD}"><script>x={{"name":"token","value":{WITHHELD}'
    ),
    # Braces in texts tell nothing of what stands beside what, so a neighbour's value is not kept either.
    b'{"f": [{"value": "qu{ok}ka", "name": "password"}, {"x': (
        f'{{"f": [{{"value": "{WITHHELD}", "name": "password"}}, {{"x'
    ),
    b'{"name": "password", "hint": "a}b", "value": "quokka", "x': (
        f'{{"name": "password", "hint": "a}}b", "value": "{WITHHELD}", "x'
    ),
    b'[{"name": "colour", "value": "red"}, {"name": "password", "value": "quokka"}, {"x': (
        f'[{{"name": "colour", "value": "{WITHHELD}"}}, {{"name": "password", "value": "{WITHHELD}"}}, {{"x'
    ),
    # JSON that breaks off, or never was one.
    b'{"passw\\u006frd": "quokka", "x': f'{{"password": "{WITHHELD}", "x',
    b'{"m": "{\\"name\\": \\"password\\", \\"value\\": \\"quokka\\"}", "x': (
        f'{{"m": "{{"name": "password", "value": "{WITHHELD}"}}", "x'
    ),
    b'{"m": "{\\"token\\":\\"quokka\\"}", "x': f'{{"m": "{{"token":"{WITHHELD}"}}", "x',
    b'{"m": "a \\"word\\" and caf\\u00e9", "x': '{"m": "a \\"word\\" and caf\\u00e9", "x',
    b'{"id": "pi_1", "client_secret": "quokka", "x': f'{{"id": "pi_1", "client_secret": "{WITHHELD}", "x',
    b'{"id": "pi_1", "client_secret": "quok': f'{{"id": "pi_1", "client_secret": "{WITHHELD}"',
    b'{"id": "pi_1", "next_action": {"url": "quo': f'{{"id": "pi_1", "next_action": {WITHHELD}',
    b"status=declined&api_key=quokka": f"status=declined&api_key={WITHHELD}",
    f"error at {SECRET}".encode(): f"error at {WITHHELD}",
    f'{{"message": "see {SECRET}"}}'.encode(): f'{{"message":"{WITHHELD}"}}',
    b"Authorization: Bearer abcdefghijklmnopqrst": f"Authorization: {WITHHELD}",
}


@pytest.mark.parametrize("came", KEPT, ids=range(len(KEPT)))
def test_what_came_is_kept_without_secrets(came: bytes) -> None:
    kept = body_of(heard(came))
    assert kept == KEPT[came]
    assert "quok" not in kept and "zyzzyva" not in kept


@pytest.mark.parametrize("gap", [b"\xa0", b"\xad", b"\x96", b" ", b"-", b""])
def test_card_numbers_in_bytes_that_are_no_utf_8_are_masked(gap: bytes) -> None:
    number = gap.join((b"4111", b"1111", b"1111", b"1111"))
    kept = mask_cards(body_of(heard(b"caf\xe9: card " + number + b" refused")))
    assert "1111" not in kept.replace("411111", "").removesuffix("1111 refused") and "refused" in kept


#: What broke off -> what is kept of it.
BROKEN_OFF: dict[bytes, str] = {
    b'{"number":"555555555555444': '{"number":"',
    b"card 5555 5555 5555 444": "card ",
    b"card 5555-5555-5555-4": "card ",
    b'{"number":"5555", "555": "5555 44': '{"number":"',
    b"card hunter2hun": "card ",
    b"refused, try again": "refused, try ",
    b'{"\xc3\xa9":': '{"é":',
    b'{"message":" f\xc3\xbcr ': '{"message":" für ',
    b"5": "",
    b"": "",
}


@pytest.mark.parametrize("came", BROKEN_OFF, ids=range(len(BROKEN_OFF)))
def test_what_breaks_off_loses_its_last_word_and_digits(came: bytes) -> None:
    assert body_of(heard(came, ended=False)) == BROKEN_OFF[came]
    assert body_of(heard(came, size_bytes=len(came) + 1)) == BROKEN_OFF[came]


def test_secrets_of_this_process_are_not_kept_either() -> None:
    ours = "hunter2hunter2"
    for body in (b'{"echo": "key hunter2hunter2"}', b"key hunter2hunter2 is wrong", b'{"echo": "key hunter2hunter2'):
        kept = body_of(heard(body), [ours])
        assert ours not in kept and WITHHELD in kept
    assert ours not in head_of(heard(b"", via=f"1.1 {ours}"), [ours])


def test_headers_stand_one_a_line() -> None:
    assert head_of(heard(b"", date="today", server="nginx\r\n x")) == "date: today\nserver: nginx x\n"


def test_a_name_that_breaks_the_limits_of_json_is_read_as_text() -> None:
    deep = b"[" * 5_000 + b'{"client_secret": "quokka"}'
    assert "quokka" not in body_of(heard(deep))


def test_a_duplicate_member_hides_nothing() -> None:
    assert "quokka" not in body_of(heard(b'{"client_secret": "quokka", "client_secret": null}'))


def test_what_was_not_read_whole_is_text() -> None:
    body = json.dumps({"client_secret": "quokka"}).encode()
    assert "quokka" not in body_of(heard(body, size_bytes=10_000))
    assert "quokka" not in body_of(heard(body, ended=False))


def test_it_is_cut_between_characters() -> None:
    assert cut("é" * KEPT_BYTES, KEPT_BYTES + 1) == ("é" * (KEPT_BYTES // 2)).encode()
    assert cut("short", KEPT_BYTES) == b"short"


#: What nobody says that it is: gzip, zlib, and deflate without either's header.
WRITTEN = {"gzip": 31, "zlib": 15, "deflate": -15}


def compressed(text: bytes, form: str) -> bytes:
    writer = zlib.compressobj(wbits=WRITTEN[form])
    return writer.compress(text) + writer.flush()


@pytest.mark.parametrize("form", WRITTEN)
def test_what_is_compressed_is_read(form: str) -> None:
    came = compressed(b'{"client_secret": "quokka", "code": "declined"}', form)
    assert body_of(heard(came)) == f'{{"client_secret":"{WITHHELD}","code":"declined"}}'
    if form != "deflate":  # the others have a sum at their end
        assert body_of(heard(came + b"\0\0")) == f'{{"client_secret":"{WITHHELD}","code":"declined"}}'
    page = compressed(b"<p>" + b"declined " * 400 + b"client_secret=quokka" + b" declined" * 4_000, form)
    for ended, size_bytes in ((False, len(page)), (True, len(page) + 1)):
        kept = body_of(heard(page[: len(page) * 3 // 4], ended=ended, size_bytes=size_bytes))
        assert "declined declined" in kept and "quok" not in kept
    assert len(body_of(heard(compressed(b"no " * 1_000_000, form)))) <= READ_BYTES, "it is read as far as others are"


def test_what_only_looks_compressed_is_as_it_came() -> None:
    for came in (b"\x1f\x8bcaf\xe9", b"caf\xe9 " * 9, bytes(range(128, 256)), b"x\x9c"):
        assert body_of(heard(came)) == came.decode("cp1252", "replace")
