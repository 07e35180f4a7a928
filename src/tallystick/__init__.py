"""Tallystick: a payment platform core. One financial outcome per instruction."""

from __future__ import annotations

#: The only place of the version: the build reads it here (hatchling wants a plain assignment).
__version__ = "0.4.0.dev0"
