"""Connectors to payment providers: the one port with several implementations."""
