"""What others meet: parse and render, no rules, no assembly."""
