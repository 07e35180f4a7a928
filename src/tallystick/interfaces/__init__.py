"""What clients and people use: parse and render, no rules, no assembly."""
