"""What nobody answers for any more: due attempts, deadlines, and attempts in doubt."""
