"""Encryption at rest: what opens, what does not, and whose key it is."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallystick.record.sealing import (
    KEY_BYTES,
    KeysUnreadable,
    SealBroken,
    Sealer,
    SealingRefused,
    create_key,
    key_id_of,
    sealer_of,
)
from tallystick.settings.load import Settings, SettingsError


def _key(letter: str) -> bytes:
    return letter.encode() * KEY_BYTES


def _text(*letters: str) -> str:
    return ",".join(base64.b64encode(_key(letter)).decode() for letter in letters)


def _sealer(*letters: str) -> Sealer:
    return sealer_of(Settings(data_dir="unused", sealing_keys=_text(*letters)))


def test_what_is_sealed_opens_again_and_says_nothing() -> None:
    sealed = _sealer("a").seal(b"whsec_something", b"row 1")
    assert b"whsec" not in sealed
    assert _sealer("a").open(sealed, b"row 1") == b"whsec_something"


def test_the_same_twice_looks_different() -> None:
    sealer = _sealer("a")
    assert sealer.seal(b"same", b"row") != sealer.seal(b"same", b"row")


def test_it_belongs_to_its_row() -> None:
    sealed = _sealer("a").seal(b"secret", b"row 1")
    with pytest.raises(SealBroken):
        _sealer("a").open(sealed, b"row 2")


def test_every_byte_counts() -> None:
    sealer = _sealer("a")
    sealed = sealer.seal(b"secret", b"row")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(bytes(changed), b"row")
    for end in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(sealed[:end], b"row")


def test_keys_rotate_the_first_seals_and_all_open() -> None:
    old = _sealer("a").seal(b"secret", b"row")
    both = _sealer("b", "a")
    assert both.open(old, b"row") == b"secret"
    new = both.seal(b"secret", b"row")
    assert _sealer("b").open(new, b"row") == b"secret"
    for lacking, sealed in ((_sealer("a"), new), (_sealer("b"), old)):
        with pytest.raises(SealBroken):
            lacking.open(sealed, b"row")


@pytest.mark.parametrize(
    "keys",
    ["", ",", "not base64!", base64.b64encode(b"short").decode(), base64.b64encode(b"x" * 33).decode(), "é" * 44],
)
def test_bad_keys_stop_the_start_and_are_not_repeated(keys: str) -> None:
    with pytest.raises(SettingsError) as error:
        sealer_of(Settings(data_dir="unused", sealing_keys=keys))
    assert keys in ("", ",") or keys not in str(error.value)


def test_one_bad_key_among_good_ones_is_enough() -> None:
    with pytest.raises(SettingsError):
        sealer_of(Settings(data_dir="unused", sealing_keys=_text("a") + ",nonsense"))


def test_without_the_setting_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path / "new"))
    create_key(settings)
    sealed = sealer_of(settings).seal(b"secret", b"row")
    create_key(settings)
    file = tmp_path / "new" / "sealing.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sealer_of(settings).open(sealed, b"row") == b"secret"
    assert os.listdir(file.parent) == ["sealing.key"]


def test_many_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    with ThreadPoolExecutor(16) as pool:
        sealed = list(pool.map(lambda _: _made(settings).seal(b"secret", b"row"), range(32)))
    one = sealer_of(settings)
    assert {one.open(value, b"row") for value in sealed} == {b"secret"}
    assert os.listdir(tmp_path) == ["sealing.key"]


def _made(settings: Settings) -> Sealer:
    create_key(settings)
    return sealer_of(settings)


def test_a_sealer_makes_no_key(tmp_path: Path) -> None:
    """A lost key is never replaced: only what compares the keys with the record makes one."""
    sealer = sealer_of(Settings(data_dir=str(tmp_path)))
    with pytest.raises(SealingRefused, match=r"sealing\.key is missing from the data directory"):
        sealer.seal(b"secret", b"row")
    with pytest.raises(SealBroken, match=r"sealing\.key is missing from the data directory"):
        sealer.open(_sealer("a").seal(b"secret", b"row"), b"row")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a key", "é".encode(), base64.b64encode(b"short")])
def test_a_file_that_holds_no_key_opens_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sealing.key").write_bytes(content)
    with pytest.raises(KeysUnreadable, match="holds no key"):
        sealer_of(Settings(data_dir=str(tmp_path))).names()


def test_a_key_that_was_put_back_is_read(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    sealer = sealer_of(settings)
    with pytest.raises(KeysUnreadable):
        sealer.names()
    (tmp_path / "sealing.key").write_text(_text("b"))
    assert sealer.names() == _sealer("b").names()
    (tmp_path / "sealing.key").write_text(_text("a"))
    assert sealer.names() == _sealer("b").names(), "a running process keeps its keys"
    sealer.read_again()
    assert sealer.names() == _sealer("a").names()


def test_what_is_published_of_a_key_is_not_the_key() -> None:
    [name] = _sealer("a").names()
    assert len(name.key_id) == 4 and len(name.fingerprint) == 32
    assert _key("a")[:4] not in b"".join(name)
    assert key_id_of(_sealer("a").seal(b"secret", b"row")) == name.key_id
    assert key_id_of(b"sealed") is None and key_id_of(b"") is None


def test_a_sealer_that_is_refused_opens_and_does_not_seal() -> None:
    sealer = _sealer("a")
    sealed = sealer.seal(b"secret", b"row")
    sealer.refused = "another key"
    with pytest.raises(SealingRefused, match="another key"):
        sealer.seal(b"secret", b"row")
    assert sealer.open(sealed, b"row") == b"secret"
