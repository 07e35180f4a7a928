"""Conditions that a person has to know of: one table, and what they are looked for in."""
