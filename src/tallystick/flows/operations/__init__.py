"""Operators' acts on the record: each by a person, for a reason, through the same journal as everything else."""
