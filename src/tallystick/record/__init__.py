"""The authoritative record: the journal that commits every change, and the reads that decisions use."""
