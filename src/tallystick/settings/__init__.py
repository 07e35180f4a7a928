"""Settings from the environment: each room's fields in a file of its own, read and checked in ``load``."""
