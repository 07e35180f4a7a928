"""Processes: the API, the worker, and all of them on one machine."""
