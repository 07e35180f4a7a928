"""Counts of one process, and of several together."""

from __future__ import annotations

import msgspec

from tallystick.kit.metrics import Counts, Levels, Reading, Spreads, Sum, growth, read


def a_process(payments: int, waiting: float, skew: float) -> Reading:
    counts, levels = Counts("payments", "", ("state",)), Levels("waiting", "")
    clocks, spread = Levels("skew", "", furthest=True), Spreads("seconds", "", bounds=(10, 100))
    counts["captured",] += payments
    levels[()] = waiting
    clocks[()] = skew
    for milliseconds in (10, 11, 5_000):
        spread.observe((), milliseconds)
    return read([counts, levels, clocks, spread])


def test_a_value_lies_at_or_below_its_bound() -> None:
    assert a_process(1, 1, 1).spreads == {"seconds": [((), [1, 1, 1, 5_021])]}


def test_processes_add_up() -> None:
    whole = Sum()
    whole.add(a_process(3, 2, -0.5))
    whole.add(a_process(4, 1, 0.2))
    assert whole.reading() == Reading(
        {"payments": [(("captured",), 7)]},
        {"waiting": [((), 3)]},
        {"skew": [((), -0.5)]},
        {"seconds": [((), [2, 2, 2, 10_042])]},
    )


def test_what_an_ended_process_counted_stays_and_its_levels_do_not() -> None:
    whole = Sum()
    whole.add(a_process(3, 2, -9), ended=True)
    whole.add(a_process(4, 1, 0.2))
    assert whole.reading().counts == {"payments": [(("captured",), 7)]}
    assert whole.reading().levels == {"waiting": [((), 1)]}
    assert whole.reading().furthest == {"skew": [((), 0.2)]}


def test_a_reading_goes_from_process_to_process_as_it_is() -> None:
    reading = a_process(3, 2, 1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reading), type=Reading) == reading


def test_a_label_that_nothing_was_counted_of_takes_no_room() -> None:
    counts = Counts("payments", "", ("state",))
    assert counts["declined",] == 0
    assert read([counts]).counts == {"payments": []}


def test_growth_is_what_came_since() -> None:
    assert growth({("a",): 3, ("b",): 2}, {("a",): 1, ("b",): 2}) == {("a",): 2}
