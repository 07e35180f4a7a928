"""Proof and measurement. No other room imports it."""
