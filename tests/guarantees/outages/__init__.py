"""What an outage of the database leaves."""
