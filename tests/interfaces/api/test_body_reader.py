"""Bodies that come in piece by piece: how many bytes of them there may be at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar.types import Receive

from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.problems import ProblemError
from tests.support.polling import one_turn

LIMIT_BYTES = 1_000


def coming(gate: asyncio.Event, *pieces: bytes) -> Receive:
    """All pieces but the last at once, and the last when the gate opens."""
    left = list(pieces)

    async def receive() -> Any:
        if len(left) == 1:
            await gate.wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def test_all_bodies_together_are_bounded_until_they_are_whole() -> None:
    reader, gate = BodyReader(timeout_ms=60_000, under_way_bytes=1_000), asyncio.Event()
    first = asyncio.create_task(reader.body(coming(gate, b"a" * 600, b"!"), "", LIMIT_BYTES, "req_1"))
    await one_turn()
    with pytest.raises(ProblemError) as refused:
        await reader.body(coming(gate, b"b" * 600, b"!"), "", LIMIT_BYTES, "req_2")
    assert refused.value.problem.code == "overloaded"
    assert {name for name, _ in refused.value.headers} == {b"retry-after", b"connection"}
    second = asyncio.create_task(reader.body(coming(gate, b"c" * 300, b"!"), "", LIMIT_BYTES, "req_3"))
    await one_turn()
    gate.set()
    assert (len(await first), len(await second)) == (601, 301)
    assert len(await reader.body(coming(gate, b"d" * 900, b"!"), "", LIMIT_BYTES, "req_4")) == 901


async def test_what_is_refused_gives_back_what_it_held() -> None:
    reader, gate = BodyReader(timeout_ms=20, under_way_bytes=1_000), asyncio.Event()
    for code in ("request_timeout", "request_timeout", "request_timeout"):
        with pytest.raises(ProblemError) as refused:
            await reader.body(coming(gate, b"a" * 900, b"!"), "", LIMIT_BYTES, "req_1")
        assert refused.value.problem.code == code
    gate.set()
    with pytest.raises(ProblemError) as refused:
        await reader.body(coming(gate, b"a" * 900, b"b" * 101), "", LIMIT_BYTES, "req_2")
    assert refused.value.problem.code == "body_too_large"
    assert await reader.body(coming(gate, b"a" * 900, b""), "", LIMIT_BYTES, "req_3") == b"a" * 900
