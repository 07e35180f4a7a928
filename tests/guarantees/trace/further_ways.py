"""Ten further ways to break a payment, chosen by somebody who had seen neither the finder nor its tests. Their
statements are in ``further_ways.sql``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from tallystick.oversight.trace.recorded_words import AS_ASKED, IN_ORDER, OF_ITS_MOMENT, PROVIDER_SAID_SO

_BLOCK: Final = re.compile(r"^-- ([a-z_]+): .*$", re.MULTILINE)


class FurtherWay(NamedTuple):
    """``payment``: the one that is broken, by its name in ``made``. The others as in ``Way``."""

    payment: str
    missing: str | None = None
    differs: str | None = None
    verify: str | None = None


#: What names each. The first finder, which was finished before they were given, saw all but the first and the seventh;
#: four of the others it saw by a message alone.
FURTHER: Final = {
    "amount_rewritten_everywhere_but_the_request": FurtherWay("captured", differs=AS_ASKED),
    "two_refunds_swap_their_amounts": FurtherWay(
        "two_refunds", differs=PROVIDER_SAID_SO, verify="final_instructions_answered"
    ),
    "message_tells_of_another_payment": FurtherWay("captured", differs="steps_are_told", verify="steps_are_told"),
    "answer_of_the_capture_for_the_create": FurtherWay(
        "captured_later", differs=OF_ITS_MOMENT, verify="steps_are_told"
    ),
    "references_swapped_between_two_payments": FurtherWay(
        "captured", differs=PROVIDER_SAID_SO, verify="steps_are_told"
    ),
    "captured_before_it_was_asked": FurtherWay("captured", differs=IN_ORDER, verify="steps_are_told"),
    "look_up_put_off_for_decades": FurtherWay("in_doubt", missing="schedule"),
    "refund_rolled_back_beside_its_approved_attempt": FurtherWay(
        "refunded",
        missing="recorded answer",
        differs="waiting_subjects_have_open_attempts",
        verify="waiting_subjects_have_open_attempts",
    ),
    "lost_dispute_relabelled_won": FurtherWay("dispute_lost", differs=PROVIDER_SAID_SO, verify="steps_are_told"),
    "event_credited_with_another_payments_change": FurtherWay(
        "by_webhook", missing="history", verify="events_have_their_story"
    ),
}


def statements() -> dict[str, str]:
    """The statements by the names of their ways."""
    pieces = _BLOCK.split(Path(__file__).with_name("further_ways.sql").read_text(encoding="utf-8"))[1:]
    return dict(zip(pieces[0::2], pieces[1::2], strict=True))
