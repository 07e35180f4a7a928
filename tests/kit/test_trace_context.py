"""What is taken for the trace of a request: W3C Trace Context, read strictly."""

from __future__ import annotations

import pytest

from tallystick.kit import trace_context
from tallystick.kit.trace_context import continued, new_trace, next_span, outgoing, parsed

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
WHOLE = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(WHOLE, WHOLE, id="as it should be"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00", id="not sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-ff", WHOLE, id="flags that are not known are not passed on"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01", WHOLE, id="a later version"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-more", WHOLE, id="a later version that says more"),
    ],
)
def test_a_trace_is_kept(given: str, kept: str) -> None:
    assert parsed([given]) == kept


@pytest.mark.parametrize(
    "given",
    [
        [],
        [WHOLE, WHOLE],
        [f"{WHOLE},{WHOLE}"],
        [""],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"cc-{TRACE}-{SPAN}-01more"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"0-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE[:-1]}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}0-01"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE}-{SPAN}-0g"],
        [f"00_{TRACE}_{SPAN}_01"],
        [f"{WHOLE}\n"],
        [f"00-{TRACE}-4111111111111111-01"],
    ],
    ids=repr,
)
def test_what_is_malformed_is_no_trace(given: list[str]) -> None:
    assert parsed(given) is None


def test_every_request_is_a_span_of_its_own() -> None:
    assert outgoing() == {}
    with continued(WHOLE):
        first, second = outgoing()["traceparent"], outgoing()["traceparent"]
        with continued(None):
            assert outgoing() == {}
    assert first != second and outgoing() == {}
    for each in (first, second, next_span(WHOLE)):
        assert parsed([each]) == each
        assert each.startswith(f"00-{TRACE}-") and each.endswith("-01") and SPAN not in each


def test_no_span_seems_to_hold_a_card_number(monkeypatch: pytest.MonkeyPatch) -> None:
    card = "a4222222222222b0"
    drawn = iter([card, SPAN, TRACE, card, TRACE, SPAN])
    monkeypatch.setattr(trace_context, "random_hex", lambda _: next(drawn))
    assert next_span(WHOLE) == WHOLE
    assert new_trace() == f"00-{TRACE}-{SPAN}-00"
