"""What moves a payment: decide, commit, call, commit."""
