"""The connector to the test acquirer."""
