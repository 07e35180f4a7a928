"""``listen``: what it cannot do is said in one line, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import run_here
from tests.support.ports import free_port

HERE = ("--forward-to", "localhost:3000/webhooks")
SHORT_SECRET = "whsec_c2hvcnQ="


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--forward-to", "ftp://localhost/"), "must begin with https://"),
        (("--forward-to", "http://user@localhost/"), "must have no user, password or fragment"),
        ((*HERE, "--secret", "whsec_!!!!"), "must be whsec_ and 24 to 64 bytes in base64"),
        ((*HERE, "--secret", SHORT_SECRET), "must be whsec_ and 24 to 64 bytes in base64"),
    ],
)
def test_a_wrong_option_is_named(
    options: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "api-key").write_text("tsk_x")
    ran = run_here(monkeypatch, capsys, "listen", *options, "--data-dir", str(tmp_path))
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())


def test_a_key_that_is_not_there_and_an_api_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("listen", *HERE, "--data-dir", str(tmp_path))
    ran = run_here(monkeypatch, capsys, *arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"cannot read an API key from {tmp_path}/api-key" in ran.err and "--key-file" in ran.err
    (tmp_path / "api-key").write_text("")
    assert "holds no API key" in run_here(monkeypatch, capsys, *arguments).err
    (tmp_path / "api-key").write_text("tsk_x")
    address = f"http://127.0.0.1:{free_port()}"
    ran = run_here(monkeypatch, capsys, *arguments, "--api", address)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert f"cannot reach the API at {address}" in ran.err and "--api URL" in ran.err
