"""Lines that are written often: what is in them, what is kept out of them, and that nobody waits for them."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.kit.card_data import looks_like_card_number, may_contain_card_text
from tallystick.kit.log_format import Moments, as_text
from tallystick.kit.log_lines import Line, without_secrets
from tallystick.kit.log_writer import LineWriter
from tests.support.card_numbers import WRITTEN
from tests.support.polling import eventually

CARD = "4111 1111 1111 1111"
SECRET = "tsk_shop_" + "a" * 16 + "_" + "B" * 45


class Sink:
    """What a writer wrote and said. ``gate``: writing waits while it is closed, as for a reader that takes nothing."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.lost: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def write(self, lines: bytes) -> None:
        self.reached.set()
        assert self.gate.wait(20)
        self.writes.append(lines)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self.writes).splitlines()]


def line_to(sink: Sink, threshold: int = 20, **more: Any) -> Line:
    writer = LineWriter(**more)
    writer.open(threshold, sink.write, sink.lost.append)
    return Line("paid", "info", "tallystick.test", {"payment_id": "own", "shop": "word", "key": "text"}, writer)


def test_a_line_is_written_by_another_thread_soon() -> None:
    sink = Sink()
    line_to(sink).say("pay_1", "shop", None)
    (line,) = eventually(lambda: sink.lines, until=bool)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "paid",
        "component": "tallystick.test",
        "payment_id": "pay_1",
        "shop": "shop",
    }


@pytest.mark.parametrize(
    "value", [CARD, f"a{CARD}", "4111%201111%201111%201111", "4111\uff11\uff11\uff11\uff1111111111", SECRET]
)
@pytest.mark.parametrize("field", [1, 2])
def test_what_others_wrote_is_searched(value: str, field: int) -> None:
    sink = Sink()
    line = line_to(sink)
    values = ["pay_1", "shop", "key"]
    values[field] = value
    for _ in range(2):  # what was refused once is no word that is known to be clear
        line.say(*values)
    line.writer.flush()
    first, second = sink.lines
    assert "1111" not in json.dumps(first) and SECRET not in json.dumps(first)
    assert first["payment_id"] == "pay_1" and first[line.names[field]].startswith("[re")
    assert [second[name] for name in line.names] == [first[name] for name in line.names]


def test_a_clear_text_beside_another_is_kept() -> None:
    assert without_secrets("bulk_test_1234") == "bulk_test_1234"
    assert without_secrets("8e03978e-40d5-43dd-bc93-6894a57f9324") == "8e03978e-40d5-43dd-bc93-6894a57f9324"


DIGITS = st.text(st.sampled_from("0123456789 -./_\t%a\uff14\uff11"), max_size=40)


@pytest.mark.parametrize("separator", list(" \t\n\r\f\v-._/"))
@pytest.mark.parametrize("written", ["{0}{1}{2}{3}", "x{0}{s}{1}{s}{2}{s}{3}y", "{0}{s}{s}{s}{1}{s}{2}{s}{s}{3}"])
def test_the_cheap_look_sees_each_way_to_group_a_number(separator: str, written: str) -> None:
    text = written.format(*CARD.split(), s=separator)
    assert looks_like_card_number(text) and may_contain_card_text(text) and may_contain_card_text(f"a#{text}#b")


@pytest.mark.parametrize("way", WRITTEN)
def test_the_cheap_look_sees_what_the_search_finds(way: str) -> None:
    text = WRITTEN[way]("4111111111111111")
    assert may_contain_card_text(text) or not looks_like_card_number(text)


@given(st.lists(st.one_of(st.text(max_size=30), DIGITS), min_size=1, max_size=3))
@example([CARD])
@example(["4111-1111-1111-1111"])
@example(["4111\v1111 1111 1111", "x4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"])
def test_the_cheap_look_misses_nothing(texts: list[str]) -> None:
    if any(map(looks_like_card_number, texts)):
        assert may_contain_card_text("#".join(texts))


def test_a_full_queue_is_counted_and_said_and_nobody_waits() -> None:
    sink = Sink()
    sink.gate.clear()
    line = line_to(sink, limit=10)
    line.say("first", None, None)
    assert sink.reached.wait(20)  # the thread is in the middle of a write, and its reader takes nothing
    for number in range(25):
        line.say(f"later_{number}", None, None)
    sink.gate.set()
    eventually(lambda: sink.lines, until=lambda lines: len(lines) == 11)
    assert [line["payment_id"] for line in sink.lines] == ["first", *(f"later_{number}" for number in range(10))]
    assert sink.lost == [15]


def test_a_reader_that_is_gone_stops_nothing() -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError

    sink, writer = Sink(), LineWriter()
    writer.open(20, gone, sink.lost.append)
    line = Line("paid", "info", "tallystick.test", {"payment_id": "own"}, writer)
    line.say("a")
    assert eventually(lambda: sink.lost, until=bool) == [1]
    writer.open(20, sink.write, sink.lost.append)
    line.say("b")
    (found,) = eventually(lambda: sink.lines, until=bool)
    assert found["payment_id"] == "b"


def test_lines_of_one_write_fit_into_a_pipe() -> None:
    sink = Sink()
    line = line_to(sink)
    for _ in range(100):
        line.say("p" * 300, None, None)
    line.writer.flush()
    assert len(sink.lines) == 100
    assert all(len(write) <= 4_096 and write.endswith(b"\n") for write in sink.writes)


def test_below_its_level_nothing_is_queued() -> None:
    sink = Sink()
    line = line_to(sink, threshold=30)
    assert not line.wanted
    line.say("a", None, None)
    line.writer.flush()
    assert sink.writes == []


def test_a_defect_of_a_caller_is_a_line() -> None:
    sink = Sink()
    line = line_to(sink)
    line.say("too few")
    line.say("a", "b", "c", "too many")
    line.writer.flush()
    assert [found["error"] for found in sink.lines] == ["IndexError", "TypeError"]


def test_no_line_has_a_field_that_is_named_as_a_secret() -> None:
    with pytest.raises(ValueError, match="token"):
        Line("paid", "info", "tallystick.test", {"token": "text"})


def test_a_forked_process_writes_its_own_lines_alone() -> None:
    sink = Sink()
    line = line_to(sink)
    line.writer._busy = True  # the thread of the parent, which the child has not
    line.say("parent's", None, None)
    line.writer.reset()
    line.say("child's", None, None)
    (found,) = eventually(lambda: sink.lines, until=bool)
    assert found["payment_id"] == "child's"


def test_words_for_a_person() -> None:
    line = {
        "timestamp": "2026-11-26T22:08:37.431830Z",
        "level": "info",
        "event": "dead letter",
        "component": "tallystick.test",
        "status": 201,
        "alert": True,
        "amount": None,
        "text": "two words\nand a line",
        "sign": 'a="b"',
        "list": [1, "x"],
    }
    assert as_text(line).decode() == (
        "22:08:37.431 info    dead letter              status=201 alert=true amount=null"
        r' text="two words\nand a line" sign="a=\"b\"" list=[1,"x"]'
    )


def test_moments_are_those_of_the_clock() -> None:
    moments = Moments()
    assert moments.written(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
    assert moments.written(1_700_000_001_000_000_999) == "2023-11-14T22:13:21.000000Z"
