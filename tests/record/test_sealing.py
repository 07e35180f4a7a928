"""Encryption at rest: what opens, what does not, and whose key it is."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallystick.record.sealing import KEY_BYTES, SealBroken, Sealer, sealer_of
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
    sealed = sealer_of(settings).seal(b"secret", b"row")
    file = tmp_path / "new" / "sealing.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert sealer_of(settings).open(sealed, b"row") == b"secret"
    assert os.listdir(file.parent) == ["sealing.key"]


def test_many_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    with ThreadPoolExecutor(16) as pool:
        sealed = list(pool.map(lambda _: sealer_of(settings).seal(b"secret", b"row"), range(32)))
    one = sealer_of(settings)
    assert {one.open(value, b"row") for value in sealed} == {b"secret"}
    assert os.listdir(tmp_path) == ["sealing.key"]


def test_a_sealer_that_seals_nothing_makes_no_key(tmp_path: Path) -> None:
    sealer_of(Settings(data_dir=str(tmp_path)))
    assert not list(tmp_path.iterdir())
