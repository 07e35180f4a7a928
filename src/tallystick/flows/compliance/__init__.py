"""What needs more than one person."""
