"""What a provider's event does to the stored state. Pure."""
