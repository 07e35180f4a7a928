"""The ``tallystick`` command: parses and prints, and holds no rules."""

from __future__ import annotations

from tallystick.cli.command import app, main

__all__ = ["app", "main"]
