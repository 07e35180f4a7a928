"""The demonstration: thousands of real payments with faults mixed in, and then both books compared."""
