"""The test acquirer: an HTTP program of its own, with durable books of its own. Knows nothing of the platform."""
