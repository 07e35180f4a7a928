"""A package that the program needs and this installation has not, in words. It needs no package itself."""

from __future__ import annotations

from typing import Final

#: The packages of this program: one of theirs that is missing is a defect, and no matter of the installation.
_OURS: Final = "tallystick"


def in_words(error: ModuleNotFoundError) -> str | None:
    """One line for a person; None where the module is our own."""
    package = (error.name or "").partition(".")[0]
    if package in ("", _OURS):
        return None
    return (
        f"the Python package {package} is not installed; install what this release needs into the same environment"
        " (docs/operate/install.md), and start again"
    )
