"""The authoritative record: the door every change goes through, and the reads that decisions are made on."""
