"""Two versions of the API in one release."""
