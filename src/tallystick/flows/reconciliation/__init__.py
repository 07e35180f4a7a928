"""Reconciliation: what providers and banks report, imported and compared with the record."""
