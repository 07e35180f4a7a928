"""A payment is explained from its durable rows, and what is broken by hand is named."""
