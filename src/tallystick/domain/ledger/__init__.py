"""Accounts and postings."""
