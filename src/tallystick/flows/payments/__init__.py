"""A client's instruction, from its key to its recorded response."""
