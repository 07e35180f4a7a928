"""Benchmarks as commands: each figure beside the ceiling that the same machine has in the same run."""
