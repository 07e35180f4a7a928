"""The published contract, and what changes in it."""
