"""Refuses a commit message without a body, or with a subject that is too long. Run by pre-commit as a commit-msg hook.

A subject says what changed, and the body why. The diff shows neither the reason nor what was rejected.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: Longer subjects are cut in `git log --oneline`, in mails and on web pages.
SUBJECT_CHARS: Final = 100

#: Written by git itself, and folded into another commit or explained by what they name.
_BY_GIT: Final = re.compile(r"(?:Merge|fixup!|squash!|amend!) ")

#: Below this line `git commit --verbose` shows the diff.
_SCISSORS: Final = re.compile(r"# -+ >8 -+")

#: Signed-off-by and the like say who, and not why.
_TRAILER: Final = re.compile(r"[A-Z][A-Za-z-]*-by: ")


def faults_of(message: str) -> Sequence[str]:
    """What is wrong with a commit message as git hands it to a hook, comments included; nothing where it is good."""
    lines = _written(message)
    if not lines or _BY_GIT.match(lines[0]):
        return []  # an empty message is refused by git itself
    faults = []
    if len(lines[0]) > SUBJECT_CHARS:
        faults.append(f"the subject has {len(lines[0])} characters; {SUBJECT_CHARS} are allowed")
    if len(lines) > 1 and lines[1]:
        faults.append("the second line must be empty: it separates subject and body")
    if not any(line and not _TRAILER.match(line) for line in lines[1:]):
        faults.append("there is no body: say why in 1 to 4 sentences")
    return faults


def _written(message: str) -> list[str]:
    """The lines that git will keep, without the empty ones before the subject."""
    lines: list[str] = []
    for line in message.splitlines():
        if _SCISSORS.fullmatch(line):
            break
        if not line.startswith("#") and (lines or line.strip()):
            lines.append(line.rstrip())
    return lines


def main(arguments: Sequence[str]) -> int:
    """Check the message in the file that git names. Returns the exit status: 1 where it is refused."""
    if len(arguments) != 1:
        print("usage: commit_message.py FILE", file=sys.stderr)
        return 2
    faults = faults_of(Path(arguments[0]).read_text(encoding="utf-8"))
    for fault in faults:
        print(f"commit message: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
