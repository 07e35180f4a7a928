"""One file a page: its handlers beside their rows."""
