"""Raw requests become commands. Strict, pure, and without a web framework."""
