"""The test acquirer: a separate HTTP program with durable books. It does not depend on the platform."""
