"""What reads the record and moves no money."""
