"""What a process needs of its surroundings: one list of checks, asked by ``tallystick doctor`` and at each start."""
