"""Reads the record and moves no money."""
