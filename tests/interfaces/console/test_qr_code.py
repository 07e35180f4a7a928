"""The second factor as a picture: of exactly the secret that stands beside it, and drawn without styles and scripts."""

from __future__ import annotations

import html
import re

from tallystick.interfaces.console.qr_code import qr_code
from tests.support.console import inside_console
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider


def test_it_is_drawn_with_attributes_alone() -> None:
    """As the policy of content allows; a link of the longest operator's name is 45 modules wide, and 4 around them."""
    drawn = qr_code(f"otpauth://totp/Tallystick:{'a' * 32}?secret={'A' * 32}&issuer=Tallystick")
    assert not re.search(r"style|script|class|href|on[a-z]+=", drawn)
    assert 'viewBox="0 0 53 53"' in drawn and 'stroke="#000"' in drawn and 'fill="#fff"' in drawn
    assert qr_code("a") != qr_code("b")


async def test_the_picture_is_of_the_secret_beside_it(new_database: NewDatabase) -> None:
    async with inside_console(new_database(), BookedProvider()) as console:
        shown = (await console.stranger().see("/console/first-sign-in?operator=ada")).text
        (link,) = re.findall(r'href="(otpauth:[^"]+)"', shown)
        (secret,) = re.findall(r"<code>([A-Z2-7 ]+)</code>", shown)
        assert secret.replace(" ", "") in link and "Tallystick:ada" in link
        assert str(qr_code(html.unescape(link))) in shown
        other = (await console.stranger().see("/console/first-sign-in?operator=ada")).text
        assert secret not in other, "each browser gets a secret of its own"
