"""Every state and edge there is, one machine a file."""
