"""Tallystick: a payment platform core. One financial outcome per instruction."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
