"""Where Patroni is missing, the target says so and does not pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.failover import __main__ as target
from tests.failover.patroni import require_programs
from tests.support.trials import FAILED, INCOMPLETE, CannotBeHad, Trial


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotBeHad, match="patroni and etcd not found"):
        require_programs()


@pytest.mark.parametrize(("failure", "code"), [(None, INCOMPLETE), ("it broke", FAILED)])
def test_what_was_not_tried_has_not_passed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: str | None,
    code: int,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(target, "_tried", lambda kind: Trial("failover", kind.name, failure))
    assert target.main() == code
    assert "failover by Patroni: NOT TRIED: patroni and etcd not found" in capsys.readouterr().out
