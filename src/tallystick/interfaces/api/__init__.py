"""The HTTP API: parse and render. What a request does to money is decided in flows and decisions."""
