"""Webhooks in: what providers say without being asked, from the wire to its effect."""
