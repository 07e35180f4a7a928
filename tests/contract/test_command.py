"""``tallystick contract``: what a release keeps, and the exit code of what changed since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick.contract import released
from tallystick.contract.document import render_contract
from tests.support.commands import Ran, run_here
from tests.support.second_version import OLD, published


@pytest.mark.exhaustive
def test_a_release_is_written_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> Ran:
        return run_here(monkeypatch, capsys, "contract", *words)

    assert run().out == render_contract()
    with published():
        assert run("write", str(tmp_path / "new")).code == 0
        kept = {each.name for each in (tmp_path / "new").iterdir()}
        assert kept == {released.PAGE, released.CONTRACT, released.OPENAPI, released.older_name(OLD)}
        assert run("diff", str(tmp_path / "new")) == Ran(0, "The contracts are the same.\n", "")
    assert run("write", str(tmp_path / "old")).code == 0
    openapi = json.loads((tmp_path / "old" / released.OPENAPI).read_text())
    del openapi["components"]["schemas"]["Payment"]["properties"]["currency"]
    (tmp_path / "old" / released.OPENAPI).write_text(json.dumps(openapi))
    more = run("diff", str(tmp_path / "old"))
    assert more.code == 0 and "answer_property_added" in more.out
    openapi["components"]["schemas"]["Payment"]["properties"]["colour"] = {"type": "string"}
    (tmp_path / "old" / released.OPENAPI).write_text(json.dumps(openapi))
    less = run("diff", str(tmp_path / "old"), "--json")
    assert less.code == 1
    first = json.loads(less.out)[0]
    assert (first["version"], first["compatible"], first["kind"]) == (OLD, False, "answer_property_removed")
    with published():  # the newest version of both is another one: clients of the first one are told
        assert run("write", str(tmp_path / "both")).code == 0
        older = tmp_path / "both" / released.older_name(OLD)
        older.write_text(older.read_text().replace('"statement"', '"shown"'))
        found = json.loads(run("diff", str(tmp_path / "both"), "--json").out)
        assert {each["version"] for each in found} == {OLD}
        assert {"answer_property_removed", "answer_property_added"} <= {each["kind"] for each in found}
    assert run("diff", str(tmp_path / "nowhere")).code == 2
