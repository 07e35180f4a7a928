"""The terms of the product as plain values: subjects, changes, verdicts, notices, money. No I/O."""
