"""What looks like a secret is found in time that grows with the text."""

from __future__ import annotations

from tallystick.kit.secret_shapes import has_secret


def test_what_begins_like_a_token_is_looked_at_once() -> None:
    """Whoever answers chooses what is in it. Looked at from each of its places, this would take many minutes."""
    row = "eyJabcdefgh-" * 100_000
    assert not has_secret(row)
    assert has_secret(f"{row}.{'a' * 8}.") and has_secret(f"x-eyJ{'a' * 8}.{'b' * 8}.c")
    assert not has_secret(f"eyJ{'a' * 7}.{'b' * 8}.c") and not has_secret(f"eyJ{'a' * 8}.{'b' * 7}.c")
