"""Pure decisions: (stored state, event) -> Change. All business rules, no I/O."""
