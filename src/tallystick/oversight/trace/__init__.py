"""What happened, explained from durable rows."""
