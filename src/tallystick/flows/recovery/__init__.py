"""Recovery: due attempts, deadlines, and attempts in doubt."""
