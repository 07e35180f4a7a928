"""Who may: API keys, and where they are kept."""
