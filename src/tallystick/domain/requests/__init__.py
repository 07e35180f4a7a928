"""The edge: raw requests become commands here. Strict, pure, and without a web framework."""
