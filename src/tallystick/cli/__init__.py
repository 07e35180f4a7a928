"""The ``tallystick`` command: parses and prints, and holds no rules."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line. A package that is not installed ends it with one line and exit code 2."""
    try:
        from tallystick.cli.command import main as run
    except ModuleNotFoundError as error:
        from tallystick.cli.missing_package import in_words

        if (said := in_words(error)) is None:
            raise
        sys.exit(_refused(said))
    run()


def _refused(said: str) -> int:
    print(f"tallystick: {said}", file=sys.stderr)
    return 2
