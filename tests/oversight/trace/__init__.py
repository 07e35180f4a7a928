"""How a payment is explained."""
