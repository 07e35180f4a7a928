"""Webhooks in: provider events, from the wire to their effect."""
