"""Pages for people, rendered on the server: templates of ours, no script, and nothing from elsewhere."""
