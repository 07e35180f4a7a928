"""Identifiers: version 7 UUIDs, in the order of their making."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kit.ids import derived_id, id_floor, is_id, new_id

moments = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))

#: More than fit into one millisecond's counter, so that it overflows.
MANY = 20_000


@pytest.mark.parametrize("prefix", ["pay", "x", "longer"])
def test_an_id_is_a_version_7_uuid_with_a_prefix(prefix: str) -> None:
    before_ms = datetime.now(UTC).timestamp() * 1000
    text = new_id(prefix)
    named, digits = text.split("_")
    value = uuid.UUID(digits)
    assert (named, value.version, value.variant) == (prefix, 7, uuid.RFC_4122)
    # The minter may be a few milliseconds ahead, having borrowed them.
    assert before_ms - 1 <= value.int >> 80 <= before_ms + 1_000
    assert is_id(prefix, text)


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = [new_id("pay") for _ in range(MANY)]
    assert ids == sorted(set(ids))


@pytest.mark.exhaustive
def test_threads_never_share_an_id() -> None:
    ids: list[str] = []

    def mint() -> None:
        ids.extend([new_id("pay") for _ in range(MANY // 4)])

    threads = [threading.Thread(target=mint) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == MANY


FORK = """
import os
from tallystick.kit.ids import new_id
new_id("pay")
child = os.fork()
if child:
    os.waitpid(child, 0)
print(new_id("pay").removeprefix("pay_")[16:])
"""


def test_a_fork_has_random_bits_of_its_own() -> None:
    said = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert len(set(said.stdout.split())) == 2, said


@given(st.lists(st.text(), min_size=1))
def test_a_derived_id_is_a_version_8_uuid_of_its_names(names: list[str]) -> None:
    text = derived_id("msg", *names)
    value = uuid.UUID(text.removeprefix("msg_"))
    assert is_id("msg", text) and (value.version, value.variant) == (8, uuid.RFC_4122)
    free = ~((0xF << 76) | (0b11 << 62))
    assert value.int & free == int.from_bytes(hashlib.sha256("\x1f".join(names).encode()).digest()[:16], "big") & free


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pay",
        "pay_",
        "payment_018bcfe5687b70008000000000000000",
        "pay_018bcfe5687b7000800000000000000_",
        "pay_018bcfe5687b7000800000000000000",
        "pay_018bcfe5687b700080000000000000000",
        "pay_018BCFE5687B70008000000000000000",
        "pay_018bcfe5-687b-7000-8000-000000000000",
        "att_018bcfe5687b70008000000000000000",
        "pay_018bcfe5687b70008000000000000000\n",
        "pay_\u066018bcfe5687b70008000000000000000",
    ],
)
def test_what_is_no_payment_id(text: str) -> None:
    assert not is_id("pay", text)


def test_the_floor_is_below_the_ids_of_its_millisecond_and_above_earlier_ones() -> None:
    earlier = new_id("pay")
    made_ms = int(earlier.removeprefix("pay_"), 16) >> 80
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=made_ms)
    assert id_floor("pay", moment) <= earlier < id_floor("pay", moment + timedelta(milliseconds=1))


@given(moments)
def test_the_floor_keeps_the_millisecond_and_drops_the_rest(moment: datetime) -> None:
    floor = id_floor("pay", moment)
    assert is_id("pay", floor)
    assert floor == id_floor("pay", moment.replace(microsecond=moment.microsecond // 1000 * 1000))
    assert floor < id_floor("pay", moment + timedelta(milliseconds=1))


def test_the_floor_minds_the_time_zone() -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert id_floor("pay", moment.astimezone(timezone(timedelta(hours=-7)))) == id_floor("pay", moment)
    with pytest.raises(TypeError):
        id_floor("pay", datetime(2026, 1, 1))  # no zone: no moment
