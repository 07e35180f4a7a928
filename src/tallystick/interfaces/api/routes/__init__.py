"""One file a resource: its handlers beside their rows of the endpoint table."""
