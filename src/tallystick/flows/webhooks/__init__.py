"""Webhooks in from providers and out to merchants."""
