"""Webhooks out: from the outbox to merchants' endpoints, signed, in order per payment, at least once."""
