"""Which provider carries out an instruction."""
