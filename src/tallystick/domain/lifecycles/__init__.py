"""All states and edges, one file for each machine."""
