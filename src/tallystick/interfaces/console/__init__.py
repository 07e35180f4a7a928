"""The operators' console: pages rendered on the server, on a listener of their own."""
