"""Decisions on a provider's events. Pure."""
