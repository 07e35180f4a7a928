"""A text as a QR code, for the camera of a telephone: SVG without styles, drawn here."""

from __future__ import annotations

from typing import Final

import segno
from markupsafe import Markup

#: Light modules around it, by ISO/IEC 18004: a camera finds it by them.
_QUIET_ZONE: Final = 4


def qr_code(text: str) -> Markup:
    """Black on white in every theme: many cameras do not read the reverse. ``omitsize``: the stylesheet says how large
    it is."""
    code = segno.make_qr(text, error="m")
    return Markup(
        code.svg_inline(border=_QUIET_ZONE, dark="#000", light="#fff", svgclass=None, lineclass=None, omitsize=True)
    )
