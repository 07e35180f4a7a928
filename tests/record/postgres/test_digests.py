"""The digest of a batch's evidence is made in the order of its rows, in whatever order the database sends them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from tallystick.record.postgres.plain_rows import Digests

pytestmark = pytest.mark.fast

SAID = {1: b"one", 2: b"two", 5: b"five", 300: b"three hundred"}


@pytest.mark.parametrize("places", [(1, 2, 5, 300), (300, 5, 2, 1), (1, 5, 2, 300), (2, 300, 1, 5)])
def test_a_root_is_in_the_order_of_rows(places: Sequence[int]) -> None:
    digests = Digests()
    for place in places:
        digests.add(place, SAID[place])
    expected = hashlib.sha256(b"".join(hashlib.sha256(said).digest() for said in SAID.values())).hexdigest()
    assert digests.root() == expected
