"""Accounts, and the postings of every event."""
