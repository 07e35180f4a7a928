"""The session of `tallystick login`, in a file that its owner alone can read."""

from __future__ import annotations

import os
from pathlib import Path

from tallystick.kit import atomic_file


def session_file() -> Path:
    """Where it is, as the XDG base directories have it."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "tallystick" / "session"


def kept_session() -> str | None:
    """The secret of the session; None without one."""
    try:
        return session_file().read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError, RuntimeError):  # a RuntimeError: nobody's home
        return None


def keep_session(token: str) -> Path:
    """Keep it, in the place of another one. Raises OSError."""
    file = session_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_file.replace(file, token)
    return file


def forget_session() -> None:
    """Nobody is signed in here any more."""
    session_file().unlink(missing_ok=True)
