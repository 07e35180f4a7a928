"""``verify``: every invariant, checked."""
