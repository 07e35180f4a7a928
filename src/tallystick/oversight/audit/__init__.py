"""Proof that nobody rewrote the record: leaves, trees, signed heads, and what compares the record with them."""
