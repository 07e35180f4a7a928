"""The published contract, printed from the tables."""
