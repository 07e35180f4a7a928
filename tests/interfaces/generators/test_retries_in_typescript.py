"""The TypeScript client of the page on retries: it compiles, and says of each answer what the Python one says."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Final

import httpx
import pytest

from tallystick.domain.errors import ERRORS, problem
from tallystick.domain.views import encode
from tests.interfaces.generators.tools import node_tools
from tests.support import retries_guide
from tests.support.database import DEEP

pytestmark = pytest.mark.skipif(not DEEP, reason="deep: the TypeScript compiler is installed")

#: Status and body.
ANSWERS: Final = [
    *((kind.status, encode(problem(code, "for a test")).decode()) for code, kind in ERRORS.items()),
    *(
        (201, json.dumps({"object": "payment", "state": state}))
        for state in ("captured", "authorized", "declined", "expired", "of later")
    ),
    (202, '{"object": "payment", "state": "authorizing", "next_action": null}'),
    (202, '{"object": "payment", "state": "requires_action", "next_action": {"type": "redirect"}}'),
    (200, '{"state": "up"}'),
    (502, '{"object": "error", "retryable": false}'),
    (422, '{"code": "new", "retryable": false, "outcome": "unknown"}'),
    (422, '{"code": "new", "retryable": false, "outcome": "not_executed"}'),
    (200, "[]"),
    (200, "null"),
    (502, "<p>Bad Gateway</p>"),
]

#: An answer, and whether an earlier call has sent the request.
CASES: Final = [(status, body, sent_before) for (status, body), sent_before in product(ANSWERS, (False, True))]

RUN: Final = """
import { instruct, shown } from "./retries.js";
import { readFileSync } from "node:fs";
const said = [];
for (const [status, body, sentBefore] of JSON.parse(readFileSync("cases.json", "utf-8"))) {
  globalThis.fetch = async () => new Response(body, { status });
  const api = { url: "http://shop.test", key: "k" };
  const [outcome, answer] = await instruct(api, "/v1/payments", "o", "{}", sentBefore, 0);
  said.push([outcome, shown(outcome, answer)]);
}
console.log(JSON.stringify(said));
"""


def in_python() -> list[list[str]]:
    """What the page's Python client says of each case, without patience."""
    names, said = retries_guide.client("http://shop.test", "key"), []
    names["api"].close()
    for status, body, sent_before in CASES:
        answer = httpx.Response(status, content=body)
        transport = httpx.MockTransport(lambda _, answer=answer: answer)
        with httpx.Client(transport=transport, base_url="http://shop.test") as names["api"]:
            outcome, last = names["instruct"]("/v1/payments", "o", b"{}", sent_before, 0)
        said.append([outcome, names["shown"](outcome, last)])
    return said


def test_both_clients_say_the_same(tmp_path: Path) -> None:
    tools = node_tools()
    (block,) = retries_guide.blocks("typescript")
    (tmp_path / "retries.ts").write_text(block, "utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', "utf-8")
    (tmp_path / "cases.json").write_text(json.dumps(CASES), "utf-8")
    (tmp_path / "run.js").write_text(RUN, "utf-8")
    options = ("--strict", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom")
    subprocess.run((tools / "tsc", *options, "retries.ts"), cwd=tmp_path, check=True)
    done = subprocess.run(("node", "run.js"), cwd=tmp_path, check=True, capture_output=True, text=True)
    in_typescript = json.loads(done.stdout)
    assert dict(enumerate(in_typescript)) == dict(enumerate(in_python()))
    assert {outcome for outcome, _ in in_typescript} == {"final", "refused", "act", "checking", "person"}
