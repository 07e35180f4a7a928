"""The connector to Stripe."""
